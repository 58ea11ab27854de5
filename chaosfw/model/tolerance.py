"""
What a probe's value must be for the system to count as normal. Built by ``authoring`` and ``definitions``, applied by
``engine`` and ``executor``. Each one can say itself in words, because the report prints it beside the measured value.

A value of a type that a tolerance cannot judge (a string for a range, ``None`` for anything) is not accepted; it is never an error.
"""

from __future__ import annotations

import json
import re

from chaosfw.model.struct import Json, Noun


class Exactly(Noun, frozen=True, kw_only=True):
    """Accepts exactly ``value``; ``True`` is not ``1``."""

    value: Json

    def accepts(self, value: Json) -> bool:
        return (type(value) is type(self.value) and bool(value == self.value)) or _same_number(value, self.value)

    def __str__(self) -> str:
        return json.dumps(self.value)


class OneOf(Noun, frozen=True, kw_only=True):
    """Accepts any of ``values``."""

    values: tuple[Json, ...]

    def accepts(self, value: Json) -> bool:
        return any(Exactly(value=choice).accepts(value) for choice in self.values)

    def __str__(self) -> str:
        return "one of " + ", ".join(json.dumps(choice) for choice in self.values)


class Between(Noun, frozen=True, kw_only=True):
    """Accepts numbers from ``low`` to ``high``; an end that is ``None`` is open. ``strict`` leaves the ends out."""

    low: float | None = None
    high: float | None = None
    strict: bool = False

    def accepts(self, value: Json) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool) or value != value:
            return False
        if self.low is not None and (value <= self.low if self.strict else value < self.low):
            return False
        return self.high is None or not (value >= self.high if self.strict else value > self.high)

    def __str__(self) -> str:
        if self.low is None:
            return f"{'below' if self.strict else 'at most'} {self.high:g}"
        if self.high is None:
            return f"{'above' if self.strict else 'at least'} {self.low:g}"
        return f"between {self.low:g} and {self.high:g}"


class Matches(Noun, frozen=True, kw_only=True):
    """Accepts strings in which ``pattern`` (a regular expression) is found; ``target`` picks ``body``, ``stdout`` … of a rich value."""

    pattern: str
    target: str = ""

    def accepts(self, value: Json) -> bool:
        text = value.get(self.target) if self.target and isinstance(value, dict) else value
        return isinstance(text, str) and re.search(self.pattern, text) is not None

    def __str__(self) -> str:
        return f"matches /{self.pattern}/"


class ToolkitTolerance(Noun, frozen=True, kw_only=True):
    """A tolerance in Chaos Toolkit's own words that only its library can judge (jsonpath, probe). Judged in the executor."""

    value: Json

    def accepts(self, value: Json) -> bool:
        """Never: the executor replaces the value by ``{"tolerated": bool, "value": …}`` and the engine reads that."""
        return isinstance(value, dict) and value.get("tolerated") is True

    def __str__(self) -> str:
        return f"within {json.dumps(self.value)}"


Tolerance = Exactly | OneOf | Between | Matches | ToolkitTolerance


def _same_number(left: Json, right: Json) -> bool:
    numbers = all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))
    return numbers and bool(left == right)
