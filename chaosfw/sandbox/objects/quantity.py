"""
Resource quantities: ``100m``, ``1.5Gi``, ``2e3``. Exact, because capacity is compared, not estimated.

Used by the scheduler and by Tables. Values are fractions of one core or one byte.
"""

from __future__ import annotations

import re
from fractions import Fraction

_FORM = re.compile(r"^(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))(?P<suffix>[eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?$")
_SCALE = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}


def parse(text: str | int | float) -> Fraction:
    """The value of a quantity; raises ValueError with the API's own words."""
    found = _FORM.match(str(text))
    if found is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    suffix = found["suffix"] or ""
    if suffix not in _SCALE:
        return Fraction(found["number"]) * Fraction(10) ** int(suffix[1:])
    return Fraction(found["number"]) * _SCALE[suffix]


def milli(text: str | int | float) -> int:
    """In thousandths, rounded up as Kubernetes does."""
    return -(-parse(text) * 1000 // 1)
