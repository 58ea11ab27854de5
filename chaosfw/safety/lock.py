"""
One holder an environment: a locked file with an epoch that only grows.

The kernel releases the lock on every kind of death, so a lock is never left over; the epoch tells a healer's writes from
those of the run that it heals after. A cluster that several hosts share has a Lease as well
(``lease``).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

from chaosfw.errors import LockTaken
from chaosfw.safety import halt
from chaosfw.timing import Clock, iso, nanoseconds

FILE = "lock"
LOOK = 0.05
"""Seconds between tries while somebody else holds it."""


class FileLock:
    """Held from its making until ``release`` or the death of the process."""

    def __init__(self, descriptor: int, *, epoch: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path
        self.epoch = epoch

    def still_mine(self) -> bool:
        """Whether nobody has moved the epoch on: a healer does so before it writes."""
        return self._descriptor >= 0 and _epoch(self._path) == self.epoch

    def regain(self) -> bool:
        """As ``still_mine``: the kernel gives it to nobody else while we live."""
        return self.still_mine()

    def cord(self) -> str:
        return halt.standing(self._path.parent)

    def release(self) -> None:
        """Safe twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def take(directory: Path, *, who: str, clock: Clock, wait: float = 0.0, waiting: Callable[[str], None] | None = None) -> FileLock:
    """
    The lock with the next epoch. Waits up to ``wait`` seconds, calling ``waiting`` once with the holder's words.
    Raises LockTaken naming the holder.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = clock.monotonic_ns() + nanoseconds(wait)
    told = False
    while not _locked(descriptor):
        holder = holder_words(path)
        if clock.monotonic_ns() >= until:
            os.close(descriptor)
            raise LockTaken(f"{directory} is in use by {holder}", hint="wait for it, or give --chaos-lock-timeout")
        if waiting is not None and not told:
            waiting(holder)
            told = True
        clock.sleep(LOOK)
    epoch = _epoch(path) + 1
    _write(descriptor, {"epoch": epoch, "who": who, "pid": os.getpid(), "since": iso(clock.wall_ns())})
    return FileLock(descriptor, epoch=epoch, path=path)


def holder_words(path: Path) -> str:
    """Who holds or held it last, in words."""
    content = _content(path)
    return f"{content.get('who', 'somebody')} (process {content.get('pid', '?')}, since {content.get('since', '?')})"


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes() or b"{}")
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write(descriptor: int, content: dict[str, object]) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps(content).encode())
    os.fsync(descriptor)


def _epoch(path: Path) -> int:
    epoch = _content(path).get("epoch", 0)
    return epoch if isinstance(epoch, int) else 0
