"""The replicas of a workload as ``autoscaling/v1 Scale``, read and written without knowing the workload."""

from __future__ import annotations

from typing import Any

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.store import Entry
from chaosfw.sandbox.apiserver.verbs import PatchForm, Verbs, WriteOptions, apply_patch
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import Kind, invalid, read
from chaosfw.sandbox.objects import selectors

_FORM = Kind(kind="Scale", plural="scale", group="autoscaling", has_status=False)


def view(found: Entry) -> Object:
    """The Scale of a workload."""
    obj = found.obj
    kept = {
        name: obj["metadata"][name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if name in obj["metadata"]
    }
    status: Object = {"replicas": read(obj, "status.replicas", 0)}
    if selector := selectors.format_object(read(obj, "spec.selector")):
        status["selector"] = selector
    replicas = read(obj, "spec.replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def replace(verbs: Verbs, row: Kind, namespace: str, name: str, body: Object, options: WriteOptions) -> Object:
    version = read(body, "metadata.resourceVersion")
    found = verbs.get(row, namespace, name)
    if version not in (None, "", str(found.version)):
        raise errors.conflict(row, name)
    replicas = read(body, "spec.replicas", 0)
    if not isinstance(replicas, int) or replicas < 0:
        raise errors.invalid(_FORM, name, [invalid("spec.replicas", replicas, "must be greater than or equal to 0")])
    return view(verbs.patch(row, namespace, name, {"spec": {"replicas": replicas}}, "merge", options).entry)


def patch(verbs: Verbs, row: Kind, namespace: str, name: str, body: Any, form: PatchForm, options: WriteOptions) -> Object:
    changed = apply_patch(_FORM, view(verbs.get(row, namespace, name)), body, form)
    return replace(verbs, row, namespace, name, changed, options)
