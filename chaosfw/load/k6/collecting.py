"""
Runs k6, turns its points into samples, says that it is ready when the first request has come, stops k6 when it is told to and one
time-out has passed, leaves a seal.

Runs in the child ``python -m chaosfw.processes.k6`` only, and is all that it does.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from chaosfw.load.book import Book, Ended, seal
from chaosfw.load.health import Vitals
from chaosfw.load.k6.account import Account
from chaosfw.load.k6.program import compact, ending, version
from chaosfw.load.k6.rows import Rows
from chaosfw.load.k6.stream import Stream
from chaosfw.load.orders import Orders, Ready
from chaosfw.model.load import Generator
from chaosfw.model.struct import encode
from chaosfw.timing import SYSTEM, nanoseconds

_AGAIN = "k6 sends a request again when the kept connection that it used is reset: such a reset is not seen"
_WAITING = "k6 says nothing of requests that still wait when it is stopped: the script's own time-out has to be no longer than the load's"
_BEGUN = "how late k6 began an iteration of the script is not known; those that it dropped are"
_BLIND = {"closed": (_WAITING, _AGAIN), "open": (_WAITING, _AGAIN, _BEGUN)}

_PDEATHSIG = 1
STOP = 2.0
"""Seconds that k6 may take to end after its signal."""
MOST_LOGGED = 256_000
"""Bytes of k6's own words that are kept."""
TICK = 0.02
"""Seconds between two looks at the pipe, unless there was a lot in it: each look takes a core from k6 for a moment."""
PIPE = 1 << 20
"""Bytes that wait between two looks: what a user may have without asking (/proc/sys/fs/pipe-max-size)."""


class Collector:
    """One run of k6, from its first point to the seal."""

    def __init__(self, orders: Orders, *, stdin: int) -> None:
        self._orders, self._out, self._stdin = orders, Path(orders.out), stdin
        self._pipe, theirs = os.pipe()
        words = [word.replace("{stream}", str(theirs)) for word in orders.command]
        with open(os.devnull, "rb") as nothing:
            self._k6 = subprocess.Popen(words, stdin=nothing, stdout=2, stderr=subprocess.PIPE, pass_fds=[theirs], preexec_fn=_die_with_us)
        os.close(theirs)
        _enlarge(self._pipe)
        assert self._k6.stderr is not None
        self._log, self._logged = self._k6.stderr.fileno(), 0
        os.set_blocking(self._pipe, False)
        self._vitals = Vitals(SYSTEM, on=SYSTEM.monotonic_ns(), cpu=_used(self._k6.pid))
        self._book = Book(self._out / "samples.bin")
        self._account, planned = Account(load=orders.load, book=self._book, vitals=self._vitals), orders.load.script is None
        self._stream: Stream | Rows = Stream(account=self._account, clock=SYSTEM, planned=planned)
        if compact(orders.command[0]):
            self._stream = Rows(account=self._account, planned=planned)
        self._told = self._said = False
        self._pause = TICK
        self._off = 0

    def run(self) -> None:
        """Until k6 has ended and everything that it wrote is read."""
        stdin, waiting, ended, deadline = self._stdin, True, False, 0
        while not ended:
            now = SYSTEM.monotonic_ns()
            if deadline and now >= deadline:
                deadline = self._press(now)
            ready = select.select([*([self._log] if self._log else []), *([stdin] if waiting else [])], [], [], self._pause)[0]
            if self._log in ready:
                self._pass_on()
            if stdin in ready and not os.read(stdin, 1):
                waiting, self._off = False, SYSTEM.monotonic_ns()
                deadline = self._off + nanoseconds(self._orders.load.timeout)
            ended = self._read()
            self._look()
        self._finish(self._k6.wait())

    def _press(self, now: int) -> int:
        """The load has drained for one time-out: now k6 is told to stop, and if it does not, made to."""
        self._k6.send_signal(signal.SIGKILL if self._told else signal.SIGINT)
        self._told = True
        return now + nanoseconds(STOP)

    def _read(self) -> bool:
        """Whether that was the end."""
        try:
            piece = os.read(self._pipe, PIPE)
        except BlockingIOError:
            self._pause = TICK
            return False
        self._stream.feed(piece)
        self._pause = TICK if len(piece) < PIPE // 4 else 0.0
        return not piece

    def _pass_on(self) -> None:
        """What k6 says, to our log, as long as that is not too much: it has a line for each request that failed."""
        piece = os.read(self._log, 1 << 16)
        if not piece:
            self._log = 0
        elif self._logged < MOST_LOGGED or b"level=error" in piece:
            self._logged += len(piece)
            os.write(2, piece)

    def _look(self) -> None:
        now = SYSTEM.monotonic_ns()
        if now >= self._vitals.next_look or not self._account.on:
            self._stream.anchor()
        if now >= self._vitals.next_look:
            self._vitals.look(now)
        self._book.flush()
        if self._account.on and not self._said:
            self._say()

    def _say(self) -> None:
        self._said = True
        generator = Generator(
            name="k6",
            version=_version(self._orders.command[0]),
            model=self._orders.model,
            schedule="listed",
            on=self._account.on,
            pid=os.getpid(),
            blind=_BLIND[self._orders.model] if self._orders.load.script is not None else (),
        )
        os.write(1, encode(Ready(generator=generator)) + b"\n")

    def _finish(self, code: int) -> None:
        self._stream.close()
        silent = sum(at < self._off for at in self._account.last.values()) if self._constant() else 0
        said = [
            f"check {name!r}: {one.failed:,} of {one.asked:,} failed" if one.failed else f"check {name!r}: all {one.asked:,} passed"
            for name, one in self._account.checks.items()
        ]
        if self._account.dropped:
            said.append(f"{self._account.dropped:,} iterations dropped: there was no VU for them")
        if code == 99:
            said.append("a threshold of the script was crossed")
        ended = Ended(
            off=self._off or SYSTEM.monotonic_ns(),
            due=self._book.count,
            unhealthy=self._vitals.unhealthy(),
            suspended=self._vitals.suspended,
            ended="" if self._told else ending(code),
            lost=silent + self._account.longer + self._account.unread,
            said=tuple(said[:20]),
        )
        seal(self._book, self._out, ended)

    def _constant(self) -> bool:
        """Every VU works to the end: one that is silent waits for something."""
        return bool(self._orders.load.script and self._orders.load.script.users)


def _version(binary: str) -> str:
    """As the report says it: which of the two ways it tells of its requests is a part of how good the figures are."""
    return ".".join(str(one) for one in version(binary)) + ("-chaosfw" if compact(binary) else "")


def _die_with_us() -> None:
    """In k6, before it is k6: it answers our signals again, and ends with this process whatever ends that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)
    except PermissionError:  # this user has many pipes already, or the machine allows less: k6 then waits for us more often
        pass


def _used(pid: int) -> Callable[[], float]:
    """Seconds of a core that k6 used, as a share of all cores that it may use."""
    cores, ticks = len(os.sched_getaffinity(0)), os.sysconf("SC_CLK_TCK")

    def used() -> float:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / ticks / cores

    return used
