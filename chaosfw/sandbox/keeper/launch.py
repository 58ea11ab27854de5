"""
Starting a keeper, and the lease that a user holds on one.

Used by :mod:`chaosfw.sandbox.public` in the user's own process: it loads nothing heavy and starts no thread.
"""

from __future__ import annotations

import json
import os
import select
import site
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.lines import Message, pack, read_line
from chaosfw.sandbox.spec import SandboxSpec, spec_to_json
from chaosfw.timing import SYSTEM, nanoseconds, seconds

_PATIENCE: Final = 5.0
_INSTALL: Final = "pip install 'chaosfw[sandbox]' brings what the embedded cluster needs"


class Lease:
    """Holding it keeps the sandbox alive. The kernel gives it back when this process dies, however it dies."""

    def __init__(self, sock: socket.socket, *, keeper: int) -> None:
        self._sock = sock
        self._keeper = _Keeper(keeper)
        self._told = sock.makefile("rb")

    def fileno(self) -> int:
        """The descriptor; a child that inherits it holds the lease too."""
        return self._sock.fileno()

    def ask(self, request: Message) -> Message:
        """Raises SandboxError with the reason when the sandbox has ended meanwhile."""
        try:
            self._send(request)
            line = self._told.readline()
        except OSError as error:
            raise SandboxError(f"the sandbox is gone: {error}") from error
        if not line:
            raise SandboxError("the sandbox is gone")
        answer: Message = json.loads(line)
        if "ended" in answer:
            raise SandboxError(f"the sandbox has ended: {answer['ended']}")
        if "error" in answer:
            raise SandboxError(str(answer["error"]))
        return answer

    def _send(self, request: Message) -> None:
        try:
            self._sock.sendall(pack(request))
        except BrokenPipeError:
            pass  # it ended; what it said last is still to be read

    def give_back(self) -> bool:
        """Whether it was the last one: then the sandbox has stopped when this returns."""
        if self._sock.fileno() < 0:
            return False
        try:
            last = bool(self.ask({"do": "leave"})["last"])
        except SandboxError:
            last = True
        if last:
            self.wait_for_end()
        self.let_go()
        return last

    def let_go(self) -> None:
        """Closes this process's descriptor and asks nothing: for a lease that a child has inherited."""
        self._told.close()
        self._sock.close()
        self._keeper.close()

    def wait_for_end(self) -> None:
        """Until the keeper is gone, which is the last thing that happens."""
        try:
            self._told.read()
        except OSError:
            pass  # gone
        self._keeper.wait()


class _Keeper:
    """The keeper as a process: its sockets close a moment before it has ended."""

    def __init__(self, pid: int) -> None:
        try:
            self._handle = os.pidfd_open(pid)
        except ProcessLookupError:
            self._handle = -1

    def wait(self) -> None:
        if self._handle >= 0:
            select.select([self._handle], [], [], _PATIENCE)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def launch(spec: SandboxSpec, *, timeout: float) -> tuple[Path, Lease]:
    """A running, ready sandbox and its first lease. Whatever went wrong in the keeper or below is raised here."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "chaosfw.sandbox.keeper", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_importable(),
            pass_fds=[theirs.fileno()],
        )
    ours.sendall(pack({"spec": spec_to_json(spec)}))
    assert process.stderr is not None
    with process.stderr:
        process.wait()  # at once: the keeper itself is its grandchild
        answer = _answer(ours, timeout=timeout)
        if answer is None:
            ours.close()
            raise SandboxError(f"the sandbox's keeper died: {process.stderr.read().decode(errors='replace').strip() or 'without a word'}")
    if "ready" not in answer:
        ours.close()
        trouble = str(answer.get("error", answer))
        raise SandboxError(f"the sandbox did not start: {trouble}", hint=_INSTALL if "ModuleNotFoundError" in trouble else "")
    return Path(answer["directory"]), Lease(ours, keeper=answer["pid"])


def lease(directory: Path) -> Lease:
    """One more lease on a running sandbox."""
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.connect(str(directory / "keeper.sock"))
        hello = read_line(sock)
    except OSError as error:
        sock.close()
        raise SandboxError(f"no sandbox runs at {directory}: {error.strerror}", hint="chaosfw sandbox up starts one") from error
    if hello is None or "lease" not in hello:
        sock.close()
        raise SandboxError(f"the sandbox at {directory} is just stopping")
    return Lease(sock, keeper=hello["pid"])


def _importable() -> dict[str, str]:
    """
    Our environment, with this very chaosfw importable. An installed one is: PYTHONPATH would only move it before the standard library. A
    test run's ``PYTHONWARNINGS=error`` is not for servers.
    """
    here = str(Path(__file__).resolve().parents[3])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    if here not in (*site.getsitepackages(), site.getusersitepackages()):
        environment["PYTHONPATH"] = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH", "")])])
    return environment


def _answer(sock: socket.socket, *, timeout: float) -> Message | None:
    deadline = SYSTEM.monotonic_ns() + nanoseconds(timeout)
    readable, _, _ = select.select([sock], [], [], max(0.0, seconds(deadline - SYSTEM.monotonic_ns())))
    if not readable:
        sock.close()  # the keeper cleans up by itself
        raise SandboxError(f"the sandbox was not ready after {timeout:g} s")
    try:
        return read_line(sock)
    except OSError:
        return None
