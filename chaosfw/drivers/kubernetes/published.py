"""
The undo records of a run, published on the environment itself before anything is broken: a ConfigMap that whoever finds only the target
can heal from. Together with the marks on objects it is the ledger's second copy, and outlives the host.

``publish`` before the first inject, ``withdraw`` when nothing is open any more, ``records`` for the healer. Decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec

from chaosfw.drivers.kubernetes import fields, look, marks
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.errors import DriverError
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import to_json

LABEL = "app.kubernetes.io/managed-by"
NAME = "chaosfw-run-"
RECORDS = "records"
LARGEST = 900_000
"""Bytes that the records of a run may have: an object holds a mebibyte."""
MARKABLE = {kind: fields.list_of(kind) for kind in fields.PATHS}
"""Where marks can be."""


def publish(cluster: Cluster, *, run: str, namespace: str, undos: Sequence[Undo]) -> None:
    """Raises DriverError where that is not allowed, or where they are too many for one object."""
    text = json.dumps([to_json(undo) for undo in undos], sort_keys=True)
    if len(text) > LARGEST:
        raise DriverError(f"the undo records of this run have {len(text)} bytes, {LARGEST} can be published", hint="hit less at a time")
    metadata = {"name": name_of(run), "namespace": namespace, "labels": {LABEL: "chaosfw"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"run": run, RECORDS: text}}
    try:
        cluster.post(_path(namespace), body)
    except Answered as answer:
        if answer.code == 403:
            hint = f"allow create, get, list and delete of configmaps in {namespace}, or name another state_namespace"
            raise DriverError(f"the undo records can not be published: {answer}", hint=hint) from answer
        if answer.code != 409:  # there already: its first answer was lost
            raise


def withdraw(cluster: Cluster, *, run: str, namespace: str) -> None:
    """Safe twice."""
    try:
        cluster.delete(f"{_path(namespace)}/{name_of(run)}")
    except Answered as answer:
        if answer.code not in (403, 404):
            raise


def records(cluster: Cluster, *, namespace: str) -> tuple[UndoRecord, ...]:
    """
    All that the target itself says is to undo. A published record was armed at most, as far as that tells; a mark proves that its
    fault is in.
    """
    found: dict[str, UndoRecord] = {}
    for one in cluster.items(_path(namespace), labelSelector=f"{LABEL}=chaosfw"):
        for undo in undos_in(one) or ():
            found[undo.id] = UndoRecord(undo=undo, state=UndoState.armed, epoch=undo.epoch)
    for kind, path in MARKABLE.items():
        for one in cluster.readable(path):
            if (record := _marked(kind, one)) is not None:
                known = found.get(record.undo.id, record)
                found[record.undo.id] = UndoRecord(undo=known.undo, state=UndoState.in_, epoch=known.epoch)
    return tuple(found.values())


def undos_in(thing: Object) -> list[Undo] | None:
    """What a publication says; None where that can not be read, which keeps nobody from healing the others."""
    try:
        return msgspec.json.decode((thing.get("data") or {}).get(RECORDS, "[]"), type=list[Undo])
    except msgspec.MsgspecError:
        return None


def name_of(run: str) -> str:
    return NAME + run.lower()


def is_published(thing: Object) -> bool:
    """Whether an object is a publication of ours."""
    return look.name_of(thing).startswith(NAME) and (thing["metadata"].get("labels") or {}).get(LABEL) == "chaosfw"


def _marked(kind: str, thing: Object) -> UndoRecord | None:
    mark = marks.on(thing)
    return marks.record_in(mark, subject=fields.target_of(kind, thing)) if mark is not None else None


def _path(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"
