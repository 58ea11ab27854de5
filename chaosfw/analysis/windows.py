"""
The requests of each phase and of the time axis: counts and nearest-rank quantiles, for people and for pictures.

Called by :mod:`chaosfw.analysis.fold`. A failure's latency is +∞ (None in the record), so a quantile never looks better
because requests failed fast. Nothing here decides a claim.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chaosfw.analysis.objectives import count
from chaosfw.analysis.samples import BAD, PIECE, UNKNOWN, Bools, Bytes, Ints, Series
from chaosfw.model.arrivals import turns
from chaosfw.model.event import Phase
from chaosfw.model.load import Load, Outcome
from chaosfw.model.record import KindLoad, PhaseLoad, PhaseSpan, Quantiles, Second
from chaosfw.timing import NANOSECONDS, nanoseconds, seconds

BUCKETS = 300
"""Points of the time axis, at most."""

FEWEST_BUCKETS = 60
PER_BUCKET = 20
"""Requests that a point stands for, where there are not enough for all points: a p95 of three is none."""

_NARROWEST = NANOSECONDS // 10
Indices = npt.NDArray[np.int8]
"""Of a phase, for each request."""

_INFINITE = (1 << 44) - 1
"""A failure's latency: longer than any timeout (about five hours)."""


def phase_of(due: Ints, end: Ints, *, phases: Sequence[PhaseSpan], fault_call: int | None) -> Indices:
    """
    Index into ``phases`` of each request, by its intended start; -1 before the first. A baseline request that ends after
    F_call belongs to inject (rule 11).
    """
    index = np.full(len(due), -1, np.int8)
    for number, one in enumerate(phases):
        index[np.searchsorted(due, one.span.first) :] = number
    inject = next((number for number, one in enumerate(phases) if one.phase is Phase.inject), None)
    if fault_call is not None and inject is not None:
        index[(index < inject) & (index >= 0) & (end > fault_call)] = inject
    return index


def by_phase(series: Series, *, grade: Bytes, index: Indices, phases: Sequence[PhaseSpan], limit: float | None) -> tuple[PhaseLoad, ...]:
    """Counts and quantiles of each phase that had requests."""
    return tuple(
        PhaseLoad(
            phase=one.phase,
            counts=count(series, grade=grade, mask=mask, limit=limit),
            quantiles=quantiles(_known(series, grade=grade, part=_part(mask))),
        )
        for number, one in enumerate(phases)
        if (mask := index == number).any()
    )


def by_kind(series: Series, *, grade: Bytes, load: Load, limit: float | None) -> tuple[KindLoad, ...]:
    """Counts and quantiles of each kind of request, where there are several: whose turn each number was, the plan says."""
    if not load.requests:
        return ()
    kind = np.resize(np.array(turns(load), np.uint16), len(series.due))
    return tuple(
        KindLoad(
            name=one.name,
            weight=one.weight,
            counts=count(series, grade=grade, mask=mask, limit=limit),
            quantiles=quantiles(_known(series, grade=grade, part=mask)),
        )
        for number, one in enumerate(load.requests)
        if (mask := kind == number).any()
    )


def latencies(series: Series, *, grade: Bytes, part: slice | Bools = slice(None)) -> Ints:
    """End minus intended start, so that a late generator never flatters; +∞ for failures."""
    end = series.known_end[part]
    latency = np.subtract(end, series.due[part], out=end if end.base is None and end is not series.known_end else None)
    np.minimum(latency, _INFINITE - 1, out=latency)
    latency[(series.outcome[part] != Outcome.ok) | (grade[part] == UNKNOWN)] = _INFINITE
    return latency


def _known(series: Series, *, grade: Bytes, part: slice | Bools) -> Ints:
    """Latencies of what is not unknown."""
    latency, known = latencies(series, grade=grade, part=part), grade[part] != UNKNOWN
    return latency if known.all() else latency[known]


def _part(mask: Bools) -> slice | Bools:
    """A slice where that says the same: it makes no copy."""
    first, amount = int(np.argmax(mask)), int(np.count_nonzero(mask))
    return slice(first, first + amount) if mask[first : first + amount].all() else mask


def quantiles(latency: Ints) -> Quantiles:
    """Nearest rank over all, and without the failures. Sorts ``latency`` where it is."""
    latency.sort()
    ordered = latency
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
    """About three hundred buckets over the run."""
    if end <= begin or not len(series.due):
        return ()
    buckets = min(BUCKETS, max(FEWEST_BUCKETS, len(series.due) // PER_BUCKET))
    width = max(_NARROWEST, math.ceil((end - begin) / buckets))
    edges = [min(begin + number * width, end) for number in range(math.ceil((end - begin) / width) + 1)]
    places = np.searchsorted(series.due, edges).tolist()
    found = []
    for at, (first, last) in zip(edges, itertools.pairwise(places), strict=False):
        good, bad, unknown = _amounts(grade[first:last])
        ordered = _known(series, grade=grade, part=slice(first, last))
        ordered.sort()
        found.append(
            Second(
                at=at, width=width / NANOSECONDS, good=good, bad=bad, unknown=unknown, p50=_rank(ordered, 0.50), p95=_rank(ordered, 0.95)
            )
        )
    return tuple(found)


def success_gap(series: Series, *, grade: Bytes) -> float | None:
    """Largest distance between the ends of consecutive successes, in seconds (rule 18)."""
    ends = series.known_end[(series.outcome == Outcome.ok) & (grade != UNKNOWN)]
    ends.sort()
    gaps = (np.diff(ends[at : at + PIECE + 1]).max() for at in range(0, len(ends) - 1, PIECE))
    return float(max(gaps)) / NANOSECONDS if len(ends) > 1 else None


def downtime(series: Series, *, grade: Bytes, begin: int, target: float) -> tuple[float, float]:
    """
    Seconds of bad windows of max(1 s, 20/r), aligned to F_call (rule 16): bad ones, and bad plus those that may have been.
    """
    width = nanoseconds(max(1.0, 20 / series.rate))
    first = int(np.searchsorted(series.due, begin))
    if first == len(series.due):
        return (0.0, 0.0)
    edges = np.arange(begin, int(series.due[-1]) + width + 1, width)
    places = np.searchsorted(series.due, edges).tolist()
    certain = possible = 0
    for begun, over in itertools.pairwise(places):
        _, bad, unknown = _amounts(grade[begun:over])
        allowed = (1 - target) * (over - begun)
        certain += bad > allowed + 1e-9
        possible += bad + unknown > allowed + 1e-9
    return (certain * seconds(width), possible * seconds(width))


def _amounts(grade: Bytes) -> tuple[int, int, int]:
    """Good, bad, unknown."""
    bad, unknown = int(np.count_nonzero(grade == BAD)), int(np.count_nonzero(grade == UNKNOWN))
    return len(grade) - bad - unknown, bad, unknown


def within(due: Ints, *, begin: int, end: int) -> Bools:
    """Due in [begin, end)."""
    return (due >= begin) & (due < end)


def _rank(ordered: Ints, share: float) -> float | None:
    if not len(ordered):
        return None
    value = int(ordered[math.ceil(share * len(ordered)) - 1])
    return None if value == _INFINITE else value / NANOSECONDS
