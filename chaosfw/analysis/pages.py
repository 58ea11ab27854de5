"""
Was a page due: burn-rate rules asked on the traffic of the run, as an alerting system would have (docs/protocols/measuring.md, "Was a
page due").

Called by :mod:`chaosfw.analysis.fold`. Two answers a rule: *here*, where the series began with the load, so that a short history pages far
sooner; and *in production*, as if the same rate of good requests had gone before and came after. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from chaosfw.analysis.samples import BAD, UNKNOWN, Bytes, Series
from chaosfw.model.record import Due, PageDue
from chaosfw.model.slo import SLO, BurnRule
from chaosfw.timing import NANOSECONDS

STEP = 0.1
"""Seconds between the instants at which a rule is asked: finer than any rule is evaluated."""
COARSEST = 200_000
"""Instants of the load at most; a run of many hours is looked at less finely."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Counts from the load's start up to each instant, ``step`` seconds apart; ``rate`` in requests a second."""

    step: float
    rate: float
    total: Floats
    certain: Floats
    """Bad ones."""
    possible: Floats
    """Bad ones and unknown ones."""


def due(series: Series, *, grade: Bytes, slo: SLO, since: int) -> tuple[PageDue, ...]:
    """Every rule of the SLO. ``since``: the instant that ``after`` is counted from (the fault's call), ns CLOCK_MONOTONIC."""
    if not len(series.due):
        return ()
    curves, offset = _curves(series, grade=grade), (series.on - since) / NANOSECONDS
    return tuple(_due(curves, slo=slo, rule=rule, offset=offset) for rule in slo.rules)


def fires(series: Series, *, grade: Bytes, slo: SLO, rule: BurnRule) -> tuple[Due, float | None]:
    """
    Whether a rule is due on these series alone, and if it is, the seconds from the load's start by which it fires however scrapes and
    evaluations fall.
    """
    if not len(series.due):
        return Due.not_due, None
    curves = _curves(series, grade=grade)
    due, _ = _judged(curves, slo=slo, rule=rule, rate=0.0)
    certain = _true(curves, curves.certain, rule=rule, theta=threshold(slo, rule), rate=0.0)
    begin, length = _stretch(certain)
    sure = math.ceil(rule.hold / slo.evaluate - 1e-9) * slo.evaluate + slo.scrape + slo.evaluate
    return due, begin * curves.step + sure if due is Due.due and length else None


def threshold(slo: SLO, rule: BurnRule) -> float:
    """θ = B · (1 − SLO): the share of bad requests above which the rule is true. From 1 on it can never be."""
    return rule.burn * (1 - slo.availability)


def _curves(series: Series, *, grade: Bytes) -> Curves:
    step = max(STEP, float(series.due[-1] - series.on) / NANOSECONDS / COARSEST)
    steps = int((series.due[-1] - series.on) / (step * NANOSECONDS)) + 1
    places = np.searchsorted(series.due, series.on + np.ceil(np.arange(steps + 1) * (step * NANOSECONDS)).astype(np.int64))
    places[-1] = len(series.due)
    certain, unknown = (_until(grade == which, places) for which in (BAD, UNKNOWN))
    return Curves(step=step, rate=series.rate, total=places.astype(np.float64), certain=certain, possible=certain + unknown)


def _until(which: Bools, places: npt.NDArray[np.int64]) -> Floats:
    """How many of them come before each place."""
    total = np.zeros(len(which) + 1, np.int32)
    np.cumsum(which, out=total[1:])
    return total[places].astype(np.float64)


def _due(curves: Curves, *, slo: SLO, rule: BurnRule, offset: float) -> PageDue:
    here, here_after = _judged(curves, slo=slo, rule=rule, rate=0.0)
    production, production_after = _judged(curves, slo=slo, rule=rule, rate=curves.rate)
    return PageDue(
        rule=rule,
        threshold=threshold(slo, rule),
        here=here,
        here_after=None if here_after is None else here_after + offset,
        production=production,
        production_after=None if production_after is None else production_after + offset,
    )


def _judged(curves: Curves, *, slo: SLO, rule: BurnRule, rate: float) -> tuple[Due, float | None]:
    """
    Due when the rule is certainly true for so long that every phase of scrape and evaluation sees it, with its ``for``; not due when it is
    not even possibly true for that long; else borderline. With the seconds from the load's start until it is certainly true.
    """
    theta = threshold(slo, rule)
    certain = _true(curves, curves.certain, rule=rule, theta=theta, rate=rate)
    possible = _true(curves, curves.possible, rule=rule, theta=theta, rate=rate)
    hold = math.ceil(rule.hold / slo.evaluate - 1e-9) * slo.evaluate
    jitter = slo.scrape + slo.evaluate
    first = np.flatnonzero(certain)
    after = float(first[0]) * curves.step if len(first) else None
    if _longest(certain) * curves.step >= hold + jitter:
        return Due.due, after
    if not possible.any() or _longest(possible) * curves.step + jitter < hold:
        return Due.not_due, after
    return Due.borderline, after


def _true(curves: Curves, bad: Floats, *, rule: BurnRule, theta: float, rate: float) -> Bools:
    """
    Whether the rule holds, every step from the load's start until its short window is past the load's end. ``rate``: of good requests
    before and after the load; 0: there were none.
    """
    instants = len(bad) + math.ceil(rule.short / curves.step)
    held = np.ones(instants, np.bool_)
    for window in (rule.long / curves.step, rule.short / curves.step):
        total = _within(curves.total, window=window, instants=instants)
        total += rate * curves.step * _outside(len(bad) - 1, window=window, instants=instants)
        held &= _within(bad, window=window, instants=instants) > theta * total + 1e-9
    return held


def _within(cumulated: Floats, *, window: float, instants: int) -> Floats:
    """Counts in the window that ends at each instant; the load begins at instant 0."""
    at, last = np.arange(instants), len(cumulated) - 1
    begin = np.clip(np.rint(at - window), 0, last).astype(np.int64)
    found: Floats = cumulated[np.minimum(at, last)] - cumulated[begin]
    return found


def _outside(length: int, *, window: float, instants: int) -> Floats:
    """How many steps of the window that ends at each instant are before or after the load."""
    at = np.arange(instants, dtype=np.float64)
    inside = np.minimum(at, length) - np.clip(at - window, 0, length)
    outside: Floats = np.maximum(0.0, window - inside)
    return outside


def _longest(held: Bools) -> int:
    """The longest stretch of True."""
    return _stretch(held)[1]


def _stretch(held: Bools) -> tuple[int, int]:
    """Where the longest stretch of True begins, and its length."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], held, [False])).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    if not len(lengths):
        return 0, 0
    longest = int(np.argmax(lengths))
    return int(edges[::2][longest]), int(lengths[longest])
