"""
What a closed loop left out: requests that its users would have sent, had they not been waiting.

Called by :mod:`chaosfw.analysis.fold`. The correction is after Gil Tene's for coordinated omission, over all users at once: it needs to
know the pace, which is that of the baseline. It is a figure for people and makes no claim true or false (measuring.md, rule 18).
"""

from __future__ import annotations

import numpy as np

from chaosfw.analysis.samples import BAD, GOOD, Bytes, Series
from chaosfw.timing import NANOSECONDS

STEP = 0.1
"""Seconds that are looked at together, at least; at a slow pace as long as ten requests take."""


def corrected(series: Series, *, grade: Bytes) -> tuple[float, float] | None:
    """
    The share of good requests with those that were left out, low and high; None where nothing is known of any. What was left out between
    two requests of one fate would have shared it. Between a bad one and a good one nobody knows when it turned: once bad, once good.
    """
    known = ((grade == GOOD) | (grade == BAD)) & (series.sent > 0)
    if not known.any():
        return None
    order = np.argsort(series.sent[known], kind="stable")
    sent, good = series.sent[known][order], (grade[known] == GOOD)[order]
    step = max(STEP, 10 / series.rate) * NANOSECONDS
    edges = np.arange(int((sent[-1] - series.on) / step) + 1) * step + series.on
    place = np.clip(((sent - series.on) / step).astype(np.int64), 0, len(edges) - 1)
    asked = np.bincount(place, minlength=len(edges))
    missing = np.maximum(0.0, series.rate * step / NANOSECONDS - asked)
    after = np.clip(np.searchsorted(sent, edges + step / 2), 0, len(sent) - 1)
    before, following = good[np.maximum(after - 1, 0)], good[after]
    whole = len(sent) + missing.sum()
    fine = int(np.count_nonzero(good))
    return (float((fine + missing[before & following].sum()) / whole), float((fine + missing[before | following].sum()) / whole))
