"""
A process that has imported the drivers once and forks executors from itself: a new writer after each fence costs
milliseconds instead of most of a second.

Single-threaded by construction, because only such a process may fork safely. Used by ``assembly``; ends by end of file.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaosfw.errors import DriverError
from chaosfw.executor.child import MARK, ExecutorChild
from chaosfw.safety.fence import start_time
from chaosfw.timing import Clock, nanoseconds

STARTING = 30.0
"""Seconds that importing the drivers may take."""
FORKING = 5.0
"""Seconds that one fork may take."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A process that is not our child: known by its id and start time."""

    pid: int
    started: str
    clock: Clock

    def poll(self) -> int | None:
        return None if start_time(self.pid) == self.started else 0

    def wait(self, timeout: float) -> int:
        """Raises TimeoutExpired, as a process of our own would."""
        until = self.clock.monotonic_ns() + nanoseconds(timeout)
        while self.poll() is None:
            if self.clock.monotonic_ns() > until:
                raise subprocess.TimeoutExpired(f"executor {self.pid}", timeout)
            self.clock.sleep(0.002)
        return 0


class Nursery:
    """Forks executors that have ``warm`` imported already. ``env`` is added to ours."""

    def __init__(self, *, clock: Clock, env: Mapping[str, str], warm: Sequence[str], log: Path) -> None:
        self._clock = clock
        self._log = log
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaosfw.processes.nursery", str(theirs.fileno()), *warm],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, **env, MARK: f"nursery-{secrets.token_hex(8)}"},
            )
        theirs.close()
        self._ready = False

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        """Blocks until the drivers are imported. Raises DriverError with the tail of its output."""
        if not self._ready:
            self._answer(STARTING)
            self._ready = True

    def spawn(self, *, role: str, log: Path) -> ExecutorChild:
        """A new executor, serving at once."""
        self.wait_ready()
        token = f"{role}-{secrets.token_hex(8)}"
        requests_read, requests_write = os.pipe()
        replies_read, replies_write = os.pipe()
        log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            socket.send_fds(self._socket, [json.dumps({"token": token}).encode() + b"\n"], [requests_read, replies_write, log_fd])
            pid = int(self._answer(FORKING)["pid"])
        except BaseException:
            os.close(requests_write)
            os.close(replies_read)
            raise
        finally:
            for descriptor in (requests_read, replies_write, log_fd):
                os.close(descriptor)
        process = Forked(pid, start_time(pid), self._clock)
        requests, replies = os.fdopen(requests_write, "wb"), os.fdopen(replies_read, "rb")
        executor = ExecutorChild(process, requests=requests, replies=replies, token=token, clock=self._clock, log=log, role=role)
        executor.wait_ready(FORKING)  # from here on it has a group of its own, which the fence can kill
        return executor

    def close(self) -> None:
        """Its children have been closed before; it goes by end of file."""
        self._socket.close()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self, timeout: float) -> dict[str, int]:
        self._socket.settimeout(timeout)
        try:
            heard = b""
            while not heard.endswith(b"\n"):
                part = self._socket.recv(4096)
                if not part:
                    raise ConnectionResetError("it ended")
                heard += part
        except OSError as trouble:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
            raise DriverError(f"the executor did not start: {trouble}", hint=f"its last words:\n{tail}") from trouble
        answer: dict[str, int] = json.loads(heard)
        return answer
