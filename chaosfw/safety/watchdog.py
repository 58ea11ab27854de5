"""
Outlives the runner and heals after it.

The runner starts it before the first undo record and waits for READY. It watches a pidfd of the runner; when the runner dies,
or hangs while a fault is in, it fences the recorded writers, takes the lock with the next epoch, heals from the ledger, audits,
and leaves a note where the next run and ``chaosfw heal`` read it. It ends with the runner when nothing is open.
"""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaosfw.errors import ChaosfwError, DriverError, LockTaken
from chaosfw.model.environment import Environment
from chaosfw.model.fault import UndoRecord, UndoState
from chaosfw.model.struct import Noun, to_json
from chaosfw.ports import Caller, Lock
from chaosfw.safety import audit, lease, lock
from chaosfw.safety.fence import KillMarked, fence, start_time
from chaosfw.safety.heal import heal, may_pass
from chaosfw.safety.ledger import LedgerFile, write_durably
from chaosfw.timing import Clock, iso, nanoseconds

SILENCE = 20.0
"""Seconds without a heartbeat, while a record is open, after which the runner counts as hung and is killed."""
SOON = 0.5
"""Seconds between tries to take the lock of an environment that does not answer."""
AWAY = 10.0
"""Seconds between rounds while the environment does not answer; within a round each record is tried for half a minute."""
LOOK = 1.0
"""Seconds between looks at the heartbeat's age."""
HEALED = "healed-"
"""Begin of the names of notes: in the environment's folder for the next run and ``chaosfw heal``, in the game day's for people."""
BEAT = b"."
BYE = b"b"
GOODBYE = "the runner said goodbye"


class Orders(Noun, frozen=True, kw_only=True):
    """What the runner tells its watchdog. ``place`` is what the assembly needs to hold the environment (a sandbox's directory)."""

    runner: int
    runner_started: str
    state: str
    environment: Environment
    runs: str = ""
    """What the ids of the runner's own runs begin with: only those are healed, another's wait for ``chaosfw heal``."""
    place: str = ""
    folder: str = ""
    """The game day's: it gets the note of what was healed, and the report of runs that died."""

    @property
    def note(self) -> Path:
        """File of the note."""
        return Path(self.folder) / f"healed-{self.runner}.json"


class Note(Noun, frozen=True, kw_only=True):
    """What a healer did after a run that could not."""

    at: str
    why: str
    fenced: tuple[int, ...] = ()
    steps: tuple[str, ...] = ()
    left_open: int = 0
    residue: tuple[str, ...] | None = None
    took: float = 0.0
    """Seconds from the death of the runner to the end of the heal."""
    runs: tuple[str, ...] = ()
    records: tuple[UndoRecord, ...] = ()
    """The last word on each record that was open."""
    died: int = 0
    """When the runner was seen to be gone, and when everything was put back; monotonic ns."""
    ended: int = 0
    folder: str = ""
    """The game day's."""

    def __str__(self) -> str:
        back = sum(record.state is UndoState.closed for record in self.records)
        what = f"the watchdog put {back} of {len(self.records)} objects back" if self.records else "nothing was left to put back"
        where = f"; its report: {self.folder}/report.html" if self.folder else ""
        return f"a run died at {self.at} ({self.why}): {what} in {self.took:.2g} s{where}"


def notes(state: Path) -> tuple[tuple[Path, Note], ...]:
    """What watchdogs did on this environment since the last run that was told of it, oldest first."""
    found = [(path, msgspec.json.decode(path.read_bytes(), type=Note)) for path in state.glob(f"{HEALED}*.json")]
    return tuple(sorted(found, key=lambda one: one[1].at))


@dataclass(slots=True, kw_only=True)
class Watchdog:
    """``caller`` executes; ``kill_marked`` fences what left its group; ``beats`` is the runner's end of a pipe."""

    orders: Orders
    caller: Caller
    clock: Clock
    kill_marked: KillMarked
    beats: int
    is_gone: Callable[[], bool] = lambda: False
    """Whether the environment has ended for good, so that nobody need wait for it."""
    _last: int = field(default=0, init=False)

    def watch(self) -> Note | None:
        """Blocks until the runner is gone. None when there was nothing to heal."""
        self._last = self.clock.monotonic_ns()
        why = self._until_gone()
        died = self.clock.monotonic_ns()
        ledger = LedgerFile(Path(self.orders.state))
        if not self._is_open() and (why == GOODBYE or not ledger.watched(self.orders.runs)):
            fence(Path(self.orders.state), runner=self.orders.runner, kill_marked=self.kill_marked)
            return None
        return after_death(
            orders=self.orders,
            ledger=ledger,
            caller=self.caller,
            clock=self.clock,
            kill_marked=self.kill_marked,
            why=why,
            since=died,
            is_gone=self.is_gone,
        )

    def _until_gone(self) -> str:
        pidfd = _pidfd(self.orders.runner)
        try:
            while start_time(self.orders.runner) == self.orders.runner_started:
                watched = [fd for fd in (pidfd, self.beats) if fd >= 0]
                ready, _, _ = select.select(watched, [], [], LOOK)
                if self.beats in ready and self._hear() and not self._is_open():
                    return GOODBYE
                if self._is_hung():
                    _kill(pidfd, self.orders.runner)
                    return f"the runner gave no sign of life for {SILENCE:g} s and was killed"
            return "the runner ended"
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def _hear(self) -> bool:
        """Takes in signs of life; True when the runner said goodbye."""
        heard = os.read(self.beats, 4096)
        if heard:
            self._last = self.clock.monotonic_ns()
        else:
            os.close(self.beats)
            self.beats = -1
        return BYE in heard

    def _is_hung(self) -> bool:
        return self.clock.monotonic_ns() - self._last > nanoseconds(SILENCE) and self._is_open()

    def _is_open(self) -> bool:
        return bool(_own(LedgerFile(Path(self.orders.state)), self.orders))


def after_death(
    *,
    orders: Orders,
    ledger: LedgerFile,
    caller: Caller,
    clock: Clock,
    kill_marked: KillMarked,
    why: str,
    since: int,
    is_gone: Callable[[], bool] = lambda: False,
) -> Note:
    """
    Fence, lock, heal, audit, note: the whole way back, from outside the run. An environment that does not answer is tried as long as
    this host lives and the environment is not ``is_gone``.
    """
    state = Path(orders.state)
    fenced = fence(state, runner=orders.runner, kill_marked=kill_marked)
    try:
        held = _locked(orders, caller, clock, is_gone=is_gone)
    except LockTaken as trouble:
        return _told(
            orders, Note(at=iso(clock.wall_ns()), why=f"{why}; {trouble.message}", fenced=fenced, left_open=len(_own(ledger, orders)))
        )
    steps: list[str] = []
    last: dict[str, UndoRecord] = {}

    def told(record: UndoRecord, what: str) -> None:
        last[record.undo.id] = record
        steps.append(f"{record.undo.id}: {record.state}{' ' + record.ending if record.ending else ''}: {what}")

    try:
        before = _own(ledger, orders)
        runs = tuple(sorted({*(record.undo.run for record in before), *ledger.watched(orders.runs)}))
        left = heal(ledger=ledger, caller=caller, clock=clock, epoch=held.epoch, by="watchdog", told=told, runs=orders.runs)
        while left and any(may_pass(record.reason) for record in _own(ledger, orders)) and not is_gone():
            clock.sleep(AWAY)
            left = heal(ledger=ledger, caller=caller, clock=clock, epoch=held.epoch, by="watchdog", told=told, runs=orders.runs)
        ended = clock.monotonic_ns()
        residue = _residue(orders, ledger, caller, runs)
        note = Note(
            at=iso(clock.wall_ns()),
            why=why,
            fenced=fenced,
            steps=tuple(steps),
            left_open=left,
            residue=residue,
            took=(clock.monotonic_ns() - since) / 1e9,
            runs=runs,
            records=tuple(last.values()),
            died=since,
            ended=ended,
            folder=orders.folder,
        )
        _told(orders, note)
        if not left:
            for run in runs:
                withdraw(caller, orders.environment, run)
                ledger.forget(run)
        return note
    finally:
        held.release()


def _locked(orders: Orders, caller: Caller, clock: Clock, *, is_gone: Callable[[], bool]) -> Lock:
    """The environment's lock with the next epoch. An API server that does not answer is waited for as long as the host lives."""
    me, namespace = lease.identity("watchdog"), orders.environment.state_namespace
    while True:
        file = lock.take(Path(orders.state), who="watchdog", clock=clock, wait=60.0)
        if not orders.environment.kubeconfig:
            return file
        try:
            return lease.take(file=file, caller=caller, clock=clock, namespace=namespace, who="watchdog", wait=60.0, holder=me)
        except DriverError as trouble:
            if not may_pass(trouble.message) or is_gone():
                return lock.take(Path(orders.state), who="watchdog", clock=clock, wait=60.0)
        clock.sleep(SOON)


def _told(orders: Orders, note: Note) -> Note:
    """Writes the note where the next run, ``chaosfw heal`` and people read it."""
    text = json.dumps(to_json(note), indent=1).encode()
    write_durably(Path(orders.state) / f"{HEALED}{orders.runner}.json", text)
    if orders.folder:
        write_durably(orders.note, text)
    return note


def withdraw(caller: Caller, environment: Environment, run: str) -> None:
    """Takes the published undo records of a run away. They are a second copy: one that stays harms nobody, and the next heal takes it."""
    if environment.kubeconfig:
        try:
            caller.kind("", "withdraw", {"run": run, "namespace": environment.state_namespace}, timeout=10.0)
        except ChaosfwError:
            return


def _own(ledger: LedgerFile, orders: Orders) -> tuple[UndoRecord, ...]:
    return tuple(record for record in ledger.open() if record.undo.run.startswith(orders.runs))


def _residue(orders: Orders, ledger: LedgerFile, caller: Caller, runs: Sequence[str]) -> tuple[str, ...] | None:
    try:
        after = caller.kind("", "snapshot", to_json(orders.environment), timeout=20.0)
    except ChaosfwError:
        return None
    records = ledger.records()
    found: list[str] = []
    for run in runs:
        before = ledger.world_before(run)
        if before is not None:
            found += audit.compare(before, after, [record for record in records if record.undo.run == run])[0]
    return tuple(dict.fromkeys(found))


def _pidfd(pid: int) -> int:
    if not hasattr(os, "pidfd_open"):
        return -1
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1  # gone already: the start time says so at the next look


def _kill(pidfd: int, pid: int) -> None:
    try:
        if pidfd >= 0:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it ended meanwhile
