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
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaosfw.errors import ChaosfwError
from chaosfw.model.environment import Environment
from chaosfw.model.fault import UndoRecord
from chaosfw.model.struct import Noun, to_json
from chaosfw.ports import Caller
from chaosfw.safety import audit, lock
from chaosfw.safety.fence import KillMarked, fence, start_time
from chaosfw.safety.heal import heal
from chaosfw.safety.ledger import LedgerFile, write_durably
from chaosfw.timing import Clock, iso, nanoseconds

SILENCE = 20.0
"""Seconds without a heartbeat, while a record is open, after which the runner counts as hung and is killed."""
LOOK = 1.0
"""Seconds between looks at the heartbeat's age."""
BEAT = b"."
BYE = b"b"


class Orders(Noun, frozen=True, kw_only=True):
    """What the runner tells its watchdog. ``place`` is what the assembly needs to hold the environment (a sandbox's directory)."""

    runner: int
    runner_started: str
    state: str
    environment: Environment
    runs: str = ""
    """What the ids of the runner's own runs begin with: only those are healed, another's wait for ``chaosfw heal``."""
    place: str = ""
    notes: str = ""
    """File that gets the note of what was healed."""


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


@dataclass(slots=True, kw_only=True)
class Watchdog:
    """``caller`` executes; ``kill_marked`` fences what left its group; ``beats`` is the runner's end of a pipe."""

    orders: Orders
    caller: Caller
    clock: Clock
    kill_marked: KillMarked
    beats: int
    _last: int = field(default=0, init=False)

    def watch(self) -> Note | None:
        """Blocks until the runner is gone. None when there was nothing to heal."""
        self._last = self.clock.monotonic_ns()
        why = self._until_gone()
        died = self.clock.monotonic_ns()
        ledger = LedgerFile(Path(self.orders.state))
        if not self._is_open():
            fence(Path(self.orders.state), runner=self.orders.runner, kill_marked=self.kill_marked)
            return None
        return after_death(
            orders=self.orders, ledger=ledger, caller=self.caller, clock=self.clock, kill_marked=self.kill_marked, why=why, since=died
        )

    def _until_gone(self) -> str:
        pidfd = _pidfd(self.orders.runner)
        try:
            while start_time(self.orders.runner) == self.orders.runner_started:
                watched = [fd for fd in (pidfd, self.beats) if fd >= 0]
                ready, _, _ = select.select(watched, [], [], LOOK)
                if self.beats in ready and self._hear() and not self._is_open():
                    return "the runner said goodbye"
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


def after_death(*, orders: Orders, ledger: LedgerFile, caller: Caller, clock: Clock, kill_marked: KillMarked, why: str, since: int) -> Note:
    """Fence, lock, heal, audit, note: the whole way back, from outside the run."""
    state = Path(orders.state)
    fenced = fence(state, runner=orders.runner, kill_marked=kill_marked)
    held = lock.take(state, who="watchdog", clock=clock, wait=60.0)
    steps: list[str] = []

    def told(record: UndoRecord, what: str) -> None:
        steps.append(f"{record.undo.id}: {record.state}{' ' + record.ending if record.ending else ''}: {what}")

    try:
        before = _own(ledger, orders)
        runs = tuple(sorted({record.undo.run for record in before}))
        left = heal(ledger=ledger, caller=caller, clock=clock, epoch=held.epoch, by="watchdog", told=told, runs=orders.runs)
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
        )
        if orders.notes:
            write_durably(Path(orders.notes), json.dumps(to_json(note), indent=1).encode())
        if not left:
            for run in runs:
                ledger.forget(run)
        return note
    finally:
        held.release()


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
