"""
One field of one object, changed with our mark in the same patch and put back by the rules of docs/protocols/heal.md: every write is a
compare-and-swap on uid and resourceVersion, and only what is still ours is restored.

``Field`` says which field; ``change`` and ``put_back`` do the rest for all of them. Used by the kinds in ``workloads`` and by the
activities. Knows nothing of why, how long, or who chose the object.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from chaosfw.drivers.kubernetes import lease, look, marks
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.drivers.kubernetes.marks import MARK, TOUCH
from chaosfw.errors import DriverError, UsageError
from chaosfw.model.environment import Target
from chaosfw.model.fault import Proof, Reverted, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json

ATTEMPTS = 20
"""Conflicts that one compare-and-swap survives."""
PATHS = {
    "node": "/api/v1/nodes/{name}",
    "pod": "/api/v1/namespaces/{namespace}/pods/{name}",
    "service": "/api/v1/namespaces/{namespace}/services/{name}",
    "configmap": "/api/v1/namespaces/{namespace}/configmaps/{name}",
    "poddisruptionbudget": "/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/{name}",
    "networkpolicy": "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/{name}",
    "deployment": "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
    "statefulset": "/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}",
}
"""Where objects are, by the kind that targets name."""
WRITTEN = {
    "configmap": "ConfigMap",
    "poddisruptionbudget": "PodDisruptionBudget",
    "networkpolicy": "NetworkPolicy",
    "statefulset": "StatefulSet",
}
"""Kinds that the API writes with more than one capital letter."""
_attempted: set[str] = set()
"""Undo records that this process has sent a restoring patch for: when its reply was lost, the object found as it was is our own work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    A field of an object. ``read`` gives its value now, in the shape of ``ours``; ``body`` the merge patch (of metadata only annotations)
    that gives it a value; ``words`` say a value.
    """

    read: Callable[[Object, Json], Json]
    body: Callable[[Object, Json], Object]
    words: Callable[[Json], str]


def path_of(target: Target) -> str:
    return PATHS[target.kind].format(name=target.name, namespace=target.namespace)


def list_of(kind: str) -> str:
    """Where all objects of a kind are listed, whatever their namespace: ``/apis/apps/v1/deployments``."""
    return PATHS[kind].replace("/namespaces/{namespace}", "").rpartition("/")[0]


def resource_of(kind: str) -> tuple[str, str]:
    """API group (empty: core) and resource of a kind: ``("apps", "deployments")``."""
    parts = PATHS[kind].strip("/").split("/")
    return (parts[1] if parts[0] == "apis" else ""), parts[-2]


def found(cluster: Cluster, *, kind: str, name: str, namespace: str = "") -> Object:
    """The object. Raises UsageError naming those that there are."""
    if kind not in PATHS:
        raise UsageError(f"{kind!r} is not a kind that can be changed", hint="known: " + ", ".join(sorted(PATHS)))
    path = PATHS[kind].format(name=name, namespace=namespace)
    if (thing := cluster.find(path)) is not None:
        return thing
    there = ", ".join(sorted(map(look.name_of, cluster.items(path.rpartition("/")[0])))) or "none"
    where = f" in namespace {namespace!r}" if namespace else ""
    raise UsageError(f"there is no {kind} {name!r}{where}", hint=f"there: {there}")


def target_of(kind: str, thing: Object) -> Target:
    if kind == "node":
        return look.node_target(thing)
    return Target(kind=kind, name=look.name_of(thing), namespace=thing["metadata"].get("namespace", ""), uid=look.uid_of(thing))


def change(cluster: Cluster, field: Field, *, path: str, ours: Json, mark: str = "", uid: str = "") -> bool:
    """
    Gives the field our value, with the mark in the same patch. True when this call did it, False when it was so already. With a mark
    only from the value that the mark names as the one before; with ``uid`` only of that very object. Raises DriverError on a foreign
    mark, or when somebody else changed it.
    """
    expected = json.loads(mark)["before"] if mark else None
    for _ in range(ATTEMPTS):
        thing = cluster.get(path)
        name = f"{thing.get('kind', 'object').lower()} {look.name_of(thing)}"
        if uid and look.uid_of(thing) != uid:
            raise DriverError(f"{name} is another one of that name by now")
        there = thing["metadata"].get("annotations", {}).get(MARK)
        if there is not None and there != mark:
            raise DriverError(f"{name} carries a mark of another fault", hint="chaosfw heal --dry-run shows it")
        now = field.read(thing, ours)
        if now == ours and (there == mark if mark else True):
            return False
        if mark and now != expected:
            raise DriverError(f"{name} was changed by somebody else in the meantime: {field.words(now)}, not {field.words(expected)}")
        lease.check(cluster, mark=mark)
        if swapped(cluster, path, thing, field.body(thing, ours), annotations={MARK: mark} if mark else {}):
            return True
    raise DriverError(f"{path} changed {ATTEMPTS} times while it was being changed")


def put_back(cluster: Cluster, field: Field, record: UndoRecord, *, epoch: int) -> Reverted:
    """One attempt, by rules 7 to 11 of docs/protocols/heal.md."""
    undo, path = record.undo, path_of(record.undo.subject)
    what = f"{undo.subject.kind} {undo.subject.name}"
    thing = cluster.find(path)
    if thing is None or (undo.subject.uid and look.uid_of(thing) != undo.subject.uid):
        return Reverted(ending="gone", what=f"{what} is not there any more")
    mark = marks.on(thing)
    is_ours = mark is not None and mark.get("record") == undo.id
    now = field.read(thing, undo.ours)
    if now == undo.ours:
        return _from_ours(cluster, field, thing, undo, is_ours=is_ours)
    if now == undo.before:
        return _from_before(cluster, field, thing, record, is_ours=is_ours, epoch=epoch)
    if is_ours and not swapped(cluster, path, thing, {}, annotations={MARK: None, TOUCH: None}):
        return Reverted(ending=None, what=f"{what} changed meanwhile", retry=True)
    return Reverted(ending="superseded", what=f"{what} has {field.words(now)} now, which is neither ours nor what it was: left alone")


def healed(cluster: Cluster, field: Field, undo: Undo) -> Proof:
    """Whether nothing of ours is left on the object."""
    what = f"{undo.subject.kind} {undo.subject.name}"
    thing = cluster.find(path_of(undo.subject))
    if thing is None or look.uid_of(thing) != undo.subject.uid:
        return Proof(holds=True, what=f"{what} is gone")
    if marks.on(thing) is not None:
        return Proof(holds=False, what=f"{what} still carries our mark")
    return Proof(holds=True, what=f"{what} has {field.words(field.read(thing, undo.ours))} and no mark")


def swapped(cluster: Cluster, path: str, seen: Object, body: Object, *, annotations: dict[str, str | None]) -> bool:
    """One compare-and-swap; False on a conflict."""
    metadata: Object = {"resourceVersion": seen["metadata"]["resourceVersion"], "uid": look.uid_of(seen)}
    if both := {**(body.get("metadata") or {}).get("annotations", {}), **annotations}:
        metadata["annotations"] = both
    try:
        cluster.patch(path, {**body, "metadata": metadata})
    except Answered as answer:
        if answer.code == 409:
            return False
        raise
    return True


def _from_ours(cluster: Cluster, field: Field, thing: Object, undo: Undo, *, is_ours: bool) -> Reverted:
    what = f"{undo.subject.kind} {undo.subject.name}"
    if not is_ours:
        return Reverted(ending="superseded", what=f"{what} has {field.words(undo.ours)}, but not by this fault any more: left alone")
    _attempted.add(undo.id)
    path, body = path_of(undo.subject), field.body(thing, undo.before)
    if (
        not swapped(cluster, path, thing, body, annotations={MARK: None, TOUCH: None})
        or field.read(cluster.get(path), undo.ours) == undo.ours
    ):
        return Reverted(ending=None, what=f"{what} changed meanwhile", retry=True)
    return Reverted(ending="restored", what=f"{what} has {field.words(undo.before)} again")


def _from_before(cluster: Cluster, field: Field, thing: Object, record: UndoRecord, *, is_ours: bool, epoch: int) -> Reverted:
    undo, path = record.undo, path_of(record.undo.subject)
    what = f"{undo.subject.kind} {undo.subject.name}"
    moved = Reverted(ending=None, what=f"{what} changed meanwhile", retry=True)
    if not is_ours and not swapped(cluster, path, thing, {}, annotations={TOUCH: str(epoch)}):
        return moved
    fresh = cluster.get(path)
    if field.read(fresh, undo.ours) != undo.before or not swapped(cluster, path, fresh, {}, annotations={MARK: None, TOUCH: None}):
        return moved
    if undo.id in _attempted:
        return Reverted(ending="restored", what=f"{what} has {field.words(undo.before)} again")
    if is_ours or record.state is UndoState.in_:
        return Reverted(ending="by-other", what=f"{what} had been put back by somebody else")
    return Reverted(ending="never-applied", what=f"{what} was never changed")
