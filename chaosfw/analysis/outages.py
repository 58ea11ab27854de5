"""
Onsets, outages and stable recovery of one SLI, and excursions of the hypothesis (protocols: measuring, rules 12 to 14).

Called twice by :mod:`chaosfw.analysis.fold`: unknowns once as good (what certainly happened) and once as bad (what may have).
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from chaosfw.analysis.samples import BAD, GOOD, PIECE, UNKNOWN, Bools, Bytes, Ints, Series
from chaosfw.model.record import Outage, Round, Span
from chaosfw.timing import NANOSECONDS, nanoseconds

Places = npt.NDArray[np.int32]
"""Which requests, of no more than two thousand million."""

ONSETS = ((3, 10), (5, 100))
"""So many bad among so many consecutive intended requests begin an outage."""

STABLE_SAMPLES = 100
"""Stable recovery is seen on at least so many requests."""


_SLACK = 1000
"""Nanoseconds by which instants may be rounded."""


def needed(due: Ints, places: Ints, *, stable_for: float) -> Ints:
    """
    How many requests from each place on make a recovery stable, if none of them is of an onset: those of ``stable_for`` seconds, whatever
    the pace is then, and 100. More than there are, where the load ended before.
    """
    until = due[places] + (nanoseconds(stable_for) - _SLACK)
    found: Ints = np.maximum(np.searchsorted(due, until) - places, STABLE_SAMPLES)
    step = int(due[-1] - due[-2]) if len(due) > 1 else 0
    found[until > due[-1] + step] = len(due) + 1
    return found


def of_load(series: Series, *, grade: Bytes, begin: int, stable_for: float, unknown_is_bad: bool, name: str) -> tuple[Outage, ...]:
    """Outages among the requests that were due from ``begin`` on."""
    skip = int(np.searchsorted(series.due, begin))
    grade = grade[skip:]
    bad = (grade == BAD) | (grade == UNKNOWN) if unknown_is_bad else grade == BAD
    hits = in_onset(bad)
    if not len(hits):
        return ()
    due, end = series.due[skip:], series.known_end[skip:]
    good = _places(grade == GOOD)
    back = _following(good, hits, none=len(grade))
    gaps = hits[1:] - back[:-1]
    long = np.flatnonzero(gaps > STABLE_SAMPLES)
    cuts = long[gaps[long] > needed(due, back[long], stable_for=stable_for)]
    pause = max(10, math.ceil(series.rate))
    return tuple(
        _outage(
            hits=hits[first : last + 1],
            good=good,
            due=due,
            end=end,
            bad=bad,
            stable_for=stable_for,
            name=name,
            relapses=int(np.count_nonzero(gaps[first:last] > pause)),
        )
        for first, last in zip([0, *(cuts + 1).tolist()], [*cuts.tolist(), len(hits) - 1], strict=True)
    )


def of_hypothesis(rounds: Sequence[Round], *, stable_for: float, unknown_is_bad: bool) -> tuple[Outage, ...]:
    """Excursions: one evaluation out of tolerance begins one, ``stable_for`` without another ends it."""
    stable = nanoseconds(stable_for)
    found: list[Outage] = []
    run: list[Round] = []
    good: Round | None = None
    last_good: Round | None = None
    before: Round | None = None
    for one in rounds:
        if one.ok is False or (one.ok is None and unknown_is_bad):
            if run and good is not None and one.due > good.at + stable:
                found.append(_excursion(run, before=before, good=good, seen_stable=True))
                run, before = [], last_good
            elif not run:
                before = last_good
            run.append(one)
            good = None
        elif one.ok:
            good = good or one
            last_good = one
    if run:
        seen = good is not None and rounds[-1].at >= good.at + stable
        found.append(_excursion(run, before=before, good=good, seen_stable=seen))
    return tuple(found)


def in_onset(bad: Bools) -> Ints:
    """Where the bad ones are that belong to an onset: so many in a row of them are no further apart than it is wide."""
    found: Ints = np.flatnonzero(bad)
    dense = np.zeros(len(found), np.bool_)
    for least, width in ONSETS:
        together = found[least - 1 :] - found[: max(0, len(found) - least + 1)] < width
        for shift in range(least):
            dense[shift : shift + len(together)] |= together
    return found[dense]


def _places(which: Bools) -> Places:
    """Where they are, half as wide as numpy says it."""
    found = np.empty(np.count_nonzero(which), np.int32)
    filled = 0
    for at in range(0, len(which), PIECE):
        here = np.flatnonzero(which[at : at + PIECE])
        found[filled : filled + len(here)] = here + at
        filled += len(here)
    return found


def _following(good: Places, hits: Ints, *, none: int) -> Ints:
    """For each hit, the first good one after it."""
    if not len(good):
        return np.full(len(hits), none, np.int64)
    place = np.searchsorted(good, hits.astype(np.int32), side="right")  # of the same kind: another would be a copy of all
    return np.where(place < len(good), good[np.minimum(place, len(good) - 1)], none)


def _outage(*, hits: Ints, good: Places, due: Ints, end: Ints, bad: Bools, stable_for: float, name: str, relapses: int) -> Outage:
    first, last = int(hits[0]), int(hits[-1])
    before, after = bisect.bisect_left(good, first) - 1, bisect.bisect_left(good, last)
    closing: Span | None = None
    need = int(needed(due, good[after : after + 1].astype(np.int64), stable_for=stable_for)[0]) if after < len(good) else 0
    if after < len(good) and len(due) - int(good[after]) >= need:
        run = good[after : bisect.bisect_left(good, int(good[after]) + need)]
        closing = Span(first=int(due[last]), last=int(end[run].min()))
    return Outage(
        what=name,
        onset=Span(first=int(due[good[before]]) if before >= 0 else int(due[first]), last=int(end[first])),
        end=closing,
        bad=int(np.count_nonzero(bad[first : last + 1])),
        relapses=relapses,
        last_bad=int(due[last]),
    )


def _excursion(run: list[Round], *, before: Round | None, good: Round | None, seen_stable: bool) -> Outage:
    first, last = run[0], run[-1]
    return Outage(
        what="hypothesis",
        onset=Span(first=before.due if before else first.due, last=first.at),
        end=Span(first=last.due, last=good.at) if good and seen_stable else None,
        bad=len(run),
        relapses=sum(1 for one, following in itertools.pairwise(run) if following.due - one.at > 2 * NANOSECONDS),
        last_bad=last.due,
    )
