"""The cord: whoever finds it pulled reads by whom and why, and one that can not be read is pulled."""

from __future__ import annotations

from pathlib import Path

from chaosfw.safety.halt import FILE, Cord, lift, pull, standing


def test_a_pulled_cord_says_by_whom_when_and_why(tmp_path: Path) -> None:
    assert standing(tmp_path) == ""

    pull(tmp_path / "new", Cord(who="ann", at="2026-01-01T00:00:00Z", reason="checkout is down"))

    assert standing(tmp_path / "new") == "halted by ann at 2026-01-01T00:00:00Z: checkout is down"


def test_a_lifted_cord_is_not_standing_and_lifting_twice_is_told_apart(tmp_path: Path) -> None:
    pull(tmp_path, Cord(who="ann", at="now"))

    assert [lift(tmp_path), standing(tmp_path), lift(tmp_path)] == [True, "", False]


def test_a_cord_that_can_not_be_read_is_pulled(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")

    assert "can not be read" in standing(tmp_path)
