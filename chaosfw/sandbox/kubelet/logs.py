"""
What ``pods/log`` asks of a container. Called by :mod:`.inward`.

Reads the files that the runtime writes (:mod:`chaosfw.sandbox.runtime.logfile`); a follower looks for new lines ten times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import BinaryIO, Final

from chaosfw.sandbox.client.verbs import ApiError
from chaosfw.sandbox.kubelet.container import Container
from chaosfw.sandbox.objects.moments import micro_stamp
from chaosfw.timing import Clock, nanoseconds

_LOOK: Final = 0.1


async def logs(
    find: Callable[[], Container],
    *,
    pod: str,
    clock: Clock,
    follow: bool,
    previous: bool,
    tail: int | None,
    since_seconds: float | None,
    timestamps: bool,
) -> AsyncIterator[bytes]:
    """Whole lines of the container that is found. Raises ApiError when it has not run."""
    found = find()
    path = found.log(previous=previous)
    if not path.exists():
        raise _refused(
            f'previous terminated container "{found.name}" in pod "{pod}" not found'
            if previous
            else f'container "{found.name}" in pod "{pod}" is waiting to start: {found.waiting_for}'
        )
    since = b"" if since_seconds is None else micro_stamp(clock.wall_ns() - nanoseconds(since_seconds)).encode()
    with path.open("rb") as file:  # until the end: what it has said last is read, too, when the pod and its files are gone
        reader = _Lines(file)
        wanted = [line for line in reader.new() if line >= since]  # lines start with their time, and its text sorts as the time does
        for line in wanted if tail is None else wanted[max(0, len(wanted) - tail) :]:
            yield _shown(line, timestamps=timestamps)
        if not follow or previous:
            return
        async for line in _follow(reader, alive=lambda: found.running and found.log(previous=False) == path):
            yield _shown(line, timestamps=timestamps)


def _refused(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


class _Lines:
    """The complete lines of a growing file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._read = 0

    def new(self) -> list[bytes]:
        self._file.seek(self._read)
        data = self._file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._read += len(data)
        return data.splitlines(keepends=True)


async def _follow(lines: _Lines, *, alive: Callable[[], bool]) -> AsyncIterator[bytes]:
    while True:
        was_alive = alive()
        for line in lines.new():
            yield line
        if not was_alive:
            return
        await asyncio.sleep(_LOOK)


def _shown(line: bytes, *, timestamps: bool) -> bytes:
    return line if timestamps else line.partition(b" ")[2]
