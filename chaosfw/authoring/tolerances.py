"""Tolerances as words: ``cf.below(50)``, ``cf.between(1, 3)``, ``cf.one_of(200, 204)``."""

from __future__ import annotations

import math
import re

from chaosfw.errors import UsageError
from chaosfw.model.struct import Json
from chaosfw.model.tolerance import Between, Exactly, Matches, OneOf, Tolerance, ToolkitTolerance


def exactly(value: Json) -> Exactly:
    """Equal to ``value``; True is not 1."""
    return Exactly(value=value)


def one_of(*values: Json) -> OneOf:
    """Equal to any of ``values``."""
    return OneOf(values=values)


def between(low: float, high: float) -> Between:
    """From ``low`` to ``high``, both included."""
    low, high = _number(low, "between"), _number(high, "between")
    if low > high:
        raise UsageError(f"between({low:g}, {high:g}) accepts nothing: low is above high", hint=f"between({high:g}, {low:g})")
    return Between(low=low, high=high)


def below(limit: float) -> Between:
    """Less than ``limit``."""
    return Between(high=_number(limit, "below"), strict=True)


def above(limit: float) -> Between:
    """More than ``limit``."""
    return Between(low=_number(limit, "above"), strict=True)


def at_least(limit: float) -> Between:
    """``limit`` or more."""
    return Between(low=_number(limit, "at_least"))


def at_most(limit: float) -> Between:
    """``limit`` or less."""
    return Between(high=_number(limit, "at_most"))


def matches(pattern: str) -> Matches:
    """A string in which the regular expression is found."""
    try:
        re.compile(pattern)
    except (re.error, TypeError) as trouble:
        raise UsageError(f"matches({pattern!r}): not a regular expression: {trouble}") from trouble
    return Matches(pattern=pattern)


def as_tolerance(value: Json) -> Tolerance:
    """A tolerance from what was written: one of the above, or a plain value meaning *exactly this*."""
    return value if isinstance(value, Between | Exactly | Matches | OneOf | ToolkitTolerance) else Exactly(value=value)


def _number(value: float, what: str) -> float:
    """NaN compares false with everything: as a limit it would accept whatever comes."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise UsageError(f"{what}({value!r}): a number was expected")
    return value
