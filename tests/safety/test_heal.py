"""Healing: newest first, one failure never stops the others, proof before closed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from chaosfw.errors import DriverError, LedgerDamaged
from chaosfw.model.environment import Target
from chaosfw.model.fault import Proof, Reverted, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, to_json
from chaosfw.ports import ProviderCall
from chaosfw.safety.heal import heal, undone
from chaosfw.safety.ledger import LedgerFile
from chaosfw.testing.clock import FakeClock


class Answers:
    """ports.Caller whose reverts and proofs are scripted by node name."""

    def __init__(self, **scripts: Callable[[int], Reverted]) -> None:
        self.scripts = scripts
        self.asked: list[str] = []
        self.tries: dict[str, int] = {}
        self.healed: Callable[[str], bool | None] = lambda name: True

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        name = data["record"]["undo"]["subject"]["name"] if verb == "revert" else data["subject"]["name"]
        if verb == "healed":
            return to_json(Proof(holds=self.healed(name), what="seen"))
        self.asked.append(name)
        self.tries[name] = self.tries.get(name, 0) + 1
        script = self.scripts.get(name, lambda attempt: Reverted(ending="restored", what="done"))
        return to_json(script(self.tries[name]))

    def provider(self, call: ProviderCall, *, timeout: float) -> Json:
        raise AssertionError("healing calls kinds only")


def ledger_with(path: Path, *names: str) -> LedgerFile:
    ledger = LedgerFile(path)
    undos = [
        Undo(id=name, run="run", fault="x/1", environment="e", subject=Target(kind="node", name=name), order=order)
        for order, name in enumerate(names)
    ]
    ledger.prepare(undos, epoch=1)
    return ledger


def healed(ledger: LedgerFile, answers: Answers) -> tuple[int, list[UndoRecord]]:
    told: list[UndoRecord] = []
    left = heal(ledger=ledger, caller=answers, clock=FakeClock(), epoch=2, by="test", told=lambda record, what: told.append(record))
    return left, told


def test_newest_first(tmp_path: Path) -> None:
    answers = Answers()

    left, told = healed(ledger_with(tmp_path, "a", "b", "c"), answers)

    assert (left, answers.asked) == (0, ["c", "b", "a"])
    assert [record.state for record in told] == [UndoState.healing, UndoState.closed] * 3


def test_one_failed_heal_never_stops_the_others(tmp_path: Path) -> None:
    def broken(attempt: int) -> Reverted:
        raise DriverError("no such thing")

    ledger = ledger_with(tmp_path, "a", "b", "c")
    left, _ = healed(ledger, Answers(b=broken))

    assert left == 1
    assert [(record.undo.subject.name, record.state) for record in ledger.open()] == [("b", UndoState.stuck)]


def test_a_conflict_is_tried_again(tmp_path: Path) -> None:
    conflicted = Reverted(ending=None, what="409", retry=True)
    answers = Answers(a=lambda attempt: conflicted if attempt < 4 else Reverted(ending="restored", what="done"))

    left, _ = healed(ledger_with(tmp_path, "a"), answers)

    assert (left, answers.tries["a"]) == (0, 4)


def test_an_unreachable_environment_is_tried_until_patience_ends(tmp_path: Path) -> None:
    def away(attempt: int) -> Reverted:
        raise DriverError("EnvironmentTrouble: the API server does not answer")

    answers = Answers(a=away)
    ledger = ledger_with(tmp_path, "a")
    left, _ = healed(ledger, answers)

    assert left == 1
    assert answers.tries["a"] > 10
    assert ledger.open()[0].state is UndoState.stuck


def test_what_is_reverted_but_not_proven_is_not_closed(tmp_path: Path) -> None:
    answers = Answers()
    answers.healed = lambda name: None

    left, told = healed(ledger_with(tmp_path, "a"), answers)

    assert left == 1
    assert told[-1].state is UndoState.stuck


@pytest.mark.parametrize("ending", ["superseded", "by-other", "gone", "never-applied"])
def test_every_ending_is_recorded_as_such(tmp_path: Path, ending: str) -> None:
    ledger = ledger_with(tmp_path, "a")
    _, told = healed(ledger, Answers(a=lambda attempt: Reverted(ending=ending, what="so")))  # type: ignore[arg-type]

    assert (told[-1].ending, ledger.records()[0].ending) == (ending, ending)


def test_a_stuck_record_is_healed_by_the_next_healer(tmp_path: Path) -> None:
    ledger = ledger_with(tmp_path, "a")
    healed(ledger, Answers(a=lambda attempt: Reverted(ending=None, what="no")))

    left, _ = healed(ledger, Answers())

    assert left == 0


def test_heal_first_record_later_when_the_disk_is_full(tmp_path: Path) -> None:
    """A ledger that can not be written any more does not keep anything broken."""
    ledger = ledger_with(tmp_path, "a", "b")
    answers = Answers()

    class Full:
        def open(self) -> tuple[UndoRecord, ...]:
            return ledger.open()

        def advance(self, record: UndoRecord) -> None:
            raise LedgerDamaged("no space left")

    words: list[str] = []
    left = heal(
        ledger=Full(),
        caller=answers,
        clock=FakeClock(),
        epoch=2,
        by="test",
        told=lambda record, what: words.append(what),  # type: ignore[arg-type]
    )

    assert (left, answers.asked) == (0, ["b", "a"])
    assert all("NOT recorded" in word for word in words)


def test_a_healer_that_died_half_way_does_not_make_the_next_one_forget(tmp_path: Path) -> None:
    """The revert is told where the record stood before anybody began to heal it."""
    ledger = ledger_with(tmp_path, "a")
    ledger.advance(UndoRecord(undo=ledger.open()[0].undo, state=UndoState.in_))
    healed(ledger, Answers(a=lambda attempt: Reverted(ending=None, what="died here")))
    seen: list[str] = []

    class Listening(Answers):
        def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
            if verb == "revert":
                seen.append(data["record"]["state"])
            return super().kind(kind, verb, data, timeout=timeout)

    healed(ledger, Listening())

    assert seen == ["in"]


def test_a_number_in_a_name_is_no_reason_to_try_again(tmp_path: Path) -> None:
    def broken(attempt: int) -> Reverted:
        raise DriverError("DriverError: pod web-500 is on fire")

    answers = Answers(a=broken)
    healed(ledger_with(tmp_path, "a"), answers)

    assert answers.tries["a"] == 1


@pytest.mark.parametrize(("holds", "again"), [(True, []), (False, ["b", "a"]), (None, ["b", "a"])])
def test_what_is_in_again_is_open_anew(tmp_path: Path, holds: bool | None, again: list[str]) -> None:
    """What can not be seen counts as in; what somebody else had put back or replaced is not looked at."""
    ledger, answers = ledger_with(tmp_path, "a", "b", "other"), Answers(other=lambda attempt: Reverted(ending="by-other", what="theirs"))
    healed(ledger, answers)
    answers.healed = lambda name: holds

    found = undone(ledger.records(), caller=answers)

    assert sorted(record.undo.id for record in found) == sorted(again)
    assert {record.state for record in found} <= {UndoState.in_}
    assert {record.ending for record in found} <= {None}
