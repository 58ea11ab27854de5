"""
The keeper's own processes: spawned together, each with a socket whose end of file means "stop".

Used by :mod:`.keeper`. Pods are not here: they are the runtime's.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chaosfw.sandbox.prctl import children
from chaosfw.timing import SYSTEM, seconds


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    process: subprocess.Popen[bytes]
    socket: socket.socket
    """Ours; the child holds the other end."""
    log: int
    """What it writes, to be read when its file is gone: the runtime removes the directory, too, as soon as its control has ended."""


def spawn(name: str, module: str, *arguments: object, directory: Path, cwd: Path, fds: Iterable[int] = ()) -> Child:
    """``{keeper}`` among the arguments stands for the number of the child's end of the socket."""
    ours, theirs = socket.socketpair()
    argv = [str(theirs.fileno()) if argument == "{keeper}" else str(argument) for argument in arguments]
    with theirs, open(directory / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=cwd,
            pass_fds=(theirs.fileno(), *fds),
            start_new_session=True,
        )
    return Child(name, process, ours, os.open(directory / f"{name}.log", os.O_RDONLY | os.O_CLOEXEC))


def stop(running: Iterable[Child], *, within: float) -> None:
    """Closes the sockets and waits; kills what is left, and whatever descendants had come to us as orphans."""
    running = tuple(running)
    for child in running:
        _hang_up(child)
    _wait(running, within=within)
    for child in running:
        if child.process.poll() is None:
            child.process.kill()
            child.process.wait()
    while left := children(os.getpid()):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _hang_up(child: Child) -> None:
    """End of file for the child, although a loop here may still hold a descriptor."""
    try:
        child.socket.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it was first
    child.socket.close()


def _wait(running: tuple[Child, ...], *, within: float) -> None:
    deadline = SYSTEM.monotonic_ns() + within * 1e9
    for child in running:
        if child.process.poll() is not None:
            continue
        handle = os.pidfd_open(child.process.pid)
        select.select([handle], [], [], max(0.0, seconds(int(deadline - SYSTEM.monotonic_ns()))))
        os.close(handle)
        child.process.poll()


def ending(child: Child) -> str:
    """Why a child is gone, in a sentence with the last lines it wrote."""
    code = child.process.wait()
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"the sandbox's {child.name} process {how}"


def last_words(child: Child, *, lines: int = 20) -> str:
    text = os.pread(child.log, os.fstat(child.log).st_size, 0).decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
