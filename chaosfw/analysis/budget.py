"""
What a run cost of the SLO's error budget: bad / ((1 − SLO) · N_window), an interval because of unknowns.

Called by :mod:`chaosfw.analysis.fold`. An SLO prices a run; whether the price was allowed is a claim, judged elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosfw.analysis.objectives import count
from chaosfw.analysis.samples import Bools, Series, grades
from chaosfw.model.record import Price
from chaosfw.model.slo import SLO


def price(series: Series, *, slo: SLO, mask: Bools, hypothetical: bool) -> Price:
    """The dearest objective of ``slo`` over the requests under ``mask``. ``hypothetical``: the traffic is a sandbox's."""
    window = slo.requests_per_window or series.rate * slo.window
    return max(_prices(series, slo=slo, mask=mask, window=window, words=_denominator(slo, series, hypothetical)), key=_dearness)


def budget_left(price: Price) -> tuple[float, float]:
    """Shares of the window's budget that the run left, low and high."""
    return (1 - price.share_high, 1 - price.share_low)


def _prices(series: Series, *, slo: SLO, mask: Bools, window: float, words: str) -> Iterator[Price]:
    limits: list[tuple[float, float | None]] = [(slo.availability, None)]
    limits += [(one.quantile, one.limit) for one in slo.latency]
    for target, limit in limits:
        counts = count(series, grade=grades(series, limit=limit), mask=mask, limit=limit)
        budget = (1 - target) * window
        yield Price(
            bad_low=counts.bad,
            bad_high=counts.bad + counts.unknown,
            budget=budget,
            share_low=_share(counts.bad, budget),
            share_high=_share(counts.bad + counts.unknown, budget),
            denominator=words,
        )


def _dearness(price: Price) -> tuple[float, float]:
    return (price.share_high, price.share_low)


def _share(bad: float, budget: float) -> float:
    """A target of 100 % has no budget: nothing costs nothing, and one bad request costs all of it."""
    if budget > 0:
        return bad / budget
    return 1.0 if bad else 0.0


def _denominator(slo: SLO, series: Series, hypothetical: bool) -> str:
    days = f"{slo.window / 86400:g} d"
    if slo.requests_per_window:
        return f"{slo.requests_per_window:,.0f} declared requests in {days}"
    return f"{series.rate:g} requests/s over {days}" + (", if this were production at the same traffic" if hypothetical else "")
