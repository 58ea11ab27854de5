"""
The FaultKind of an object that is deleted and made again: a Service, a ConfigMap, a PodDisruptionBudget, a NetworkPolicy.

Its undo data is the manifest without what the server owns. The delete carries uid and resourceVersion, so that one that is late can not
land after a healer has touched the object. Kinds that hold pods, data or secrets are refused: making them again does not bring those back.
"""

from __future__ import annotations

from typing import Any

from chaosfw.drivers.kubernetes import fields, lease, look, marks
from chaosfw.drivers.kubernetes.changes import behind, offered
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object, here
from chaosfw.drivers.kubernetes.cordon import with_arguments
from chaosfw.drivers.kubernetes.marks import MARK, TOUCH
from chaosfw.errors import DriverError, UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment
from chaosfw.model.fault import Bound, Proof, Reverted, RunMark, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json

RESTORABLE = ("service", "configmap", "poddisruptionbudget", "networkpolicy")
"""Kinds that are the same again when they are made again."""
OWNED_BY_SERVER = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "deletionTimestamp")
"""Metadata that a manifest does not say."""
_attempted: set[str] = set()
"""Undo records for which this process has asked for the object to be made: when the reply was lost, what is found there is our own work."""


class Delete:
    """One object deleted, and made again from its manifest."""

    name = "kubernetes.delete/1"
    functions: tuple[str, ...] = ("chaosfw.activities.kubernetes.delete_object",)

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        assert isinstance(action.provider, PythonProvider)
        given = dict(action.provider.arguments)
        kind, name, namespace = str(given.get("kind", "")), str(given.get("name", "")), str(given.get("namespace") or "default")
        if kind not in RESTORABLE:
            raise UsageError(f"{action.name!r}: a {kind} would not be the same again", hint="these can: " + ", ".join(RESTORABLE))
        cluster = here()
        thing = fields.found(cluster, kind=kind, name=name, namespace=namespace)
        if look.owner(thing) != ("", "") or thing["metadata"].get("ownerReferences"):
            raise UsageError(f"{action.name!r}: {kind} {name} belongs to something else, which decides whether it is there")
        if thing["metadata"].get("finalizers"):
            raise UsageError(f"{action.name!r}: {kind} {name} has finalizers: others have to let it go first")
        subject = fields.target_of(kind, thing)
        undo = Undo(
            id=f"{mark.run}.{action.name}.{name}".replace(" ", "-"),
            run=mark.run,
            epoch=mark.epoch,
            fault=self.name,
            environment=environment.name,
            subject=subject,
            before=manifest(thing),
            ours={"deleted": True, "expiry": mark.expiry},
        )
        return Bound(
            action=with_arguments(
                action, {**given, "namespace": namespace, "uid": subject.uid, "mark": marks.text(brief(undo), expiry=mark.expiry)}
            ),
            fault=self.name,
            targets=(subject, *(behind(cluster, thing) if kind == "service" else ())),
            changes=(f"delete {kind} {namespace}/{name}",),
            undo=(undo,),
        )

    def bitten(self, bound: Bound) -> Proof:
        cluster, (undo,) = here(), bound.undo
        what = f"{undo.subject.kind} {undo.subject.name}"
        if cluster.find(fields.path_of(undo.subject)) is not None:
            return Proof(holds=False, what=f"{what} is there")
        if undo.subject.kind == "service" and (left := offered(cluster, undo.subject)):
            return Proof(holds=False, what=f"{what} still offers {left} endpoints")
        return Proof(holds=True, what=f"{what} is gone", victims=tuple(one.name for one in bound.targets if one.kind == "pod"))

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        cluster, undo = here(), record.undo
        thing = cluster.find(fields.path_of(undo.subject))
        if thing is None:
            return _made_again(cluster, record)
        if look.uid_of(thing) == undo.subject.uid:
            return _still_there(cluster, thing, record, epoch=epoch)
        mark = marks.on(thing)
        if mark is not None and mark.get("record") == undo.id:
            return _let_go(cluster, thing, undo)
        if undo.id in _attempted:
            return Reverted(ending="restored", what=f"{undo.subject.kind} {undo.subject.name} is there again")
        return Reverted(ending="by-other", what=f"{undo.subject.kind} {undo.subject.name} was made again by somebody else")

    def healed(self, undo: Undo) -> Proof:
        thing = here().find(fields.path_of(undo.subject))
        what = f"{undo.subject.kind} {undo.subject.name}"
        if thing is None:
            return Proof(holds=False, what=f"{what} is not there")
        return Proof(holds=marks.on(thing) is None, what=f"{what} is there")


def manifest(thing: Object) -> Json:
    """What somebody would have to apply to get the same object again: cluster addresses and node ports included."""
    metadata = {key: value for key, value in thing["metadata"].items() if key not in OWNED_BY_SERVER}
    return {**{key: value for key, value in thing.items() if key != "status"}, "metadata": metadata}


def delete(cluster: Cluster, *, kind: str, name: str, namespace: str, uid: str, mark: str = "") -> bool:
    """
    Deletes exactly this object, as it is now; False when there is none. ``mark``: whose the fault is, by which the lease is checked right
    before. Raises DriverError when it is another one of that name, or the lease is not ours any more.
    """
    path = fields.PATHS[kind].format(name=name, namespace=namespace)
    for _ in range(fields.ATTEMPTS):
        thing = cluster.find(path)
        if thing is None:
            return False
        if uid and look.uid_of(thing) != uid:
            raise DriverError(f"{kind} {name} is another one of that name by now")
        if marks.on(thing) is not None:
            raise DriverError(f"{kind} {name} carries a mark of another fault", hint="chaosfw heal --dry-run shows it")
        lease.check(cluster, mark=mark)
        preconditions = {"uid": look.uid_of(thing), "resourceVersion": thing["metadata"]["resourceVersion"]}
        try:
            cluster.delete(path, {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions})
        except Answered as answer:
            if answer.code == 409:
                continue
            raise
        return True
    raise DriverError(f"{path} changed {fields.ATTEMPTS} times while it was being deleted")


def _made_again(cluster: Cluster, record: UndoRecord) -> Reverted:
    undo = record.undo
    wanted: dict[str, Any] = dict(undo.before)
    metadata = dict(wanted["metadata"])
    metadata["annotations"] = {**(metadata.get("annotations") or {}), MARK: marks.text(brief(undo), expiry=undo.ours["expiry"])}
    _attempted.add(undo.id)
    try:
        made = cluster.post(fields.path_of(undo.subject).rpartition("/")[0], {**wanted, "metadata": metadata})
    except Answered as answer:
        if answer.code != 409:
            raise
        return Reverted(ending=None, what=f"{undo.subject.kind} {undo.subject.name} came back meanwhile", retry=True)
    return _let_go(cluster, made, undo)


def brief(undo: Undo) -> Undo:
    """For the mark on the object that was made again, and for the check of the epoch: what it was before is the object itself."""
    return Undo(id=undo.id, run=undo.run, epoch=undo.epoch, fault=undo.fault, environment=undo.environment, subject=undo.subject)


def _let_go(cluster: Cluster, thing: Object, undo: Undo) -> Reverted:
    path, what = fields.path_of(undo.subject), f"{undo.subject.kind} {undo.subject.name}"
    if fields.swapped(cluster, path, thing, {}, annotations={MARK: None, TOUCH: None}):
        return Reverted(ending="restored", what=f"{what} is there again")
    return Reverted(ending=None, what=f"{what} changed meanwhile", retry=True)


def _still_there(cluster: Cluster, thing: Object, record: UndoRecord, *, epoch: int) -> Reverted:
    """Touched, so that a delete that is still on its way fails."""
    path, what = fields.path_of(record.undo.subject), f"{record.undo.subject.kind} {record.undo.subject.name}"
    moved = Reverted(ending=None, what=f"{what} changed meanwhile", retry=True)
    if not fields.swapped(cluster, path, thing, {}, annotations={TOUCH: str(epoch)}):
        return moved
    fresh = cluster.find(path)
    if fresh is None or not fields.swapped(cluster, path, fresh, {}, annotations={TOUCH: None}):
        return moved
    ending: Any = "never-applied" if record.state in (UndoState.prepared, UndoState.armed) else "by-other"
    return Reverted(ending=ending, what=f"{what} was never deleted")
