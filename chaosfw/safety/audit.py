"""
The world compared with its snapshot: what *we* changed and did not put back is residue; the rest is other people's work.

Pure. Ours is the very field that one of our undo records is about, as long as it has our value or the record is not verified to be put
back, and whatever carries our mark. Everything else that differs is ``foreign``: shown, and not held against the run. A cordon has no
owner, so one that stands on a node of ours counts as ours.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json

FIELDS: Mapping[str, tuple[str, Callable[[Json, Undo], bool]]] = {
    "kubernetes.cordon/1": ("spec.unschedulable", lambda now, undo: bool(now)),
    "kubernetes.scale/1": ("spec.replicas", lambda now, undo: now == undo.ours),
    "kubernetes.taint/1": ("taints", lambda now, undo: f"{undo.ours['key']}:{undo.ours['effect']}" in (now or [])),
    "kubernetes.selector/1": ("spec.selector", lambda now, undo: now == undo.ours),
    "kubernetes.image/1": ("images", lambda now, undo: (now or {}).get(undo.ours["container"]) == undo.ours["image"]),
}
"""Which field of the audit a kind changes, and whether a value found there is still what it injected. Of other kinds every field counts."""


def compare(
    before: Mapping[str, Json], after: Mapping[str, Json], records: Iterable[UndoRecord]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Residue and foreign changes, each in words with the command that mends it."""
    records = tuple(records)
    residue = [_open_words(record) for record in records if record.state is not UndoState.closed]
    foreign: list[str] = []
    for path in sorted({*before, *after}):
        was, now = before.get(path), after.get(path)
        if was != now:
            mine = path.startswith("mark ") or any(_is_ours(path, now, record) for record in records)
            (residue if mine else foreign).append(_difference_words(path, was, now))
    return tuple(residue), tuple(foreign)


def mend(path: str, was: Json, now: Json) -> str:
    """The command that gives a path the value it had; empty where there is none."""
    who, _, field = path.removeprefix("mark ").partition(" · ")
    kind, _, full = who.partition(" ")
    namespace, slash, name = full.rpartition("/")
    where = f"{kind} {name}" + (f" -n {namespace}" if slash else "")
    if path.startswith("mark "):
        what = "annotate" if field.rpartition("/")[2] in ("fault", "touched") else "label"
        return f"kubectl {what} {where} {field}-"
    if was is None or now is None:
        return ""  # it came or went as a whole: its manifest is not ours to write
    match field:
        case "spec.unschedulable":
            return f"kubectl {'' if was else 'un'}cordon {name}"
        case "taints":
            changed = [*(f"{one}-" for one in now if one not in was), *(one for one in was if one not in now)]
            return f"kubectl taint node {name} {' '.join(changed)}"
        case "spec.replicas":
            return f"kubectl scale {where} --replicas={was}"
        case "images":
            return f"kubectl set image {where} " + " ".join(f"{one}={image}" for one, image in was.items() if now.get(one) != image)
        case "spec.selector":
            return _patch(where, {"spec": {"selector": {**dict.fromkeys(now), **was}}})
        case _:
            return _patch(where, {field: was})


def _is_ours(path: str, now: Json, record: UndoRecord) -> bool:
    who, _, field = path.partition(" · ")
    if who != named(record.undo.subject) or record.ending in ("superseded", "gone"):
        return False
    mine, is_injected = FIELDS.get(record.undo.fault, (field, lambda now, undo: True))
    return field == mine and (record.state is not UndoState.closed or is_injected(now, record.undo))


def named(subject: Target) -> str:
    """An object as the audit's paths name it."""
    return f"{subject.kind} {subject.namespace}{'/' if subject.namespace else ''}{subject.name}"


def _patch(where: str, body: Json) -> str:
    return f"kubectl patch {where} --type=merge -p {shlex.quote(json.dumps(body, sort_keys=True))}"


def _difference_words(path: str, was: Json, now: Json) -> str:
    how = mend(path, was, now)
    return f"{path}: was {was!r}, is {now!r}" + (f" (mend: {how})" if how else "")


def _open_words(record: UndoRecord) -> str:
    return (
        f"undo record {record.undo.id} of {record.undo.subject} is {record.state}: {record.reason or 'not put back'} (mend: chaosfw heal)"
    )


def unread(world: Mapping[str, Json]) -> Sequence[str]:
    """Kinds that these credentials may not list: what is left of ours there would not be seen."""
    return [path.partition(" · ")[0] for path in world if path.endswith(" · not readable") and world[path] == 403]
