"""
Limits on shares of requests, decided from bounds (protocols: measuring, rules 8 to 10).

Unknowns count once as good and once as bad. ``N_min`` is a granularity rule: one run is a census of itself, and a single
bad request of a handful is not 80 % availability.
"""

from __future__ import annotations

import math

import numpy as np

from chaosfw.analysis.samples import BAD, MISSING, UNKNOWN, Bools, Bytes, Series, grades
from chaosfw.model.load import Outcome
from chaosfw.model.record import Counts, ObjectiveLine
from chaosfw.model.slo import Objective
from chaosfw.model.verdict import Truth

_STRICTEST = 299
"""Requests that a target of 100 % (where the formula has no answer) needs: those of 99 %."""

_NAMES = {int(outcome): outcome.name for outcome in Outcome} | {MISSING: "missing"}


def minimum(target: float) -> int:
    """N_min: ⌈ln 0.05 / ln target⌉."""
    if target >= 1:
        return _STRICTEST
    return max(1, math.ceil(math.log(0.05) / math.log(target) - 1e-9)) if target > 0 else 1


def allowance(target: float, *, of: int) -> int:
    """How many bad ones a target leaves room for."""
    return math.floor((1 - target) * of + 1e-9)


def decide(counts: Counts, *, target: float) -> Truth:
    """True iff the worst reading meets the target, False iff the best one misses it."""
    need = minimum(target)
    if counts.intended < need:
        return Truth.false if counts.bad > allowance(target, of=need) else Truth.undecided
    allowed = allowance(target, of=counts.intended)
    if counts.bad > allowed:
        return Truth.false
    return Truth.true if counts.bad + counts.unknown <= allowed else Truth.undecided


def count(series: Series, *, grade: Bytes, mask: Bools, limit: float | None) -> Counts:
    """Requests under ``mask`` by grade and by outcome; ``limit`` says what ``slow`` means."""
    chosen = grade[mask]
    outcome = series.outcome[mask]
    bad, unknown = int(np.count_nonzero(chosen == BAD)), int(np.count_nonzero(chosen == UNKNOWN))
    slow = int(np.count_nonzero((chosen == BAD) & (outcome == Outcome.ok))) if limit is not None else 0
    return Counts(
        intended=len(chosen),
        good=len(chosen) - bad - unknown,
        bad=bad,
        unknown=unknown,
        slow=slow,
        by={name: amount for code, name in sorted(_NAMES.items()) if (amount := int(np.count_nonzero(outcome == code)))},
    )


def measure(objective: Objective, *, series: Series, mask: Bools, window: str) -> ObjectiveLine:
    """One objective over the requests under ``mask``."""
    limit = objective.limit if objective.sli == "latency" else None
    grade = grades(series, limit=limit)
    counts = count(series, grade=grade, mask=mask, limit=limit)
    bad = np.flatnonzero((grade == BAD) & mask)
    need = max(counts.intended, minimum(objective.target))
    allowed = allowance(objective.target, of=need)
    sunk = int(np.sort(series.known_end[bad])[allowed]) if len(bad) > allowed else None
    return ObjectiveLine(
        objective=objective,
        window=window,
        counts=counts,
        sunk=sunk,
        first_bad=int(series.due[bad[0]]) if len(bad) else None,
        last_bad=int(series.due[bad[-1]]) if len(bad) else None,
    )
