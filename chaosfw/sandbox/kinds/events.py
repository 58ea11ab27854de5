"""
The two faces of an event: the core group's, which is stored, and that of ``events.k8s.io``, which is a view of it.
"""

from __future__ import annotations

from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import NAME, Column, Kind, View, read, text
from chaosfw.sandbox.objects import moments

_NEW_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_OLD_NAMES = {new: old for old, new in _NEW_NAMES.items()}


def _default_event(obj: Object) -> None:
    obj.setdefault("involvedObject", {})
    obj.setdefault("source", {})
    obj.setdefault("firstTimestamp", None)
    obj.setdefault("lastTimestamp", None)


def _assign_event(obj: Object) -> None:
    obj.setdefault("reportingComponent", "")
    obj.setdefault("reportingInstance", "")
    obj.setdefault("eventTime", None)


def _read(obj: Object) -> Object:
    """An event of the older form has no eventTime, and is shown without one, although typed clients insist on it: so does a real server."""
    seen = {_NEW_NAMES.get(key, key): value for key, value in obj.items()}
    for name in ("reportingController", "reportingInstance"):
        if not seen.get(name):
            seen.pop(name, None)
    return {**seen, "apiVersion": "events.k8s.io/v1", "kind": "Event"}


def _write(obj: Object) -> Object:
    stored = {_OLD_NAMES.get(key, key): value for key, value in obj.items()}
    return {**stored, "apiVersion": "v1", "kind": "Event"}


def _last(obj: Object) -> str | None:
    for path in ("series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime", "metadata.creationTimestamp"):
        if found := read(obj, path):
            return str(found)
    return None


def _first(obj: Object) -> str | None:
    return read(obj, "firstTimestamp") or read(obj, "eventTime") or _last(obj)


def _object(obj: Object, now: float) -> str:
    target: Any = obj.get("involvedObject") or obj.get("regarding") or {}
    return f"{target.get('kind', '').lower()}/{target.get('name', '')}"


def _source(obj: Object, now: float) -> str:
    component = read(obj, "source.component") or obj.get("reportingComponent", "")
    host = read(obj, "source.host", "")
    return f"{component}, {host}" if host else str(component)


_COLUMNS = (
    Column("Last Seen", lambda obj, now: moments.age(_last(obj), now)),
    Column("Type", text("type")),
    Column("Reason", text("reason")),
    Column("Object", _object),
    Column("Subobject", text("involvedObject.fieldPath"), wide=True),
    Column("Source", _source, wide=True),
    Column("Message", lambda obj, now: str(obj.get("message") or obj.get("note") or "").strip()),
    Column("First Seen", lambda obj, now: moments.age(_first(obj), now), wide=True),
    Column("Count", lambda obj, now: obj.get("count") or read(obj, "series.count") or 1, wide=True),
    Column("Name", NAME.cell, wide=True, format="name"),
)

EVENT = Kind(
    kind="Event",
    plural="events",
    made_by_update=True,
    short=("ev",),
    columns=_COLUMNS,
    fields={
        **{
            f"involvedObject.{field}": f"involvedObject.{field}"
            for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": "reason",
        "reportingComponent": "reportingComponent",
        "source": "source.component",
        "type": "type",
    },
    has_status=False,
    defaults=_default_event,
    assigns=_assign_event,
)

NEW_EVENT = Kind(
    kind="Event",
    plural="events",
    made_by_update=True,
    group="events.k8s.io",
    short=("ev",),
    columns=_COLUMNS,
    fields={
        **{
            f"regarding.{field}": f"regarding.{field}"
            for field in ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
        },
        "reason": "reason",
        "reportingController": "reportingController",
        "type": "type",
    },
    has_status=False,
    view=View("events", _read, _write),
)
