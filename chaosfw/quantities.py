"""Reads durations, shares and latencies as people write them. Used wherever text is read; prints nothing."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from chaosfw.errors import UsageError

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""Seconds in each unit."""


def duration(value: str | float, *, what: str) -> float:
    """Seconds from ``"20s"``, ``"1m30s"``, ``"300ms"`` or a number of seconds. Raises UsageError naming ``what``."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{what} is {value!r}: a duration such as '20s', '1m30s' or '300ms' was expected")
    if isinstance(value, int | float):
        if not 0 <= value < math.inf:
            raise UsageError(f"{what} is {value!r}: a duration can not be negative or without end")
        return float(value)
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(ms|min|s|m|h|d|w)", value)
    if not parts or "".join(number + unit for number, unit in parts) != re.sub(r"\s", "", value):
        raise UsageError(f"{what} is {value!r}: a duration such as '20s', '1m30s' or '300ms' was expected")
    return sum(float(number) * UNITS[unit] for number, unit in parts)


def share(value: str | float, *, what: str) -> float:
    """0.97 from ``"97%"`` or ``0.97``. Raises UsageError for numbers outside 0 to 1."""
    number: float
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", value)
        if match is None:
            raise UsageError(f"{what} is {value!r}: a share such as '97%' was expected")
        number = _hundredth(match[1])
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value)
    else:
        raise UsageError(f"{what} is {value!r}: a share such as '97%' was expected")
    if not 0 <= number <= 1:
        raise UsageError(f"{what} is {value!r}: a share lies between 0% and 100%", hint="write '97%' or 0.97")
    return number


def count_or_share(value: str | int | float, *, what: str) -> int | float:
    """3 from ``3``, 0.34 from ``"34%"``."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise UsageError(f"{what} is {value!r}: a count can not be negative")
        return value
    return share(value, what=what)


def quantile(name: str) -> float:
    """0.95 from ``"p95"``, 0.999 from ``"p99.9"``. Raises UsageError."""
    match = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", name)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"{name!r} is not a quantile", hint="write p50, p95, p99 or p99.9")
    return _hundredth(match[1])


def _hundredth(digits: str) -> float:
    """Exactly what was written: in binary 99.9 / 100 is more than 0.999, and 999 good of 1,000 would break a promise of 99.9 %."""
    return float(Decimal(digits) / 100)
