"""
How late a process's event loop runs, so that a measurement can be thrown out when the instrument itself was slow.

Used by the control and data plane processes; read through their sockets. It asks for a wake-up each 50 ms and notes how much later
than asked it came.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from chaosfw.timing import Clock, nanoseconds

_PERIOD: Final = 0.05
_KEPT: Final = 200
"""Ten seconds of wake-ups."""


class Lateness:
    """Measures from :meth:`start` until the loop ends."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[int] = deque(maxlen=_KEPT)

    def start(self) -> None:
        self._arm(asyncio.get_running_loop())

    def figures(self) -> dict[str, float]:
        """Milliseconds over the last ten seconds."""
        seen = sorted(self._seen)
        if not seen:
            return {"p50": 0.0, "p99": 0.0, "max": 0.0}
        return {"p50": _ms(seen[len(seen) // 2]), "p99": _ms(seen[int((len(seen) - 1) * 0.99)]), "max": _ms(seen[-1])}

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(_PERIOD, self._tick, loop, self._clock.monotonic_ns() + nanoseconds(_PERIOD))

    def _tick(self, loop: asyncio.AbstractEventLoop, due: int) -> None:
        self._seen.append(max(0, self._clock.monotonic_ns() - due))
        self._arm(loop)


def _ms(ns: int) -> float:
    return round(ns / 1e6, 3)
