"""
The forms in which an object may be asked for: itself, a Table (what ``kubectl get`` prints), or its metadata alone.

Derived from the columns of the kind's row. The answer is never 406: who asks for something we do not have gets the object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from chaosfw.sandbox.apiserver.store import Entry
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import Column, Kind
from chaosfw.timing import NANOSECONDS, SYSTEM

Shape = Literal["object", "table", "partial"]
META = "meta.k8s.io/v1"
_DESCRIBED = "see the documentation of the kind"


@dataclass(frozen=True, slots=True)
class Form:
    """What the client wants to see. ``include`` is what a Table row carries: Metadata, Object or None."""

    shape: Shape = "object"
    include: str = "Metadata"


def wanted(accept: str, *, include: str = "") -> Form:
    """The first acceptable form we can give."""
    for offer in accept.split(","):
        parts = {part.strip() for part in offer.split(";")}
        if "application/json" not in parts or ("v=v1" not in parts and any(part.startswith("as=") for part in parts)):
            continue
        if "as=Table" in parts:
            return Form("table", include or "Metadata")
        if parts & {"as=PartialObjectMetadata", "as=PartialObjectMetadataList"}:
            return Form("partial")
        return Form()
    return Form()


def one(row: Kind, found: Entry, form: Form, *, headed: bool = True) -> bytes:
    """One object in the form; ``headed`` False leaves out a Table's column definitions, as later events of a watch do."""
    if form.shape == "object":
        return data_of(row, found)
    if form.shape == "partial":
        return _dump(_partial(object_of(row, found)))
    return _dump(_table(row, [found], form, {"resourceVersion": str(found.version)}, headed=headed))


def many(row: Kind, entries: list[Entry], form: Form, metadata: Object) -> bytes:
    """A list in the form."""
    if form.shape == "table":
        return _dump(_table(row, entries, form, metadata))
    if form.shape == "partial":
        items = [_partial(object_of(row, found)) for found in entries]
        return _dump({"kind": "PartialObjectMetadataList", "apiVersion": META, "metadata": metadata, "items": items})
    head = _dump({"kind": row.list_kind, "apiVersion": row.api_version, "metadata": metadata})[:-1]
    return head + b',"items":[' + b",".join(_item(row, found) for found in entries) + b"]}"


def object_of(row: Kind, found: Entry) -> Object:
    """The stored object as this kind shows it. Not to be changed."""
    if row.view:
        return row.view.read(found.obj)
    if row.custom and found.obj["apiVersion"] != row.api_version:
        return {**found.obj, "apiVersion": row.api_version}
    return found.obj


def data_of(row: Kind, found: Entry) -> bytes:
    shown = object_of(row, found)
    return found.data if shown is found.obj else _dump(shown)


def _item(row: Kind, found: Entry) -> bytes:
    """In a list an object of a built-in kind does not say what it is."""
    data = data_of(row, found)
    head = _dump({"kind": row.kind, "apiVersion": row.api_version})[:-1] + b","
    return b"{" + data[len(head) :] if not row.custom and data.startswith(head) else data


def _dump(value: Object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": META, "metadata": obj["metadata"]}


def _table(row: Kind, entries: list[Entry], form: Form, metadata: Object, *, headed: bool = True) -> Object:
    now = SYSTEM.wall_ns() / NANOSECONDS
    table: Object = {"kind": "Table", "apiVersion": META, "metadata": metadata}
    table["columnDefinitions"] = [_definition(column) for column in row.columns] if headed else []
    table["rows"] = [_row(row, object_of(row, found), form, now) for found in entries]
    return table


def _definition(column: Column) -> Object:
    priority = 1 if column.wide else 0
    return {"name": column.name, "type": column.type, "format": column.format, "description": _DESCRIBED, "priority": priority}


def _row(row: Kind, obj: Object, form: Form, now: float) -> Object:
    cells = [column.cell(obj, now) for column in row.columns]
    if form.include == "None":
        return {"cells": cells, "object": None}
    return {"cells": cells, "object": obj if form.include == "Object" else _partial(obj)}
