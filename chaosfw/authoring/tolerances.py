"""Tolerances as words: ``cf.below(50)``, ``cf.between(1, 3)``, ``cf.one_of(200, 204)``."""

from __future__ import annotations

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
    return Between(low=low, high=high)


def below(limit: float) -> Between:
    """Less than ``limit``."""
    return Between(high=limit, strict=True)


def above(limit: float) -> Between:
    """More than ``limit``."""
    return Between(low=limit, strict=True)


def at_least(limit: float) -> Between:
    """``limit`` or more."""
    return Between(low=limit)


def at_most(limit: float) -> Between:
    """``limit`` or less."""
    return Between(high=limit)


def matches(pattern: str) -> Matches:
    """A string in which the regular expression is found."""
    return Matches(pattern=pattern)


def as_tolerance(value: Json) -> Tolerance:
    """A tolerance from what was written: one of the above, or a plain value meaning *exactly this*."""
    return value if isinstance(value, Between | Exactly | Matches | OneOf | ToolkitTolerance) else Exactly(value=value)
