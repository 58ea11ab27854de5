"""
The SLI of the last seconds, from raw samples while the load still runs: for probes that read the load and for progress lines.

Called by the engine for ``LoadProvider`` probes. It looks at what was due in the window and has had time to end; the figures
that claims are judged by come from ``analysis``, over the whole run.
"""

from __future__ import annotations

import math

from chaosfw.model.activity import LoadProvider
from chaosfw.model.arrivals import Arrivals
from chaosfw.model.load import SAMPLE, Generator, Load, Outcome
from chaosfw.model.struct import Noun
from chaosfw.timing import NANOSECONDS, nanoseconds

_UNKNOWN = (Outcome.aborted, Outcome.dropped, Outcome.dns)


class Window(Noun, frozen=True, kw_only=True):
    """
    One look. ``low`` counts unknowns as bad, ``high`` as good; both None when nothing was due. ``latencies`` are those of the
    answered requests in seconds, in order; a failure is +∞.
    """

    intended: int = 0
    ok: int = 0
    failed: int = 0
    unknown: int = 0
    rate: float = 0.0
    """Requests that ended, per second of the window."""
    low: float | None = None
    high: float | None = None
    latencies: tuple[float, ...] = ()
    errors: tuple[tuple[str, int], ...] = ()

    def quantile(self, share: float) -> float | None:
        """Nearest rank over what ended, failures as +∞; None without any, +∞ when the rank falls on a failure."""
        if not self.latencies:
            return None
        return self.latencies[max(0, math.ceil(share * len(self.latencies)) - 1)]


def look(data: bytes, *, load: Load, generator: Generator, now: int, window: float, patience: float = 0.0) -> Window:
    """
    The requests due in [now − patience − window, now − patience). ``patience``, in seconds, leaves out the youngest, which may
    not have ended; what has no sample after that is unknown, where a plan says that it was due. ``data`` may hold more, in any
    order, and end in half a record.
    """
    until, on = now - nanoseconds(patience), generator.on
    if listed := generator.schedule == "listed":
        first, last = max(on, until - nanoseconds(window)), max(on, until)
    else:
        arrivals = Arrivals(load)
        first, last = (arrivals.until(one - on) for one in (until - nanoseconds(window), until))
    there = 0
    ok, seen, errors = 0, 0, dict[str, int]()
    latencies: list[float] = []
    for n, _, end, _, _, outcome, *_ in SAMPLE.iter_unpack(data[: len(data) - len(data) % SAMPLE.size]):
        if not first <= n < last:
            continue
        there += 1
        if outcome == Outcome.ok:
            ok += 1
            latencies.append((end - (n if listed else on + arrivals.due(n))) / NANOSECONDS)
        else:
            name = Outcome(outcome).name
            errors[name] = errors.get(name, 0) + 1
        seen += outcome not in _UNKNOWN
    intended = there if listed else last - first
    failed = seen - ok
    return Window(
        intended=intended,
        ok=ok,
        failed=failed,
        unknown=intended - seen,
        rate=seen / window,
        low=ok / intended if intended else None,
        high=(intended - failed) / intended if intended else None,
        latencies=(*sorted(latencies), *[math.inf] * failed),
        errors=tuple(sorted(errors.items())),
    )


def bounds(seen: Window, *, provider: LoadProvider) -> tuple[float, float] | None:
    """
    What a ``LoadProvider`` reads, at worst and at best: unknowns count once as bad and once as good. A tolerance that accepts
    one and not the other has no evidence. None: nothing was due.
    """
    if seen.low is None or seen.high is None:
        return None
    if provider.sli == "availability":
        return (seen.low, seen.high)
    worst = (*seen.latencies, *[math.inf] * seen.unknown)
    best = (*[0.0] * seen.unknown, *seen.latencies)
    rank = max(0, math.ceil(provider.quantile * seen.intended) - 1)
    return (worst[rank], best[rank])
