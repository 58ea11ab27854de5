"""
A container's output on disk: a line each, ``<RFC 3339 time> <text>``, as the container runtimes of Kubernetes write it.

Written by the runtime from the container's pipe, read by the kubelet's log door (:mod:`chaosfw.sandbox.kubelet.logs`).
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from chaosfw.timing import Clock


class LogFile:
    """Collects bytes into lines and stamps each when it ends."""

    def __init__(self, path: str, *, clock: Clock) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._clock = clock
        self._rest = b""

    def write(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            stamp = self._stamp()
            os.write(self._fd, b"".join(stamp + line + b"\n" for line in lines))

    def close(self) -> None:
        if self._rest:
            os.write(self._fd, self._stamp() + self._rest + b"\n")
        os.close(self._fd)

    def _stamp(self) -> bytes:
        seconds, nanoseconds = divmod(self._clock.wall_ns(), 1_000_000_000)
        moment = datetime.fromtimestamp(seconds, tz=UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z ".encode()
