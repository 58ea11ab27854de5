"""
The healer that lives in the cluster, and so outlives every host that breaks something in it.

It shows that it lives, gives its word on each run's published records before anything is broken, and puts them back when the
environment's Lease has expired or was let go with something still open. Expiry is judged by its own monotonic time since the Lease last
changed. It can not fence writers of another host: it takes the Lease with the next epoch, touches every object, and looks again after
the time that a request of the dead run could still be under way.

Called by ``chaosfw reap``. Decides nothing about verdicts, and writes nothing on hosts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaosfw.errors import ChaosfwError, LockTaken
from chaosfw.model.fault import UndoRecord, UndoState
from chaosfw.model.lease import Held
from chaosfw.model.reaping import Publication, Word
from chaosfw.model.struct import Json, to_json
from chaosfw.ports import Caller, Lock
from chaosfw.safety import lease, lock
from chaosfw.safety.heal import heal_unfenced
from chaosfw.safety.ledger import LedgerFile
from chaosfw.timing import Clock, nanoseconds

BEAT = 5.0
"""Seconds between signs of life."""
LASTS = 15
"""Seconds that a sign of life counts, for people who look at the Lease."""
BUSY = 0.25
"""Seconds between looks while somebody holds the environment: a run waits for the reaper's word before it breaks anything."""
IDLE = 1.0
"""Seconds between looks while nobody does."""
AGAIN = 30.0
"""Seconds between tries to put back what could not be put back."""
AWAY = (1.0, 2.0, 5.0, 10.0)
"""Seconds between tries while the API server does not answer: capped back-off, without an end."""
CALL = 10.0
"""Seconds that one look may take."""

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Reaper:
    """``who`` is its name, ``state`` a directory for its own ledger, which may be lost: the target says it all."""

    caller: Caller
    clock: Clock
    namespace: str
    who: str
    state: Path
    say: Say
    looked: int = 0
    """When the cluster last answered, monotonic ns."""
    _version: str | None = field(default=None, init=False)
    _since: int = field(default=0, init=False)
    _beat: int | None = field(default=None, init=False)
    _tried: tuple[set[str], int] = field(default=(set(), 0), init=False)
    """Of which runs it tried last to put something back, and when, monotonic ns."""

    def run(self, stop: threading.Event) -> None:
        """Until it is told to stop."""
        self._since = self.clock.monotonic_ns()
        pause, failed = 0.0, 0
        while not stop.wait(pause):
            try:
                pause, failed = self.look(), 0
            except ChaosfwError as trouble:
                if failed == 0:
                    self.say(f"the cluster does not answer, trying on: {trouble.message}")
                pause, failed = AWAY[min(failed, len(AWAY) - 1)], failed + 1
        self._leave()

    def look(self) -> float:
        """One round; the seconds until the next. Raises what the caller raises."""
        self._show_life()
        held = msgspec.convert(self._lease("held"), Held | None) or Held()
        now = self.clock.monotonic_ns()
        if held.version != self._version:
            self._version, self._since = held.version, now
        there = msgspec.convert(self._ask("publications"), tuple[Publication, ...])
        self.looked = now
        runs = {one.run for one in there}
        if any(one.word is None for one in there):
            self._vow()
        if there and (not held.holder or now - self._since >= nanoseconds(held.seconds)) and self._may_try(runs, now):
            self._reap(held, runs)
            self._tried = (runs, self.clock.monotonic_ns())
        return BUSY if held.holder or there else IDLE

    def _may_try(self, runs: set[str], now: int) -> bool:
        """What could not be put back is tried again, but not all the time; what another run has left, at once."""
        before, at = self._tried
        return not runs <= before or now - at >= nanoseconds(AGAIN)

    def _show_life(self) -> None:
        now = self.clock.monotonic_ns()
        if self._beat is None or now - self._beat >= nanoseconds(BEAT):
            self._ask("beat", who=self.who, seconds=LASTS)
            self._beat = now

    def _vow(self) -> None:
        for word in msgspec.convert(self._ask("vow", who=self.who), tuple[Word, ...]):
            self.say("watching over a run" + (f", but can not {', '.join(word.lacking)}" if word.lacking else ""))

    def _reap(self, seen: Held, runs: set[str]) -> None:
        """Of the runs that publish here: what others marked elsewhere on this cluster has a Lease of its own."""
        if not (found := self._found(runs)):
            return
        who = f"{lease.words(seen.holder)} has left the environment" if seen.holder else "nobody holds the environment"
        try:
            held = self._taken(seen)
        except LockTaken as trouble:
            self.say(f"somebody else puts it back: {trouble.message}")
            return
        try:
            self.say(f"{who}: putting back {len(found)} object(s) of {', '.join(sorted(runs))} (epoch {held.epoch})")
            self._put_back(held, self._found(runs))
        finally:
            held.release()
            self._version, self._since = None, self.clock.monotonic_ns()

    def _taken(self, seen: Held) -> Lock:
        """The Lease with the next epoch, if nobody has renewed or taken it since it was seen to be over."""
        file = lock.take(self.state, who=self.who, clock=self.clock, wait=0.0)
        return lease.take(
            file=file, caller=self.caller, clock=self.clock, namespace=self.namespace, who=self.who, wait=0.0, over=seen.version
        )

    def _found(self, runs: set[str]) -> tuple[UndoRecord, ...]:
        records = msgspec.convert(self._ask("revertible"), tuple[UndoRecord, ...])
        return tuple(record for record in records if record.undo.run in runs)

    def _put_back(self, held: Lock, found: tuple[UndoRecord, ...]) -> None:
        ledger = LedgerFile(self.state)
        ledger.adopt(found)
        heal_unfenced(
            ledger=ledger,
            caller=self.caller,
            clock=self.clock,
            epoch=held.epoch,
            by=self.who,
            told=self._told,
            waiting=self.say,
        )
        still = {record.undo.run for record in ledger.open()}
        for run in sorted({record.undo.run for record in found} - still):
            self._ask("withdraw_if_done", run=run)
            ledger.forget(run)

    def _told(self, record: UndoRecord, what: str) -> None:
        if record.state is UndoState.healing:
            return
        self.say(f"{record.undo.subject}: {record.state}{f' ({record.ending})' if record.ending else ''}: {what}")
        if record.state is UndoState.in_:
            return  # it came late, and is put back next
        try:
            self._ask("tell", record=to_json(record), who=self.who, what=what)
        except ChaosfwError:
            return  # said above; healing comes first

    def _leave(self) -> None:
        try:
            self._ask("leave", who=self.who)
        except ChaosfwError:
            return  # its sign of life goes out by itself

    def _lease(self, verb: str) -> Json:
        return self.caller.kind("", "lease", {"verb": verb, "namespace": self.namespace}, timeout=CALL)

    def _ask(self, verb: str, **data: Json) -> Json:
        return self.caller.kind("", "reaper", {"verb": verb, "namespace": self.namespace, **data}, timeout=CALL)
