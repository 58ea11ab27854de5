"""
The conditions that end a run at once, asked all the while on a clock of their own: each is a probe, and its tolerance says when it is
safe to go on.

Called by ``loop``. A condition that gives no evidence several times in a row halts too: nobody would notice what it guards against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chaosfw.model.activity import Probe
from chaosfw.timing import nanoseconds

EVERY = 0.5
"""Seconds between two looks at a condition."""
BLIND = 3
"""Looks in a row without evidence, after which a run halts."""

Answered = Callable[[bool | None, str], None]


@dataclass(slots=True, kw_only=True)
class Halts:
    """``ask`` asks a probe and tells, from any thread, whether its value is within tolerance (None: no evidence) and why not."""

    probes: Sequence[Probe]
    ask: Callable[[Probe, Answered], None]
    trip: Callable[[str], None]
    _next: int = 0
    _asked: dict[int, int] = field(default_factory=dict)
    _blind: dict[int, int] = field(default_factory=dict)
    _tripped: bool = False

    def look(self, now: int) -> None:
        """Asks what is due, and counts as blind what did not answer in its time."""
        if self._tripped or now < self._next:
            return
        self._next = now + nanoseconds(EVERY)
        for place, probe in enumerate(self.probes):
            since = self._asked.get(place)
            if since is None:
                self._asked[place] = now
                self.ask(probe, self._answer(place, probe))
            elif now - since > nanoseconds(probe.timeout + EVERY):
                self._without_evidence(place, probe, f"no answer within {probe.timeout:g} s")

    def _answer(self, place: int, probe: Probe) -> Answered:
        def answered(within: bool | None, why: str) -> None:
            self._asked.pop(place, None)
            if within is None:
                self._without_evidence(place, probe, why)
                return
            self._blind.pop(place, None)
            if within is False:
                self._trip(f"halt condition {probe.name!r}: {why}")

        return answered

    def _without_evidence(self, place: int, probe: Probe, why: str) -> None:
        self._blind[place] = self._blind.get(place, 0) + 1
        if self._blind[place] >= BLIND:
            self._trip(f"halt condition {probe.name!r} can not be seen: {why}")

    def _trip(self, why: str) -> None:
        if not self._tripped:
            self._tripped = True
            self.trip(why)
