"""
Experiments that were run several times: how many of how many held, with an interval. Called by ``reporting``. Pure.

One run is a census of its own requests and says nothing about the next one; whole runs are the unit of such a statement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaosfw.model.record import RunLine

SURE = 0.95
RAN = ("held", "deviated", "inconclusive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeats:
    """``low`` to ``high``: the share of such runs that hold, two-sided 95 %, inconclusive ones counted once against and once for it."""

    series: str
    title: str
    held: int
    deviated: int
    inconclusive: int
    not_run: int
    """Refused or blocked: they say nothing about the system."""
    low: float
    high: float

    @property
    def name(self) -> str:
        """The title, with the parameters of a test that has some."""
        _, bracket, inside = self.series.rpartition("[")
        return f"{self.title} [{inside}" if bracket else self.title

    @property
    def ran(self) -> int:
        return self.held + self.deviated + self.inconclusive


def repeated(lines: Sequence[RunLine]) -> tuple[Repeats, ...]:
    """Every series of a game day, in the order in which they began."""
    found: dict[str, list[RunLine]] = {}
    for line in lines:
        if line.series:
            found.setdefault(line.series, []).append(line)
    return tuple(_counted(series, runs) for series, runs in found.items())


def interval(held: int, *, of: int) -> tuple[float, float]:
    """Clopper and Pearson, Biometrika 26 (1934): exact, and so never narrower than it says. All of it where nothing ran."""
    if not of:
        return (0.0, 1.0)
    tail = (1 - SURE) / 2
    low = 0.0 if held == 0 else _root(lambda p: 1 - _at_most(held - 1, of=of, p=p) - tail)
    high = 1.0 if held == of else _root(lambda p: tail - _at_most(held, of=of, p=p))
    return (low, high)


def _counted(series: str, runs: Sequence[RunLine]) -> Repeats:
    amounts = {verdict: sum(line.verdict == verdict for line in runs) for verdict in RAN}
    ran = sum(amounts.values())
    return Repeats(
        series=series,
        title=next((line.title for line in runs if line.title), series),
        **amounts,
        not_run=len(runs) - ran,
        low=interval(amounts["held"], of=ran)[0],
        high=interval(amounts["held"] + amounts["inconclusive"], of=ran)[1],
    )


def _at_most(most: int, *, of: int, p: float) -> float:
    """P(X ≤ most) of a binomial."""
    if p <= 0 or p >= 1:
        return 1.0 if p <= 0 or most >= of else 0.0
    return math.fsum(math.exp(_log_choose(of, k) + k * math.log(p) + (of - k) * math.log1p(-p)) for k in range(most + 1))


def _log_choose(of: int, k: int) -> float:
    return math.lgamma(of + 1) - math.lgamma(k + 1) - math.lgamma(of - k + 1)


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that rises from below zero crosses it, between 0 and 1."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
