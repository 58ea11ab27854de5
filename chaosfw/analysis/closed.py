"""
What a closed loop left out: requests that its users would have sent, had they not been waiting.

Called by :mod:`chaosfw.analysis.fold`. The correction is after Gil Tene's for coordinated omission, over all users at once: it needs to
know the pace, which is that of the baseline. It is a figure for people and makes no claim true or false (measuring.md, rule 18).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from chaosfw.analysis.samples import BAD, GOOD, Bools, Bytes, Ints, Series
from chaosfw.timing import NANOSECONDS

Floats = npt.NDArray[np.floating[Any]]

STEP = 0.1
"""Seconds that are looked at together, at least; at a slow pace as long as ten requests take."""


def corrected(series: Series, *, grade: Bytes) -> float | None:
    """The share of good requests with those that were left out; None where nothing is known of any."""
    known = ((grade == GOOD) | (grade == BAD)) & (series.sent > 0)
    if not known.any():
        return None
    step = max(STEP, 10 / series.rate) * NANOSECONDS
    sent, end, good = series.sent[known], series.end[known], grade[known] == GOOD
    edges = np.arange(int((sent[-1] - series.on) / step) + 1) * step + series.on
    place = np.clip(((sent - series.on) / step).astype(np.int64), 0, len(edges) - 1)
    asked = np.bincount(place, minlength=len(edges)).astype(np.float64)
    fine = np.bincount(place[good], minlength=len(edges)).astype(np.float64)
    missing = np.maximum(0.0, series.rate * step / NANOSECONDS - asked)
    share = _waiting(sent, end, good, at=edges + step / 2)
    missing[np.isnan(share)] = 0.0
    return float((fine + missing * np.nan_to_num(share)).sum() / (asked + missing).sum())


def _waiting(sent: Ints, end: Ints, good: Bools, *, at: Floats) -> Floats:
    """Of the requests that were under way at each instant, the share that became good; NaN where none was."""

    def under_way(which: Bools) -> Ints:
        begun = np.searchsorted(np.sort(sent[which]), at)
        return begun - np.searchsorted(np.sort(end[which]), at)

    fine, bad = under_way(good), under_way(~good)
    with np.errstate(invalid="ignore"):
        return np.asarray(fine / (fine + bad))
