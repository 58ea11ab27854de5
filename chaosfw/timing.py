"""
The one door to time. Every room that needs to know or to wait receives a :class:`Clock`; nobody else imports ``time``.

``monotonic_ns`` is CLOCK_MONOTONIC: shared by all processes of one boot, stopped during suspend. All instants of a run are
its nanoseconds. ``boottime_ns`` goes on during suspend, so a jump between the two is a suspend. ``wall_ns`` is for labels
that a person reads, never for arithmetic.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second."""


class Clock(Protocol):
    """What a room may know of time. :class:`SystemClock` is the real one; ``chaosfw.testing`` has one that only moves when told."""

    def monotonic_ns(self) -> int: ...

    def boottime_ns(self) -> int: ...

    def wall_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's own clocks."""

    monotonic_ns = staticmethod(time.monotonic_ns)
    """The function itself: generators ask it several times for each request."""

    def boottime_ns(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = SystemClock()


def seconds(nanoseconds: int) -> float:
    """Nanoseconds as seconds."""
    return nanoseconds / NANOSECONDS


def nanoseconds(seconds: float) -> int:
    """Seconds as whole nanoseconds."""
    return round(seconds * NANOSECONDS)


def iso(wall_ns: int) -> str:
    """A wall-clock instant as RFC 3339 in UTC with milliseconds, for people and labels."""
    moment = datetime.fromtimestamp(wall_ns / NANOSECONDS, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def boot_id() -> str:
    """Identifies this boot of the machine: monotonic instants are comparable only within one. Empty where unknown."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else ""
