"""
The requests of each phase and of the time axis: counts and nearest-rank quantiles, for people and for pictures.

Called by :mod:`chaosfw.analysis.fold`. A failure's latency is +∞ (None in the record), so a quantile never looks better
because requests failed fast. Nothing here decides a claim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from chaosfw.analysis.objectives import count
from chaosfw.analysis.samples import BAD, GOOD, UNKNOWN, Bools, Bytes, Ints, Series
from chaosfw.model.event import Phase
from chaosfw.model.load import Outcome
from chaosfw.model.record import PhaseLoad, PhaseSpan, Quantiles, Second
from chaosfw.timing import NANOSECONDS, nanoseconds, seconds

BUCKETS = 300
"""Points of the time axis, at most."""

FEWEST_BUCKETS = 60
PER_BUCKET = 20
"""Requests that a point stands for, where there are not enough for all points: a p95 of three is none."""

_NARROWEST = NANOSECONDS // 10
_BITS = 44
_INFINITE = (1 << _BITS) - 1
"""A failure's latency: longer than any timeout (about five hours)."""


def phase_of(due: Ints, end: Ints, *, phases: Sequence[PhaseSpan], fault_call: int | None) -> Ints:
    """
    Index into ``phases`` of each request, by its intended start; -1 before the first. A baseline request that ends after
    F_call belongs to inject (rule 11).
    """
    starts = np.array([one.span.first for one in phases], np.int64)
    index: Ints = np.searchsorted(starts, due, side="right") - 1
    inject = next((number for number, one in enumerate(phases) if one.phase is Phase.inject), None)
    if fault_call is not None and inject is not None:
        index[(index < inject) & (index >= 0) & (end > fault_call)] = inject
    return index


def by_phase(series: Series, *, grade: Bytes, index: Ints, phases: Sequence[PhaseSpan], limit: float | None) -> tuple[PhaseLoad, ...]:
    """Counts and quantiles of each phase that had requests."""
    latency = latencies(series, grade=grade)
    return tuple(
        PhaseLoad(
            phase=one.phase,
            counts=count(series, grade=grade, mask=mask, limit=limit),
            quantiles=quantiles(latency[mask & (grade != UNKNOWN)]),
        )
        for number, one in enumerate(phases)
        if (mask := index == number).any()
    )


def latencies(series: Series, *, grade: Bytes) -> Ints:
    """End minus intended start, so that a late generator never flatters; +∞ for failures."""
    ok = series.outcome == Outcome.ok
    return np.where(ok & (grade != UNKNOWN), np.minimum(series.end - series.due, _INFINITE - 1), _INFINITE)


def quantiles(latency: Ints) -> Quantiles:
    """Nearest rank over all, and without the failures."""
    ordered = np.sort(latency)
    good = ordered[: int(np.searchsorted(ordered, _INFINITE))]
    return Quantiles(
        n=len(ordered),
        p50=_rank(ordered, 0.50),
        p95=_rank(ordered, 0.95),
        p99=_rank(ordered, 0.99),
        max=_rank(ordered, 1.0),
        good_p50=_rank(good, 0.50),
        good_p95=_rank(good, 0.95),
        good_p99=_rank(good, 0.99),
    )


def axis(series: Series, *, grade: Bytes, begin: int, end: int) -> tuple[Second, ...]:
    """About three hundred buckets over the run, in one sort for all of them."""
    if end <= begin or not len(series.due):
        return ()
    buckets = min(BUCKETS, max(FEWEST_BUCKETS, len(series.due) // PER_BUCKET))
    width = max(_NARROWEST, math.ceil((end - begin) / buckets))
    buckets = math.ceil((end - begin) / width)
    inside = (series.due >= begin) & (series.due < end)
    place = (series.due[inside] - begin) // width
    chosen = grade[inside]
    table = np.bincount(place * 3 + chosen, minlength=buckets * 3).reshape(buckets, 3)
    known = chosen != UNKNOWN
    ordered = np.sort((place[known] << _BITS) | latencies(series, grade=grade)[inside][known])
    sizes = table[:, GOOD] + table[:, BAD]
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    rows = zip(
        table.tolist(),
        _ranks(ordered, starts=starts, sizes=sizes, share=0.50),
        _ranks(ordered, starts=starts, sizes=sizes, share=0.95),
        strict=True,
    )
    return tuple(
        Second(at=begin + number * width, width=width / NANOSECONDS, good=good, bad=bad, unknown=unknown, p50=p50, p95=p95)
        for number, ((good, bad, unknown), p50, p95) in enumerate(rows)
    )


def success_gap(series: Series, *, grade: Bytes) -> float | None:
    """Largest distance between the ends of consecutive successes, in seconds (rule 18)."""
    ends = np.sort(series.end[(series.outcome == Outcome.ok) & (grade != UNKNOWN)])
    return float(np.diff(ends).max()) / NANOSECONDS if len(ends) > 1 else None


def downtime(series: Series, *, grade: Bytes, begin: int, target: float) -> tuple[float, float]:
    """
    Seconds of bad windows of max(1 s, 20/r), aligned to F_call (rule 16): bad ones, and bad plus those that may have been.
    """
    width = nanoseconds(max(1.0, 20 / series.rate))
    inside = series.due >= begin
    if not inside.any():
        return (0.0, 0.0)
    table = np.bincount(((series.due[inside] - begin) // width) * 3 + grade[inside])
    table = np.pad(table, (0, -len(table) % 3)).reshape(-1, 3)
    allowed = (1 - target) * table.sum(axis=1)
    certain = int(np.count_nonzero(table[:, BAD] > allowed + 1e-9))
    possible = int(np.count_nonzero(table[:, BAD] + table[:, UNKNOWN] > allowed + 1e-9))
    return (certain * seconds(width), possible * seconds(width))


def within(due: Ints, *, begin: int, end: int) -> Bools:
    """Due in [begin, end)."""
    return (due >= begin) & (due < end)


def _rank(ordered: Ints, share: float) -> float | None:
    if not len(ordered):
        return None
    value = int(ordered[math.ceil(share * len(ordered)) - 1])
    return None if value == _INFINITE else value / NANOSECONDS


def _ranks(ordered: Ints, *, starts: Ints, sizes: Ints, share: float) -> list[float | None]:
    place = starts + np.ceil(share * sizes).astype(np.int64) - 1
    found = ordered[np.clip(place, 0, max(len(ordered) - 1, 0))] & _INFINITE if len(ordered) else np.zeros(len(sizes), np.int64)
    pairs = zip(sizes.tolist(), found.tolist(), strict=True)
    return [None if not size or value == _INFINITE else value / NANOSECONDS for size, value in pairs]
