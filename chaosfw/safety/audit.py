"""
The world compared with its snapshot: what *we* changed and did not put back is residue; the rest is other people's work.

Pure. Ours is what one of our undo records is about, or what carries our mark; everything else that differs is ``foreign``:
shown, and not held against the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from chaosfw.model.fault import UndoRecord, UndoState
from chaosfw.model.struct import Json

MENDS = {"spec.unschedulable": "kubectl uncordon {name}"}
"""The command that mends a path by hand, by the path's end."""


def compare(
    before: Mapping[str, Json], after: Mapping[str, Json], records: Iterable[UndoRecord]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Residue and foreign changes, each in words."""
    records = tuple(records)
    ours = {f"{record.undo.subject.kind} {record.undo.subject.name}" for record in records if record.ending not in ("superseded", "gone")}
    residue = [_open_words(record) for record in records if record.state is not UndoState.closed]
    foreign: list[str] = []
    for path in sorted({*before, *after}):
        was, now = before.get(path), after.get(path)
        if was == now:
            continue
        mine = path.startswith("mark ") or path.partition(" · ")[0] in ours
        (residue if mine else foreign).append(_difference_words(path, was, now))
    return tuple(residue), tuple(foreign)


def _difference_words(path: str, was: Json, now: Json) -> str:
    who, _, field = path.partition(" · ")
    mend = MENDS.get(field, "").format(name=who.split()[-1])
    return f"{path}: was {was!r}, is {now!r}" + (f" (mend: {mend})" if mend else "")


def _open_words(record: UndoRecord) -> str:
    return (
        f"undo record {record.undo.id} of {record.undo.subject} is {record.state}: {record.reason or 'not put back'} (mend: chaosfw heal)"
    )
