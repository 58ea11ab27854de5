"""
Two runs beside each other: what differs by more than matters. Called by ``chaosfw compare``. Pure.

Windows of the time axis are the unit, drawn in blocks because neighbours resemble each other; requests are far too dependent for that. A
difference is *the same* or *different* only where its whole interval is within or beyond what matters, and *undecided* else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from chaosfw.model.event import Phase
from chaosfw.model.record import Record, Second

FEWEST = 10
"""Windows of a phase below which nothing is said."""
DRAWS = 2_000
SEED = 20_261_125
"""The same two runs give the same answer."""
PHASES = (Phase.baseline, Phase.hold)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    One figure of one phase. ``change`` is B − A in points for availability (0.01 is one point), B / A − 1 for p95; ``low`` to ``high`` its
    95 % interval. None where there are too few windows, or a window's p95 is a failed request more often than not.
    """

    phase: Phase
    figure: Literal["availability", "p95"]
    first: float | None
    second: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    matters: float
    truth: Literal["same", "different", "undecided"] = "undecided"

    @property
    def is_worse(self) -> bool:
        """Decidedly, in B."""
        if self.truth != "different" or self.change is None:
            return False
        return self.change < 0 if self.figure == "availability" else self.change > 0


def compare(first: Record, second: Record, *, availability: float, latency: float) -> tuple[Difference, ...]:
    """
    Availability and p95 before the fault and while it is in. ``availability``: a difference in shares that matters (0.001); ``latency``:
    a ratio less one (0.1).
    """
    found: list[Difference] = []
    for phase in PHASES:
        a, b = _windows(first, phase), _windows(second, phase)
        found.append(_difference(phase, "availability", a, b, _share, lambda x, y: y - x, matters=availability))
        found.append(_difference(phase, "p95", a, b, _middle, _ratio, matters=latency))
    return tuple(found)


def _windows(record: Record, phase: Phase) -> Floats:
    """Rows of good, bad, p95 in seconds (∞: a failed request), of the buckets that lie within the phase and had known requests."""
    spans = [one.span for one in record.phases if one.phase is phase]
    inside = [one for one in record.axis for span in spans if span.last is not None and _is_within(one, span.first, span.last)]
    rows = [(one.good, one.bad, math.inf if one.p95 is None else one.p95) for one in inside if one.good + one.bad]
    return np.array(rows, np.float64).reshape(-1, 3)


def _is_within(one: Second, first: int, last: int) -> bool:
    return first <= one.at and one.at + round(one.width * 1e9) <= last


def _share(windows: Floats) -> float:
    return float(windows[:, 0].sum() / windows[:, :2].sum())


def _middle(windows: Floats) -> float:
    return float(np.median(windows[:, 2]))


def _ratio(first: float, second: float) -> float:
    return second / first - 1 if 0 < first < math.inf and second < math.inf else math.nan


def _difference(
    phase: Phase,
    figure: Literal["availability", "p95"],
    first: Floats,
    second: Floats,
    statistic: Callable[[Floats], float],
    change: Callable[[float, float], float],
    *,
    matters: float,
) -> Difference:
    values = [statistic(one) if len(one) else None for one in (first, second)]
    bare = Difference(phase=phase, figure=figure, first=values[0], second=values[1], matters=matters)
    if min(len(first), len(second)) < FEWEST or values[0] is None or values[1] is None or math.isnan(change(values[0], values[1])):
        return bare
    chance = np.random.default_rng(SEED)
    drawn = [change(statistic(_redrawn(first, chance)), statistic(_redrawn(second, chance))) for _ in range(DRAWS)]
    if any(map(math.isnan, drawn)):
        return bare
    low, high = (float(one) for one in np.quantile(drawn, (0.025, 0.975), method="inverted_cdf"))
    truth: Literal["same", "different", "undecided"] = "undecided"
    if -matters <= low and high <= matters:
        truth = "same"
    elif low > matters or high < -matters:
        truth = "different"
    return Difference(
        phase=phase,
        figure=figure,
        first=values[0],
        second=values[1],
        change=change(values[0], values[1]),
        low=low,
        high=high,
        matters=matters,
        truth=truth,
    )


def _redrawn(windows: Floats, chance: np.random.Generator) -> Floats:
    """As many windows, in whole blocks from anywhere in the circle (Politis and Romano 1992); a block is the cube root of them long."""
    count = len(windows)
    length = max(1, round(count ** (1 / 3)))
    starts = chance.integers(0, count, size=math.ceil(count / length))
    places = (starts[:, None] + np.arange(length)).ravel()[:count] % count
    drawn: Floats = windows[places]
    return drawn
