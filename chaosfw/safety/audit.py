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
    "kubernetes.delete/1": ("", lambda now, undo: now is None),
    "kubernetes.delete-node/1": ("", lambda now, undo: now is None),
}
"""
Which field of the audit a kind changes (empty: all of them), and whether a value found there is still what it injected. Of other kinds
every field counts.
"""
LONGEST = 200
"""Characters that a difference shows of a value: a config map can hold a mebibyte, and a report is read by many."""
MANAGER = "chaosfw"
"""Who we are in managedFields."""
NOT_SAID = ("", MANAGER, "OpenAPI-Generator")
"""Writers that may be us: not known, our own driver, and the Python client that stock drivers use."""


BESIDE = ("writer of ", "published ", "held ")
"""
Paths that nothing is left at: who wrote a field, records that a run publishes while it is on and withdraws after its audit, and the holder
of the environment's Lease, which is let go later still.
"""


def compare(
    before: Mapping[str, Json], after: Mapping[str, Json], records: Iterable[UndoRecord]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Residue, each with the command that mends it, and what others changed, in words."""
    records = tuple(records)
    residue = [_open_words(record) for record in records if record.state is not UndoState.closed]
    foreign: list[str] = []
    there = {path.partition(" · ")[0] for path in after}
    told: set[str] = set()
    for path in sorted({*before, *after}):
        was, now = before.get(path), after.get(path)
        if was == now or path.startswith(BESIDE):
            continue
        who = path.partition(" · ")[0]
        if who in told:
            continue  # an object that is gone as a whole is one thing that is left, not one a field
        told |= {who} - there
        mine = _is_mark_left(path, now) or _is_left(path, now, records, writer=str(after.get(f"writer of {path}", "")))
        if mine:
            residue.append(_difference_words(path, was, now) + _mend_words(path, was, now, records))
        else:
            foreign.append(_difference_words(path, was, now))  # nobody is told how to undo the work of others
    for kind in unread(after):
        mine = any(record.undo.subject.kind == kind for record in records)
        (residue if mine else foreign).append(f"no {kind} may be listed with these credentials: what is left there is not seen")
    return tuple(residue), tuple(foreign)


def mend(path: str, was: Json, now: Json, *, manifest: Json = None) -> str:
    """The command that gives a path the value it had; empty where there is none. ``manifest``: of an object that was deleted."""
    who, _, field = path.removeprefix("mark ").partition(" · ")
    kind, _, full = who.partition(" ")
    namespace, slash, name = full.rpartition("/")
    where = f"{kind} {name}" + (f" -n {namespace}" if slash else "")
    if path.startswith("mark "):
        return _unmark(where, field)
    if now is None and manifest:
        return f"echo {shlex.quote(json.dumps(manifest, sort_keys=True))} | kubectl apply -f -"
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
            return _patch(where, {"spec": {"selector": _patched(was, now)}})
        case _:
            return _patch(where, {field: _patched(was, now)})


def _unmark(where: str, field: str) -> str:
    if field == "made":
        return f"kubectl delete {where}"
    return f"kubectl {'annotate' if field.rpartition('/')[2] in ('fault', 'touched', 'paused', 'machine') else 'label'} {where} {field}-"


def _is_mark_left(path: str, now: Json) -> bool:
    """A mark that was there before and is gone is nothing that is left."""
    return path.startswith("mark ") and now is not None


def _is_left(path: str, now: Json, records: Sequence[UndoRecord], *, writer: str) -> bool:
    about = [record for record in records if _is_about(path, record)]
    if any(record.state is not UndoState.closed for record in about):
        return True
    if writer not in NOT_SAID or any(record.ending in ("superseded", "gone") for record in about):
        return False
    return writer == MANAGER or any(_injected(now, record) for record in about)


def _is_about(path: str, record: UndoRecord) -> bool:
    who, _, field = path.partition(" · ")
    return who == named(record.undo.subject) and FIELDS.get(record.undo.fault, ("", None))[0] in ("", field)


def _injected(now: Json, record: UndoRecord) -> bool:
    return record.undo.fault not in FIELDS or FIELDS[record.undo.fault][1](now, record.undo)


def named(subject: Target) -> str:
    """An object as the audit's paths name it."""
    return f"{subject.kind} {subject.namespace}{'/' if subject.namespace else ''}{subject.name}"


def _patched(was: Json, now: Json) -> Json:
    """The merge patch that makes ``was`` of ``now``: what came meanwhile is taken away, what is equal is left out."""
    if not isinstance(was, dict) or not isinstance(now, dict):
        return was
    changed = {key: _patched(value, now.get(key)) for key, value in was.items() if key not in now or now[key] != value}
    return {**dict.fromkeys(key for key in now if key not in was), **changed}


def _patch(where: str, body: Json) -> str:
    return f"kubectl patch {where} --type=merge -p {shlex.quote(json.dumps(body, sort_keys=True))}"


def _difference_words(path: str, was: Json, now: Json) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
        was, now = ({key: one[key] for key in keys if key in one} for one in (was, now))
    return f"{path}: was {_short(was)}, is {_short(now)}"


def _short(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _mend_words(path: str, was: Json, now: Json, records: Sequence[UndoRecord]) -> str:
    deleted = [record.undo.before for record in records if record.undo.fault.startswith("kubernetes.delete") and _is_about(path, record)]
    how = mend(path, was, now, manifest=deleted[-1] if deleted else None)
    return f" (mend: {how})" if how else ""


def _open_words(record: UndoRecord) -> str:
    return (
        f"undo record {record.undo.id} of {record.undo.subject} is {record.state}: {record.reason or 'not put back'} (mend: chaosfw heal)"
    )


def is_field(path: str) -> bool:
    """Whether a path is a field that has to be compared, and says nothing by itself."""
    return not path.startswith(("mark ", *BESIDE)) and not path.endswith(" · not readable")


def unread(world: Mapping[str, Json]) -> Sequence[str]:
    """Kinds that these credentials may not list: what is left of ours there would not be seen."""
    return [path.partition(" · ")[0] for path in world if path.endswith(" · not readable") and world[path] == 403]
