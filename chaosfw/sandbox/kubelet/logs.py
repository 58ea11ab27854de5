"""
The log door: what the API server's ``pods/log`` asks of the kubelets. Implements :class:`~chaosfw.sandbox.client.verbs.PodDoor` for all
nodes.

Reads the files that the runtime writes (:mod:`chaosfw.sandbox.runtime.logfile`); a follower looks for new lines ten times a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Final

from chaosfw.sandbox.client.verbs import ApiError
from chaosfw.sandbox.kubelet.container import Container
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.objects.moments import micro_stamp
from chaosfw.timing import SYSTEM, Clock, nanoseconds

_LOOK: Final = 0.1


class Logs:
    """``kubelets`` may grow after this was made: the API server is started before them."""

    def __init__(self, kubelets: Iterable[Kubelet], *, clock: Clock = SYSTEM) -> None:
        self._kubelets = kubelets
        self._clock = clock

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: int | None = None,
        since_seconds: float | None = None,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]:
        """Whole lines. Raises ApiError when the container is unknown or has not run."""
        found = self._find(namespace, pod, container)
        path = found.log(previous=previous)
        if not path.exists():
            raise _refused(
                f'previous terminated container "{found.name}" in pod "{pod}" not found'
                if previous
                else f'container "{found.name}" in pod "{pod}" is waiting to start: {found.waiting_for}'
            )
        since = self._since(since_seconds)
        reader = _Lines(path)
        wanted = [line for line in reader.new() if line >= since]
        for line in wanted if tail is None else wanted[max(0, len(wanted) - tail) :]:
            yield _shown(line, timestamps=timestamps)
        if not follow or previous:
            return
        async for line in _follow(reader, alive=lambda: found.running and found.log(previous=False) == path):
            yield _shown(line, timestamps=timestamps)

    def _find(self, namespace: str, pod: str, container: str) -> Container:
        for kubelet in self._kubelets:
            worker = kubelet.worker(namespace, pod)
            found = worker.container(container) if worker is not None else None
            if found is not None:
                return found
        raise _refused(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')

    def _since(self, seconds: float | None) -> bytes:
        """Lines start with their time, and its text sorts as the time does."""
        return b"" if seconds is None else micro_stamp(self._clock.wall_ns() - nanoseconds(seconds)).encode()


def _refused(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


class _Lines:
    """The complete lines of a growing file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def new(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return []  # the pod is gone
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
