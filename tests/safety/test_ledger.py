"""The ledger: durable before the deed, whole or refused, readable after every kind of cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosfw.errors import LedgerDamaged
from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import but
from chaosfw.safety.ledger import FILE, LedgerFile


def undo(number: int, *, run: str = "run") -> Undo:
    return Undo(id=f"{run}-{number}", run=run, fault="x/1", environment="e", subject=Target(kind="node", name=f"n{number}"), order=number)


def test_a_prepared_record_is_open_until_it_is_closed(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path)
    ledger.prepare([undo(0)], epoch=1)

    assert [record.state for record in ledger.open()] == [UndoState.prepared]

    ledger.advance(UndoRecord(undo=undo(0), state=UndoState.closed, ending="restored"))
    assert ledger.open() == ()


def test_open_records_come_newest_first(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path)
    ledger.prepare([undo(0), undo(1)], epoch=1)
    ledger.prepare([undo(2)], epoch=1)

    assert [record.undo.order for record in ledger.open()] == [2, 1, 0]


def test_another_process_reads_what_this_one_wrote(tmp_path: Path) -> None:
    LedgerFile(tmp_path).prepare([undo(0)], epoch=3)

    (record,) = LedgerFile(tmp_path).open()
    assert (record.undo, record.epoch) == (undo(0), 3)


def test_cut_at_every_byte_it_is_a_prefix_of_what_was_written(tmp_path: Path) -> None:
    """A torn last line was never acted on, so it may go; nothing before it may."""
    whole = LedgerFile(tmp_path / "whole")
    whole.prepare([undo(0)], epoch=1)
    whole.advance(UndoRecord(undo=undo(0), state=UndoState.in_))
    whole.advance(UndoRecord(undo=undo(0), state=UndoState.closed, ending="restored"))
    data = (tmp_path / "whole" / FILE).read_bytes()
    states = [None, UndoState.prepared, UndoState.in_, UndoState.closed]

    for length in range(len(data) + 1):
        directory = tmp_path / "cut"
        directory.mkdir(exist_ok=True)
        (directory / FILE).write_bytes(data[:length])
        records = LedgerFile(directory).records()
        expected = states[data[:length].count(b"\n")]
        assert [record.state for record in records] == ([expected] if expected else [])


def test_a_torn_line_is_cut_off_before_the_next_is_written(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path)
    ledger.prepare([undo(0)], epoch=1)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"12345678 {half")

    LedgerFile(tmp_path).prepare([undo(1)], epoch=1)

    assert {record.undo.order for record in LedgerFile(tmp_path).open()} == {0, 1}


def test_damage_in_the_middle_is_refused_with_its_line(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path)
    ledger.prepare([undo(0)], epoch=1)
    ledger.prepare([undo(1)], epoch=1)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes().replace(b"n0", b"n9", 1))

    with pytest.raises(LedgerDamaged, match=r"ledger.jsonl:1: the checksum does not fit"):
        LedgerFile(tmp_path).open()


def test_a_full_disk_refuses_and_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed fsync the file is not trusted any more."""
    ledger = LedgerFile(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("chaosfw.safety.ledger.os.fsync", full)
        with pytest.raises(LedgerDamaged, match="No space left"):
            ledger.prepare([undo(0)], epoch=1)
    with pytest.raises(LedgerDamaged, match="not written any more"):
        ledger.prepare([undo(0)], epoch=1)


def test_forgetting_a_closed_run_leaves_nothing(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path)
    ledger.snapshot("run", {"node a": 1})
    ledger.prepare([undo(0)], epoch=1)
    ledger.advance(but(ledger.open()[0], state=UndoState.closed, ending="restored"))

    ledger.forget("run")

    assert list(tmp_path.iterdir()) == []


def test_forgetting_one_run_keeps_another_that_is_open(tmp_path: Path) -> None:
    ledger = LedgerFile(tmp_path)
    ledger.prepare([undo(0, run="other")], epoch=1)

    ledger.forget("run")

    assert [record.undo.run for record in ledger.open()] == ["other"]
