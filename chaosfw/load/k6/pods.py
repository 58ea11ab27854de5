"""
Collects what k6 tells in the pods of a TestRun of k6-operator: their logs are followed, their clocks compared with ours, and what each
counted itself is held against what came. One book and one seal, as of a k6 that runs here.

Runs in the child ``python -m chaosfw.processes.k6_pods`` only, which gives it the cluster. Leaves the operator its work: it makes the
jobs, shares the users between them, starts them at once and removes them with the TestRun.
"""

from __future__ import annotations

import os
import queue
import re
import select
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaosfw.errors import ChaosfwError, DriverError
from chaosfw.load.book import Book, Ended, seal
from chaosfw.load.health import Vitals
from chaosfw.load.k6.account import Account
from chaosfw.load.k6.program import EXITS, ending
from chaosfw.load.k6.stream import Stream
from chaosfw.load.orders import Orders, Ready
from chaosfw.model.load import Generator, Health, Runner
from chaosfw.model.struct import encode
from chaosfw.ports import Fleet
from chaosfw.timing import NANOSECONDS, SYSTEM, Clock, nanoseconds, seconds

PODS_WITHIN = 180.0
"""Seconds until all pods send: images are pulled and nodes may be added meanwhile."""
TELLS_WITHIN = 5.0
"""Seconds in which the log of a k6 that is gone has to end."""
ANSWERS_WITHIN = 20.0
"""Seconds until k6 answers in a pod that runs."""
END_WITHIN = 8.0
"""Seconds that the pods may take to end when they are told to."""
TICK = 0.02
LOOK = 0.5
"""Seconds between two looks at the pods while they come up."""
VAGUE = NANOSECONDS // 100
"""A clock that is known no better than this can not tell one request from the next (rule 4 of measuring.md)."""
CLOSE = NANOSECONDS // 250
LOOKS = 16
TAIL = 1 << 16
"""Bytes at the end of a log in which k6's own count is looked for."""
STOPPED = 103
_COUNTED = re.compile(rb"\n *http_reqs\.*: *(\d+)\s")
_BLIND = (
    "k6 sends a request again when the kept connection that it used is reset: such a reset is not seen",
    "k6 says nothing of requests that still wait when it is stopped: the script's own time-out has to be no longer than the load's",
    "how busy the machines of its pods were is not known",
)
_BEGUN = "how late k6 began an iteration of the script is not known; those that it dropped are"


def compared(second: Callable[[], int], clock: Clock) -> tuple[int, int]:
    """
    How far a clock that shows whole seconds is ahead of ours, at least and at most, in ns. It is asked when its next second is due if it
    were half-way between what is known, so that each answer halves that, down to the time that asking takes. Raises DriverError for a
    clock that was set meanwhile.
    """
    low, high, lasted = -(1 << 62), 1 << 62, 0
    for _ in range(LOOKS):
        before = clock.wall_ns()
        shown = second() * NANOSECONDS
        after = clock.wall_ns()
        low, high, lasted = max(low, shown - after), min(high, shown + NANOSECONDS - before), after - before
        if low > high:
            raise DriverError("its clock was set while it was compared with ours")
        if high - low <= CLOSE:
            break
        middle, now = (low + high) // 2, clock.wall_ns()
        flip = ((now + middle + lasted) // NANOSECONDS + 1) * NANOSECONDS - middle
        clock.sleep(max(0.0, seconds(flip - now - lasted // 2)))
    return low, high


@dataclass(slots=True)
class Source:
    """One pod's log on its way into the book."""

    pod: Runner
    stream: Stream
    tail: bytes = b""
    over: bool = False
    low: int = 0
    high: int = 0
    trouble: str = ""
    waiting: list[bytes] = field(default_factory=list)
    """What came before its clock was known."""

    @property
    def known(self) -> bool:
        return bool(self.low or self.high)

    def take(self, piece: bytes) -> None:
        self.tail = (self.tail + piece)[-TAIL:]
        if self.known:
            self.stream.feed(b"".join([*self.waiting, piece]))
            self.waiting.clear()
        else:
            self.waiting.append(piece)

    @property
    def missing(self) -> int:
        """Requests that k6 counted and its log did not bring; -1: it did not say how many there were."""
        counted = _COUNTED.findall(self.tail)
        return max(0, int(counted[-1]) - self.stream.account.asked) if counted else -1

    @property
    def name(self) -> str:
        return f"pod {self.pod.name}" + (f" on {self.pod.node}" if self.pod.node else "")

    @property
    def clock(self) -> str:
        half = (self.high - self.low) // 2
        return f"{self.name}: its clock is {seconds(self.stream.skew):+.6f} s from ours, known to {seconds(half) * 1000:.3f} ms"


class PodsCollector:
    """One TestRun, from its making to the seal."""

    def __init__(self, orders: Orders, *, fleet: Fleet, stdin: int) -> None:
        self._orders, self._fleet, self._stdin = orders, fleet, stdin
        self._book = Book(Path(orders.out) / "samples.bin")
        self._vitals = Vitals(SYSTEM, on=SYSTEM.monotonic_ns(), cpu=lambda: 0.0)
        self._pieces: queue.SimpleQueue[tuple[Source, bytes]] = queue.SimpleQueue()
        self._sources: list[Source] = []
        self._codes: dict[str, int | None] = {}
        self._told_to_end = threading.Event()
        self._off = 0

    def run(self) -> None:
        """Whatever happens, the TestRun is removed."""
        try:
            self._fleet.begin()
            self._await_the_pods()
            self._collect()
            left = self._removed()
        except BaseException:
            self._removed()
            raise
        self._seal(left)

    def _removed(self) -> str:
        """Empty, or why it is not gone."""
        try:
            self._fleet.end()
        except ChaosfwError as trouble:
            return trouble.message
        return ""

    def _await_the_pods(self) -> None:
        """Raises DriverError with the operator's or the script's words."""
        assert self._orders.load.script is not None
        wanted, deadline = self._orders.load.script.pods, SYSTEM.monotonic_ns() + nanoseconds(PODS_WITHIN)
        while len(found := [pod for pod in self._fleet.pods() if pod.running or pod.code is not None]) < wanted:
            if trouble := self._fleet.trouble():
                raise DriverError(trouble)
            if SYSTEM.monotonic_ns() > deadline:
                why = self._fleet.unplaced()
                raise DriverError(f"{len(found)} of {wanted} pods of k6 were running after {PODS_WITHIN:g} s" + (why and f": {why}"))
            if select.select([self._stdin], [], [], LOOK)[0] and not os.read(self._stdin, 1):
                raise DriverError("told to stop before its pods were there")
        self._fleet.leave()
        for pod in found:
            stream = Stream(account=Account(load=self._orders.load, book=self._book, vitals=self._vitals), clock=SYSTEM)
            stream.anchor()
            source = Source(pod=pod, stream=stream)
            self._sources.append(source)
            threading.Thread(target=self._follow, args=(source,), daemon=True).start()
            threading.Thread(target=self._compare, args=(source,), daemon=True).start()

    def _follow(self, source: Source) -> None:
        try:
            for piece in self._fleet.log(source.pod.name):
                self._pieces.put((source, piece))
        except ChaosfwError as trouble:
            source.trouble = source.trouble or trouble.message
        self._pieces.put((source, b""))

    def _compare(self, source: Source) -> None:
        try:
            self._await_an_answer(source)
            low, high = compared(lambda: self._fleet.second(source.pod.name), SYSTEM)
            source.stream.skew = (low + high) // 2
            source.low, source.high = low, high or 1
        except ChaosfwError as trouble:
            if not self._is_over(source):
                source.trouble = source.trouble or f"its clock can not be compared with ours: {trouble.message}"

    def _is_over(self, source: Source) -> bool:
        """A k6 that has ended answers no longer, and its log says so a moment later."""
        deadline = SYSTEM.monotonic_ns() + nanoseconds(TELLS_WITHIN)
        while not source.over and SYSTEM.monotonic_ns() < deadline:
            SYSTEM.sleep(LOOK)
        return source.over

    def _await_an_answer(self, source: Source) -> None:
        """A container that runs is not yet a k6 that listens."""
        deadline = SYSTEM.monotonic_ns() + nanoseconds(ANSWERS_WITHIN)
        while True:
            try:
                self._fleet.second(source.pod.name)
                return
            except ChaosfwError:
                if source.over or SYSTEM.monotonic_ns() > deadline:
                    raise
                SYSTEM.sleep(LOOK)

    def _collect(self) -> None:
        """Until all pods have ended that were told to, or one that was not: nothing can be proven then."""
        said, deadline = False, 0
        while not (all if self._told_to_end.is_set() else any)(source.over for source in self._sources):
            if not self._off and select.select([self._stdin], [], [], 0)[0] and not os.read(self._stdin, 1):
                if not said:
                    raise DriverError("told to stop before its pods had begun")
                self._off = SYSTEM.monotonic_ns()
                deadline = self._off + nanoseconds(self._orders.load.timeout)
            if deadline and SYSTEM.monotonic_ns() >= deadline:
                if self._told_to_end.is_set():
                    break
                deadline = self._stop()
            self._take()
            self._look()
            if not said and all(source.stream.account.on and source.known for source in self._sources):
                said = True
                self._say(max(source.stream.account.on for source in self._sources))
            if not said and (trouble := next((one.trouble for one in self._sources if one.trouble), "")):
                raise DriverError(trouble)
        self._codes = self._ended()
        if not said:
            raise DriverError(f"k6 had ended before all pods had begun: {self._why()}")

    def _take(self) -> None:
        try:
            source, piece = self._pieces.get(timeout=TICK)
            while True:
                source.take(piece)
                source.over = source.over or not piece
                source, piece = self._pieces.get_nowait()
        except queue.Empty:
            pass

    def _look(self) -> None:
        now = SYSTEM.monotonic_ns()
        if now >= self._vitals.next_look:
            for source in self._sources:
                source.stream.anchor()
            self._vitals.look(now)
        self._book.flush()

    def _stop(self) -> int:
        """The load has drained for one time-out. When the pods have to have ended."""
        self._told_to_end.set()
        for source in self._sources:
            threading.Thread(target=self._tell, args=(source,), daemon=True).start()
        return SYSTEM.monotonic_ns() + nanoseconds(END_WITHIN)

    def _tell(self, source: Source) -> None:
        try:
            self._fleet.stop(source.pod.name)
        except ChaosfwError as trouble:
            source.trouble = source.trouble or f"it can not be told to stop: {trouble.message}"

    def _say(self, on: int) -> None:
        model = self._orders.model
        blind = _BLIND if model == "closed" else (*_BLIND, _BEGUN)
        generator = Generator(name="k6", version="in pods", model=model, schedule="listed", on=on, pid=os.getpid(), blind=blind)
        os.write(1, encode(Ready(generator=generator)) + b"\n")

    def _ended(self) -> dict[str, int | None]:
        """How k6 ended in each pod, as far as the cluster says."""
        try:
            return {pod.name: pod.code for pod in self._fleet.pods()}
        except ChaosfwError:
            return {}

    def _seal(self, left: str) -> None:
        """``left``: why the TestRun is not gone."""
        for source in self._sources:
            source.stream.close()
        told, off = self._told_to_end.is_set(), self._off or SYSTEM.monotonic_ns()
        said = [line for source in self._sources for line in self._troubles(source)]
        said += [line for source in self._sources for line in _found(source)]
        missing = [source.missing for source in self._sources]
        ended = Ended(
            off=off,
            due=self._book.count,
            unhealthy=(*self._vitals.unhealthy(), *self._vague(off)),
            suspended=self._vitals.suspended,
            ended=left or ("" if told else self._why()),
            lost=sum(source.stream.account.longer + source.stream.account.unread for source in self._sources)
            + sum(abs(amount) for amount in missing)
            + self._silent(),
            said=tuple(said[:20]),
        )
        seal(self._book, Path(self._orders.out), ended)

    def _troubles(self, source: Source) -> Iterator[str]:
        name, code = source.name, self._codes.get(source.pod.name)
        if source.missing:
            lost = f"{source.missing:,} of the requests that k6 counted" if source.missing > 0 else "its end, with k6's own count,"
            yield f"{name}: {lost} did not come with its log"
        if source.trouble:
            yield f"{name}: {source.trouble}"
        if code not in (None, 0, STOPPED):
            yield f"{name}: {EXITS.get(code or 0, f'exit code {code}')}"

    def _why(self) -> str:
        source = next(source for source in self._sources if source.over)
        code = self._codes.get(source.pod.name)
        return f"{source.name}: {ending(code) if code is not None else 'its log ended, and nobody says why'}"

    def _vague(self, off: int) -> list[Health]:
        worst = max((source.high - source.low) // 2 for source in self._sources)
        if worst <= VAGUE:
            return []
        on = max(source.stream.account.on for source in self._sources)
        return [Health(at=at, lateness_max=seconds(worst)) for at in range(on, off, NANOSECONDS // 10)]

    def _silent(self) -> int:
        """VUs that work to the end and were not heard of since the stop: each waits for something."""
        script = self._orders.load.script
        if script is None or not script.users:
            return 0
        return sum(at < self._off for source in self._sources for at in source.stream.account.last.values())


def _found(source: Source) -> Iterator[str]:
    """What is worth knowing of a pod that did well."""
    yield source.clock
    for check, one in source.stream.account.checks.items():
        yield f"{source.name}: check {check!r}: " + (
            f"{one.failed:,} of {one.asked:,} failed" if one.failed else f"all {one.asked:,} passed"
        )
    if source.stream.account.dropped:
        yield f"{source.name}: {source.stream.account.dropped:,} iterations dropped: there was no VU for them"
