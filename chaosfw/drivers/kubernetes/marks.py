"""
The mark that a fault of ours leaves on the object it changed, in the same patch: whose it is, and all that puts the object back.

Used by FaultKinds, the audit, and whoever heals from the target alone. The expiry is a label for people and for whoever sweeps up
inside a cluster; marks of earlier versions carry less, and nothing is decided by what they lack.
"""

from __future__ import annotations

import json

import msgspec

from chaosfw.drivers.kubernetes.cluster import Object
from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import to_json

MARK = "chaosfw.dev/fault"
"""Annotation with a mark: JSON of run, record, epoch, expiry, fault, environment, before, ours."""
TOUCH = "chaosfw.dev/touched"
"""Annotation that a healer sets and takes away, so that a delayed write of the fenced runner fails with 409."""
CARRIED = ("run", "fault", "environment", "epoch", "order", "before", "ours", "intended")
"""Fields of an Undo that its mark carries as they are; its id is the mark's ``record``, its subject is the object itself."""


def text(undo: Undo, *, expiry: str) -> str:
    """The mark of one undo record."""
    carried = {name: value for name, value in to_json(undo).items() if name in CARRIED}
    return json.dumps({"record": undo.id, "expiry": expiry, **carried}, sort_keys=True)


def on(thing: Object) -> Object | None:
    """The mark on an object, None where there is none. A mark that can not be read is still a mark."""
    written = (thing["metadata"].get("annotations") or {}).get(MARK)
    if written is None:
        return None
    try:
        mark = json.loads(written)
    except ValueError:
        return {"unreadable": written}
    return mark if isinstance(mark, dict) else {"unreadable": written}


def record_in(mark: Object, *, subject: Target) -> UndoRecord | None:
    """The undo record that a mark stands for, as seen to be in: that is what a mark proves. None where it does not say enough."""
    carried = {name: value for name, value in mark.items() if name in CARRIED}
    try:
        undo = msgspec.convert({"environment": "", **carried, "id": mark.get("record"), "subject": to_json(subject)}, Undo)
    except msgspec.ValidationError:
        return None
    return UndoRecord(undo=undo, state=UndoState.in_, epoch=undo.epoch)
