"""
When each request of an open load is due: at one rate, or along stages that ramp from one rate to the next.

Read by the generators, which send by it, by the window over a load that runs, and by ``analysis``, which lays the samples out by it: one
place, so that all of them mean the same instant. Arithmetic only. Between two rates the ramp is a straight line, so that the requests
until an instant grow with its square: r₀·t + (r₁ - r₀)·t² / 2d, and the instant of request k is the root of that.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass

from chaosfw.model.load import Load

_SECOND = 1_000_000_000
SHORTEST = 0.001
"""Seconds; a ramp that is shorter is a step."""

_SLACK = 1e-9
"""Of a request: what rounding may add to a whole number."""


@dataclass(frozen=True, kw_only=True)
class Leg:
    """From ``begin`` seconds on, for ``seconds``; ``first`` requests were due before it."""

    begin: float
    first: float
    rate: float
    slope: float = 0.0
    """Requests a second, more each second."""
    seconds: float = math.inf

    def due(self, number: int) -> float:
        """Seconds from the load's beginning."""
        more = max(0.0, number - self.first)
        if self.slope == 0.0:
            return self.begin + more / self.rate
        root = math.sqrt(max(0.0, self.rate * self.rate + 2 * self.slope * more))
        return self.begin + (2 * more / (self.rate + root) if more else 0.0)

    def until(self, since: float) -> float:
        """How many requests, whole and in part, are due until ``since`` seconds from the load's beginning."""
        into = min(max(0.0, since - self.begin), self.seconds)
        return self.first + self.rate * into + self.slope * into * into / 2


class Arrivals:
    """Of one load. After its last stage it stays at that stage's rate."""

    def __init__(self, load: Load) -> None:
        self.legs = _legs(load)
        self._firsts = [leg.first for leg in self.legs]
        self._begins = [leg.begin for leg in self.legs]
        self._step = _SECOND / self.legs[0].rate if len(self.legs) == 1 else 0.0

    def due(self, number: int) -> int:
        """Nanoseconds from request 0 to request ``number``."""
        if self._step:
            return int(number * self._step)
        return round(self.legs[bisect.bisect_right(self._firsts, number) - 1].due(number) * _SECOND)

    def until(self, since: int) -> int:
        """How many requests are due in [0, ``since`` nanoseconds)."""
        if since <= 0:
            return 0
        leg = self.legs[bisect.bisect_right(self._begins, since / _SECOND) - 1]
        return max(0, math.ceil(leg.until(since / _SECOND) - _SLACK))


def lowest(load: Load) -> float:
    """The lowest rate that is held or passed: what the load can see, and decide, at its thinnest. A ramp from nothing does not count."""
    rates = [load.rate, *(stage.rate for stage in load.stages)]
    return min((rate for rate in rates if rate > 0), default=0.0)


def highest(load: Load) -> float:
    return max([load.rate, *(stage.rate for stage in load.stages)])


def turns(load: Load) -> tuple[int, ...]:
    """
    Which kind of request has its turn: request n is of kind ``turns[n % len(turns)]``. Smooth weighted round robin, as nginx has it: in
    each round every kind gains its weight, the heaviest is sent and loses the sum, so that equal ones come evenly spread.
    """
    weights = [one.weight for one in load.kinds]
    whole = sum(weights)
    gained = [0] * len(weights)
    found = []
    for _ in range(whole):
        gained = [one + weight for one, weight in zip(gained, weights, strict=True)]
        heaviest = max(range(len(weights)), key=gained.__getitem__)
        gained[heaviest] -= whole
        found.append(heaviest)
    return tuple(found)


def _legs(load: Load) -> tuple[Leg, ...]:
    begin, first, rate = 0.0, 0.0, load.rate
    legs: list[Leg] = []
    for stage in load.stages:
        if stage.seconds >= SHORTEST:
            leg = Leg(begin=begin, first=first, rate=rate, slope=(stage.rate - rate) / stage.seconds, seconds=stage.seconds)
            legs.append(leg)
            begin, first = begin + stage.seconds, leg.until(begin + stage.seconds)
        rate = stage.rate
    return (*legs, Leg(begin=begin, first=first, rate=rate))
