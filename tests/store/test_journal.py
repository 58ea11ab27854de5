"""The journal on disk: whole, torn, damaged, sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosfw.errors import UsageError
from chaosfw.model.event import AnyEvent, BodyEnded, Halted, Phase, PhaseBegan
from chaosfw.store.journal import JournalFile, read_journal

EVENTS: tuple[AnyEvent, ...] = (
    PhaseBegan(at=1, phase=Phase.baseline),
    Halted(at=2, reason="interrupt"),
    BodyEnded(at=3, how="passed"),
)


def written(path: Path, *, seal: bool) -> Path:
    journal = JournalFile(path)
    for event in EVENTS:
        journal.write(event, sync=True)
    if seal:
        journal.seal(4)
    journal.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_a_sealed_journal_comes_back_whole(path: Path) -> None:
    events, sealed = read_journal(written(path, seal=True))

    assert events[:-1] == EVENTS
    assert sealed


def test_a_line_is_on_disk_when_write_returns(path: Path) -> None:
    with JournalFile(path) as journal:
        journal.write(EVENTS[0])

        assert read_journal(path) == ((EVENTS[0],), False)


def test_cut_at_any_byte_it_gives_a_prefix_and_is_not_sealed(path: Path) -> None:
    data = written(path, seal=True).read_bytes()

    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        events, sealed = read_journal(path)

        assert events == EVENTS[: len(events)]
        assert not sealed


def test_damage_in_the_middle_names_the_line(path: Path) -> None:
    lines = written(path, seal=True).read_bytes().split(b"\n")
    lines[1] = lines[1][:-3]
    path.write_bytes(b"\n".join(lines))

    with pytest.raises(UsageError, match=r"journal\.jsonl:2: the journal is damaged"):
        read_journal(path)


def test_a_changed_word_breaks_the_seal(path: Path) -> None:
    data = written(path, seal=True).read_bytes()
    path.write_bytes(data.replace(b"passed", b"failed"))

    assert not read_journal(path)[1]


def test_a_line_taken_out_breaks_the_seal(path: Path) -> None:
    lines = written(path, seal=True).read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([*lines[:1], *lines[2:]]))

    assert not read_journal(path)[1]


def test_nothing_is_written_after_the_seal(path: Path) -> None:
    journal = JournalFile(path)
    journal.write(EVENTS[0])
    journal.seal(2)

    with pytest.raises(UsageError, match="Halted came too late"):
        journal.write(EVENTS[1])
    journal.seal(3)
    assert read_journal(path)[1]


def test_an_existing_journal_is_never_overwritten(path: Path) -> None:
    written(path, seal=False)

    with pytest.raises(FileExistsError):
        JournalFile(path)
