"""
The way back: put back every open undo record, newest first, and prove it by a fresh read.

Called by the engine, the watchdog and ``chaosfw heal`` alike, after the writers are fenced. One failed heal never stops the
others. It never decides whether the run was good; it only does, records and says what was put back and when.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import msgspec

from chaosfw.errors import ChaosfwError, LedgerDamaged
from chaosfw.model.fault import Proof, Reverted, UndoRecord, UndoState
from chaosfw.model.struct import but, to_json
from chaosfw.ports import Caller, Ledger
from chaosfw.timing import Clock, nanoseconds

CALL = 10.0
"""Seconds that one revert or one proof may take."""
PATIENCE = 30.0
"""Seconds that one record is tried before it is stuck; a later heal tries again."""
PAUSE = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between tries: capped back-off."""

PASSING = re.compile(r"^(EnvironmentTrouble|ExecutorGone)\b|gave no answer within|^Answered: (409|429|5\d\d)\b")
"""Errors of a caller after which trying again can help."""

LATE = 6.0
"""Seconds after which a request that a dead run had sent has been served or lost: a run's own time-out for one is five."""

Told = Callable[[UndoRecord, str], None]


def heal(
    *,
    ledger: Ledger,
    caller: Caller,
    clock: Clock,
    epoch: int,
    by: str,
    told: Told,
    runs: str = "",
    patience: float = PATIENCE,
) -> int:
    """
    Every open record of the ledger whose run begins with ``runs``; how many of them are still open afterwards. ``told`` hears
    each step.

    Heal first, record later: when the ledger can not be written any more, reverting goes on and the trouble is told.
    """
    left = 0
    for record in ledger.open():
        if not record.undo.run.startswith(runs):
            continue
        was = record.was or record.state
        ended = _one(
            but(record, state=UndoState.healing, epoch=epoch, by=by, was=was),
            but(record, state=was),
            caller=caller,
            clock=clock,
            told=told,
            ledger=ledger,
            patience=patience,
        )
        left += ended.state is not UndoState.closed
    return left


def heal_unfenced(
    *, ledger: Ledger, caller: Caller, clock: Clock, epoch: int, by: str, told: Told, waiting: Callable[[str], None], runs: str = ""
) -> int:
    """
    As ``heal``, where nobody could stop the requests of the dead run: looks again when the last of them must have been served or lost,
    and puts back what came late (rule 10 of docs/protocols/heal.md). ``waiting`` hears what it waits for.
    """
    wanted = {record.undo.id for record in ledger.open() if record.undo.run.startswith(runs)}
    left = heal(ledger=ledger, caller=caller, clock=clock, epoch=epoch, by=by, told=told, runs=runs)
    if left == len(wanted):
        return left
    waiting(f"looking again in {LATE:g} s: a request of the dead run may still be under way")
    clock.sleep(LATE)
    late = undone([record for record in ledger.records() if record.undo.id in wanted], caller=caller)
    for record in late:
        _write(ledger, record, "a request of the dead run came late", told)
    if late:
        left = heal(ledger=ledger, caller=caller, clock=clock, epoch=epoch, by=by, told=told, runs=runs)
    return left


def undone(records: Iterable[UndoRecord], *, caller: Caller) -> tuple[UndoRecord, ...]:
    """
    Records that were put back and are seen to be in again, open anew: a request of an issuer that nobody could fence has landed since.
    What somebody else has changed meanwhile is not touched: only reverting tells that, by mark and value.
    """
    back = [record for record in records if record.state is UndoState.closed and record.ending in ("restored", "never-applied")]
    return tuple(but(record, state=UndoState.in_, ending=None, was=None) for record in back if _is_in_again(caller, record))


def _is_in_again(caller: Caller, record: UndoRecord) -> bool:
    try:
        answer = caller.kind(record.undo.fault, "healed", to_json(record.undo), timeout=CALL)
    except ChaosfwError:
        return True  # unseen is not proven: reverting again does no harm
    return msgspec.convert(answer, Proof).holds is not True


def _one(record: UndoRecord, was: UndoRecord, *, caller: Caller, clock: Clock, told: Told, ledger: Ledger, patience: float) -> UndoRecord:
    _write(ledger, record, "healing", told)
    until = clock.monotonic_ns() + nanoseconds(patience)
    attempt = 0
    while True:
        reverted = _reverted(caller, record, was)
        if reverted.ending is not None and _is_proven(caller, record):
            ended = but(record, state=UndoState.closed, ending=reverted.ending, reason=reverted.what)
            break
        if clock.monotonic_ns() >= until or (reverted.ending is None and not reverted.retry):
            ended = but(record, state=UndoState.stuck, reason=reverted.what)
            break
        clock.sleep(PAUSE[min(attempt, len(PAUSE) - 1)])
        attempt += 1
    _write(ledger, ended, ended.reason, told)
    return ended


def _reverted(caller: Caller, record: UndoRecord, was: UndoRecord) -> Reverted:
    try:
        answer = caller.kind(record.undo.fault, "revert", {"record": to_json(was), "epoch": record.epoch}, timeout=CALL)
    except ChaosfwError as trouble:
        return Reverted(ending=None, what=trouble.message, retry=may_pass(trouble.message))
    return msgspec.convert(answer, Reverted)


def _is_proven(caller: Caller, record: UndoRecord) -> bool:
    try:
        answer = caller.kind(record.undo.fault, "healed", to_json(record.undo), timeout=CALL)
    except ChaosfwError:
        return False  # unseen is not proven: the loop asks again
    return msgspec.convert(answer, Proof).holds is True


def may_pass(reason: str) -> bool:
    """Whether trying again can help: an environment that is away comes back, a driver's own error does not."""
    return PASSING.search(reason) is not None


def _write(ledger: Ledger, record: UndoRecord, what: str, told: Told) -> None:
    try:
        ledger.advance(record)
    except LedgerDamaged as trouble:
        what = f"{what}; NOT recorded: {trouble.message}"
    told(record, what)
