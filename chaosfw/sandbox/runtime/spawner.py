"""
The processes of the runtime: start, signal, reap, and the end of them all.

Called by the main loop only. Everything that a container leaves behind dies with it: its process group, and orphans of other sessions that
carry its mark in their environment.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chaosfw.sandbox.prctl import children
from chaosfw.sandbox.runtime.fork import fork
from chaosfw.sandbox.runtime.logfile import LogFile
from chaosfw.sandbox.runtime.orders import Order
from chaosfw.timing import Clock

MARK: Final = "CHAOSFW_PROCESS"
_BLOCK: Final = 65_536


@dataclass(slots=True)
class Running:
    id: str
    pid: int
    pipe: int
    log: LogFile


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. ``code`` is 128 + n when signal n killed it, as container runtimes report."""

    id: str
    pid: int
    code: int
    signal: int
    at_ns: int


class Spawner:
    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._by_pid: dict[int, Running] = {}

    def start(self, order: Order) -> Running:
        """Raises OSError when the log cannot be opened or the machine has no more processes."""
        log = LogFile(order.log, clock=self._clock)
        reads, writes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writes, True)
        given: list[int] = []
        try:
            given += _opened(order.streams) if order.streams else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC),)
            streams = (given[0], given[1], given[2]) if order.streams else (given[0], writes, writes)
            pid = fork(replace(order, env={**order.env, MARK: order.id}), streams=streams)
        except OSError:
            os.close(reads)
            raise
        finally:
            for fd in (writes, *given):
                os.close(fd)
        running = Running(order.id, pid, reads, log)
        self._by_pid[pid] = running
        return running

    def signal(self, id: str, number: int) -> None:
        """To the whole group. A process that is gone is no error: its exit is on the way."""
        for running in list(self._by_pid.values()):
            if running.id == id:
                _signal_group(running.pid, number)

    def drain(self, running: Running) -> bool:
        """Moves waiting output to the log; false at the end of it."""
        try:
            while data := os.read(running.pipe, _BLOCK):
                running.log.write(data)
        except BlockingIOError:
            return True
        return False

    def reap(self) -> list[tuple[Running, Exit]]:
        """Every process that ended since the last call, its group swept and its output written."""
        ended = []
        while (found := _wait_any()) is not None:
            pid, status = found
            running = self._by_pid.pop(pid, None)
            if running is None:
                continue  # an orphan that we adopted
            self._sweep(running)
            self.drain(running)
            running.log.close()
            os.close(running.pipe)
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            code = 128 + number if number else os.waitstatus_to_exitcode(status)
            ended.append((running, Exit(running.id, pid, code, number, self._clock.monotonic_ns())))
        return ended

    def kill_all(self) -> None:
        """Returns when this process has no child left."""
        for pid in self._by_pid:
            _signal_group(pid, signal.SIGKILL)
        while left := children(os.getpid()):
            for pid in left:
                _signal_group(pid, signal.SIGKILL)
                _signal(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                break
        self._by_pid.clear()

    def _sweep(self, running: Running) -> None:
        _signal_group(running.pid, signal.SIGKILL)
        for pid in set(children(os.getpid())) - self._by_pid.keys():
            if _is_marked(pid, running.id):
                _signal(pid, signal.SIGKILL)


def _opened(streams: tuple[str, str, str]) -> list[int]:
    """Never waits: whoever ordered it holds the other ends. A terminal does not become ours."""
    extra = os.O_CLOEXEC | os.O_NOCTTY
    whole = os.O_RDWR if len(set(streams)) == 1 and streams[0] != os.devnull else 0
    return [os.open(path, (whole or (os.O_RDONLY if number == 0 else os.O_WRONLY)) | extra) for number, path in enumerate(streams)]


def _wait_any() -> tuple[int, int] | None:
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, status) if pid else None


def _signal_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        _signal(pid, number)  # killed before its setsid: it has no group yet


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _is_marked(pid: int, id: str) -> bool:
    """A fork that runs Python in place shows the runtime's own environment: its group is what reaches it."""
    try:
        return f"{MARK}={id}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
