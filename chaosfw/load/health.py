"""
The generator watches itself: slots of 100 ms in which it was late, dropped requests, had no address, ate a core, or slept.

Kept by every generator, of itself and of the tool that it runs. Only unhealthy slots are kept; what they taint is decided by ``analysis``.
"""

from __future__ import annotations

import resource
from collections.abc import Callable

from chaosfw.model.load import Health
from chaosfw.timing import NANOSECONDS, Clock

SLOT = NANOSECONDS // 10
LATE = NANOSECONDS // 20
BUSY = 0.9
SLEPT = NANOSECONDS // 10


class Vitals:
    """Looks at the clocks once a slot, and is told of each late or dropped request."""

    def __init__(self, clock: Clock, *, on: int, cpu: Callable[[], float] | None = None) -> None:
        """``cpu``: seconds of a core used so far, by whatever generates; without it, by this process."""
        self._clock, self._cpu = clock, cpu or _cpu
        self._on = on
        self._late: dict[int, int] = {}
        self._drops: dict[int, int] = {}
        self._unresolved: dict[int, int] = {}
        self._busy: dict[int, float] = {}
        self._anchor = self._drift()
        self._looked = clock.monotonic_ns()
        self._used = self._cpu()
        self.suspended = False
        self.next_look = on + SLOT

    def sent(self, due: int, *, late: int) -> None:
        if late > LATE:
            slot = (due - self._on) // SLOT
            self._late[slot] = max(self._late.get(slot, 0), late)

    def dropped(self, due: int) -> None:
        slot = (due - self._on) // SLOT
        self._drops[slot] = self._drops.get(slot, 0) + 1

    def unresolved(self, due: int) -> None:
        slot = (due - self._on) // SLOT
        self._unresolved[slot] = self._unresolved.get(slot, 0) + 1

    def look(self, now: int) -> None:
        """Once a slot: the share of a core since the last look, and whether the machine slept meanwhile."""
        used, passed = self._cpu(), now - self._looked
        share = (used - self._used) * NANOSECONDS / passed if passed > 0 else 0.0
        drift = self._drift()
        first, last = (self._looked - self._on) // SLOT, max((now - 1 - self._on) // SLOT, 0)
        if share > BUSY and passed >= SLOT // 2:
            for slot in range(max(first, 0), last + 1):
                self._busy[slot] = min(share, 1.0)
        if drift - self._anchor > SLEPT:
            self.suspended = True
            self._late[last] = max(self._late.get(last, 0), drift - self._anchor)
        self._anchor, self._looked, self._used = drift, now, used
        self.next_look = max(self.next_look + SLOT, now + SLOT // 2)

    def unhealthy(self) -> tuple[Health, ...]:
        slots = sorted({*self._late, *self._drops, *self._unresolved, *self._busy})
        return tuple(
            Health(
                at=self._on + slot * SLOT,
                lateness_max=self._late.get(slot, 0) / NANOSECONDS,
                dropped=self._drops.get(slot, 0),
                cpu=round(self._busy.get(slot, 0.0), 3),
                unresolved=self._unresolved.get(slot, 0),
            )
            for slot in slots
        )

    def _drift(self) -> int:
        return self._clock.boottime_ns() - self._clock.monotonic_ns()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
