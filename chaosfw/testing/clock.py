"""A clock that only moves when somebody waits or says so: a test of a ten-minute recovery is exact and takes a millisecond."""

from __future__ import annotations

from dataclasses import dataclass, field

from chaosfw.timing import nanoseconds


@dataclass(slots=True)
class FakeClock:
    """chaosfw.timing.Clock. Starts at ``now`` ns; ``slept`` keeps what was waited for, in seconds."""

    now: int = 1_000_000_000_000
    wall: int = 1_790_000_000_000_000_000
    suspended: int = 0
    slept: list[float] = field(default_factory=list)

    def monotonic_ns(self) -> int:
        return self.now

    def boottime_ns(self) -> int:
        return self.now + self.suspended

    def wall_ns(self) -> int:
        return self.wall + self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.now += nanoseconds(seconds)

    def suspend(self, seconds: float) -> None:
        """The machine sleeps: BOOTTIME goes on, MONOTONIC does not."""
        self.suspended += nanoseconds(seconds)
