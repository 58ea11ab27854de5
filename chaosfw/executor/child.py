"""
The parent's side of an executor: starts the child, sends calls, hands answers to whoever asked, and kills it.

Drivers never run in the pytest process: a Python provider has no timeout and cannot be cancelled, so the only fence against
a driver that wakes up later is the death of its process. Called by ``assembly``; leaves what the calls mean alone.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import msgspec

from chaosfw.errors import DriverError
from chaosfw.executor.wire import Ready, Reply, Request
from chaosfw.model.struct import Json, encode
from chaosfw.ports import Answer, KindCall, ProviderCall
from chaosfw.timing import Clock

Call = ProviderCall | KindCall
MARK = "CHAOSFW_EXECUTOR"
"""Environment variable that every process started by an executor inherits: how the fence finds those that left its group."""
NEWBORN_LOOKS = 10
"""Looks after which a process without an environment counts as one that has none: an exec is over in less."""
DYING = 5.0
"""Seconds that a killed process may take to disappear before the fence reports failure."""


class Process(Protocol):
    """What the parent's side needs of a child, forked or spawned."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float) -> int: ...


class ExecutorChild:
    """One child: its process, the pipes to it, and whoever waits for an answer."""

    def __init__(
        self, process: Process, *, requests: IO[bytes], replies: IO[bytes], token: str, clock: Clock, log: Path, role: str
    ) -> None:
        self._process = process
        self._requests = requests
        self._clock = clock
        self._token = token
        self._pending: dict[int, Callable[[Answer], None]] = {}
        self._guard = threading.Lock()
        self._next = 0
        self._ready = threading.Event()
        self._log = log
        self._dead = False
        self.about: Ready | None = None
        self._reader = threading.Thread(target=self._read, args=(replies,), name=f"chaosfw-{role}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The child's process id, which is its process group as well."""
        return self._process.pid

    @property
    def token(self) -> str:
        """What its descendants carry in their environment."""
        return self._token

    def is_alive(self) -> bool:
        """Whether it can still be asked."""
        return not self._dead and self._process.poll() is None

    def wait_ready(self, timeout: float = 30.0) -> Ready:
        """Blocks until the child serves. Raises DriverError with the tail of its output."""
        if not self._ready.wait(timeout) or self.about is None:
            raise DriverError("the executor did not start", hint=f"its last words:\n{self._tail()}")
        return self.about

    def submit(self, call: Call, then: Callable[[Answer], None]) -> int:
        with self._guard:
            self._next += 1
            ticket = self._next
            self._pending[ticket] = then
        try:
            with self._guard:
                self._requests.write(encode(Request(ticket=ticket, call=call)) + b"\n")
                self._requests.flush()
        except (OSError, ValueError):
            self._answer(self._lost(ticket))
        return ticket

    def kill(self) -> tuple[int, ...]:
        killed = [self.pid] if self._process.poll() is None else []
        _kill_group(self.pid)
        stragglers = kill_marked(self._token, clock=self._clock)
        self._process.wait(timeout=DYING)
        self._close_pipes()
        return (*killed, *stragglers)

    def close(self) -> None:
        """Ends the child through end of file; kills it when it does not go."""
        try:
            self._requests.close()
        except OSError:
            pass  # it died first: nothing left to close
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            pass  # a driver is stuck: the kill below is for it
        self.kill()

    def _close_pipes(self) -> None:
        try:
            self._requests.close()
        except OSError:
            pass  # unsent bytes for a dead child
        self._reader.join(timeout=DYING)

    def _read(self, replies: IO[bytes]) -> None:
        decoder = msgspec.json.Decoder(Reply)
        with replies:
            for line in replies:
                reply = decoder.decode(line)
                if isinstance(reply, Ready):
                    self.about = reply
                    self._ready.set()
                else:
                    self._answer(reply)
        self._dead = True
        self._ready.set()
        for ticket in list(self._pending):
            self._answer(self._lost(ticket))

    def _answer(self, answer: Answer) -> None:
        with self._guard:
            then = self._pending.pop(answer.ticket, None)
        if then is not None:
            then(answer)

    def _lost(self, ticket: int) -> Answer:
        now = self._clock.monotonic_ns()
        return Answer(ticket=ticket, began=now, ended=now, error="ExecutorGone: the executor ended before it answered", hint=self._tail(3))

    def _tail(self, lines: int = 15) -> str:
        text = self._log.read_text(errors="replace") if self._log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def start(*, clock: Clock, env: Mapping[str, str], log: Path, role: str, warm: Sequence[str] = ()) -> ExecutorChild:
    """An executor in a process of its own making. ``warm`` names modules that it imports before it serves; ``env`` is added to ours."""
    token = f"{role}-{secrets.token_hex(8)}"
    read, write = os.pipe()
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "chaosfw.processes.executor", str(write), *warm],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            pass_fds=[write],
            start_new_session=True,
            env={**os.environ, **env, MARK: token},
        )
    os.close(write)
    assert process.stdin is not None
    return ExecutorChild(process, requests=process.stdin, replies=os.fdopen(read, "rb"), token=token, clock=clock, log=log, role=role)


class PatientCaller:
    """
    One call at a time and waited for: ports.Caller over an executor. ``renew`` makes another one when it has died: a healer goes on with
    the next one, and only the call that was under way is lost.
    """

    def __init__(self, executor: ExecutorChild, *, renew: Callable[[], ExecutorChild] | None = None) -> None:
        self.executor = executor
        self._renew = renew

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        return self._wait(KindCall(kind=kind, verb=verb, data=data), f"{kind} {verb}", timeout)

    def provider(self, call: ProviderCall, *, timeout: float) -> Json:
        return self._wait(call, call.name, timeout)

    def _wait(self, call: Call, what: str, timeout: float) -> Json:
        arrived = threading.Event()
        answers: list[Answer] = []

        def then(answer: Answer) -> None:
            answers.append(answer)
            arrived.set()

        if self._renew is not None and not self.executor.is_alive():
            self.executor = self._renew()
        self.executor.submit(call, then)
        if not arrived.wait(timeout):
            raise DriverError(f"{what} gave no answer within {timeout:g} s")
        if answers[0].error:
            raise DriverError(answers[0].error, hint=answers[0].hint)
        return answers[0].value


@contextmanager
def healing(*, clock: Clock, env: Mapping[str, str], log: Path) -> Iterator[PatientCaller]:
    """A healer's executor that is up, another one when it dies, and none afterwards. ``env`` is added to ours."""

    def healer() -> ExecutorChild:
        return start(clock=clock, env=env, log=log, role="healer")

    caller = PatientCaller(healer(), renew=healer)
    try:
        caller.executor.wait_ready()
        yield caller
    finally:
        caller.executor.close()


def kill_marked(token: str, *, clock: Clock) -> tuple[int, ...]:
    """Kills every process that carries ``token`` in its environment, whatever group or session it moved to; awaits their exit."""
    killed: list[int] = []
    until = clock.monotonic_ns() + int(DYING * 1e9)
    looks = 0
    while True:
        found, newborn = _marked(token)
        looks += 1
        if not found and (not newborn or looks > NEWBORN_LOOKS):
            break
        for pid in found:
            _kill(pid)
            killed.append(pid)
        if clock.monotonic_ns() > until:
            raise DriverError(f"processes {found} do not die", hint="a process in uninterruptible sleep; look at its /proc/PID/stack")
        clock.sleep(0.002)
    return tuple(dict.fromkeys(killed))


def marked(token: str) -> list[int]:
    """Every process that carries ``token`` in its environment."""
    return _marked(token)[0]


def _marked(token: str) -> tuple[list[int], bool]:
    """Who carries it, and whether somebody is in the middle of being started, whose environment can not be read yet."""
    needle = f"{MARK}={token}".encode()
    seen = {int(entry.name): _carries(entry, needle) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    return [pid for pid, carries in seen.items() if carries], None in seen.values()


def _carries(entry: Path, needle: bytes) -> bool | None:
    """None for a process in the middle of its exec: it has memory, and no environment yet (for a kernel thread neither)."""
    try:
        environment = (entry / "environ").read_bytes()
        if environment and needle not in environment.split(b"\0"):
            return False
        fields = (entry / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False  # gone meanwhile, or not ours to look at
    if fields[0] in ("Z", "X"):
        return False
    return True if environment else None if int(fields[20]) else False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was quicker


def _kill_group(pgid: int) -> None:
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # the whole group is gone
