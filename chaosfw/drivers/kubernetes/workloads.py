"""
FaultKinds that change one field of an object: replicas of a workload, a taint on nodes, the selector of a Service, the image of a
container; and the restart of a rollout, which heals itself. Which field is data (``changes``); how it is changed and put back is
``fields``.

What a controller does in answer (pods that go, come or wait) is recovery, and not put back here.
"""

from __future__ import annotations

from chaosfw.drivers.kubernetes import changes, fields, look, marks
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.drivers.kubernetes.cordon import selected_nodes, with_arguments
from chaosfw.drivers.kubernetes.fields import Field
from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import Bound, Proof, Reverted, RunMark, Undo, UndoRecord
from chaosfw.model.struct import Json, but

OURS = "chaosfw.activities.kubernetes"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
"""Annotation of a pod template whose change restarts the rollout, as kubectl writes it."""


class Changed:
    """What all of them share. A kind says which objects, which value, who is hit, and how the effect is seen."""

    name: str
    functions: tuple[str, ...]

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        cluster = here()
        objects = self.objects(cluster, action, seed)
        kind = self.kind(action)
        undos = tuple(self._undo(action, kind, thing, environment, mark, order) for order, thing in enumerate(objects))
        hit = self.hit(cluster, action, objects)
        field = self.field(action)
        return Bound(
            action=self._rewritten(action, objects, undos, mark),
            fault=self.name,
            targets=(*(undo.subject for undo in undos), *hit),
            changes=tuple(
                f"{undo.subject.kind} {undo.subject.namespace}{'/' if undo.subject.namespace else ''}{undo.subject.name}: "
                f"{field.words(undo.before)} → {field.words(undo.ours)}"
                for undo in undos
            ),
            undo=undos,
            hits=self.hits(action, objects, hit),
        )

    def bitten(self, bound: Bound) -> Proof:
        cluster = here()
        field = self.field(bound.action)
        for undo in bound.undo:
            what = f"{undo.subject.kind} {undo.subject.name}"
            thing = cluster.find(fields.path_of(undo.subject))
            if thing is None or look.uid_of(thing) != undo.subject.uid:
                return Proof(holds=False, what=f"{what} is gone, which this fault does not do")
            if (now := field.read(thing, undo.ours)) != undo.ours:
                return Proof(holds=False, what=f"{what} has {field.words(now)}: somebody put it back")
            if marks.on(thing) is None:
                return Proof(holds=False, what=f"{what} does not carry our mark any more")
        return self.seen(cluster, bound)

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        return fields.put_back(here(), self.field_of(record.undo), record, epoch=epoch)

    def healed(self, undo: Undo) -> Proof:
        return fields.healed(here(), self.field_of(undo), undo)

    def kind(self, action: Action) -> str:
        return str(_arguments(action).get("kind") or "deployment")

    def objects(self, cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
        """The objects that are changed. Raises UsageError when there is none."""
        given = _arguments(action)
        if not given.get("name"):
            raise UsageError(f"{action.name!r}: which {self.kind(action)}? name= is missing")
        return (fields.found(cluster, kind=self.kind(action), name=str(given["name"]), namespace=str(given.get("namespace") or "default")),)

    def field(self, action: Action) -> Field:
        raise NotImplementedError

    def field_of(self, undo: Undo) -> Field:
        raise NotImplementedError

    def ours(self, action: Action, thing: Object) -> Json:
        """The injected value."""
        raise NotImplementedError

    def hit(self, cluster: Cluster, action: Action, objects: tuple[Object, ...]) -> tuple[Target, ...]:
        """The pods that the change is about."""
        return ()

    def hits(self, action: Action, objects: tuple[Object, ...], hit: tuple[Target, ...]) -> int | None:
        """How many of them are lost at most, where nobody chooses which; None: all."""
        return None

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        """The effect beyond the field itself."""
        raise NotImplementedError

    def _undo(self, action: Action, kind: str, thing: Object, environment: Environment, mark: RunMark, order: int) -> Undo:
        ours = self.ours(action, thing)
        before = self.field(action).read(thing, ours)
        if before == ours:
            raise UsageError(f"{action.name!r}: {kind} {look.name_of(thing)} has {self.field(action).words(before)} already")
        return Undo(
            id=f"{mark.run}.{action.name}.{look.name_of(thing)}".replace(" ", "-"),
            run=mark.run,
            epoch=mark.epoch,
            fault=self.name,
            environment=environment.name,
            subject=fields.target_of(kind, thing),
            before=before,
            ours=ours,
            order=order,
        )

    def _rewritten(self, action: Action, objects: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        (undo,) = undos
        return with_arguments(action, {**_arguments(action), "mark": marks.text(undo, expiry=mark.expiry)})


class Scale(Changed):
    """A workload with another number of replicas."""

    name = "kubernetes.scale/1"
    functions: tuple[str, ...] = (f"{OURS}.scale",)

    def field(self, action: Action) -> Field:
        return changes.REPLICAS

    def field_of(self, undo: Undo) -> Field:
        return changes.REPLICAS

    def ours(self, action: Action, thing: Object) -> Json:
        wanted = _arguments(action).get("replicas")
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
            raise UsageError(f"{action.name!r}: replicas is {wanted!r}, a whole number from 0 on was expected")
        return wanted

    def hit(self, cluster: Cluster, action: Action, objects: tuple[Object, ...]) -> tuple[Target, ...]:
        return _pods_of(cluster, self.kind(action), objects[0]) if self._lost(action, objects) else ()

    def hits(self, action: Action, objects: tuple[Object, ...], hit: tuple[Target, ...]) -> int | None:
        lost = self._lost(action, objects)
        return lost if 0 < lost < len(hit) else None

    def _lost(self, action: Action, objects: tuple[Object, ...]) -> int:
        return int(objects[0]["spec"].get("replicas", 1)) - int(self.ours(action, objects[0]))

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        (undo,) = bound.undo
        left = _running(cluster, undo.subject)
        if undo.ours > undo.before:
            ready = sum(look.is_ready(pod) for pod in left)
            return Proof(holds=ready >= undo.ours, what=f"{undo.subject.name}: {ready} of {undo.ours} pods ready")
        there = {look.uid_of(pod) for pod in left}
        gone = tuple(target.name for target in bound.targets if target.kind == "pod" and target.uid not in there)
        what = f"{undo.subject.name}: {len(left)} pods left of {undo.before}"
        return Proof(holds=len(left) <= undo.ours and len(gone) >= undo.before - undo.ours, what=what, victims=gone)


class Taint(Changed):
    """Nodes with a taint of ours: nothing new is placed there (NoSchedule), or what runs there has to go as well (NoExecute)."""

    name = "kubernetes.taint/1"
    functions: tuple[str, ...] = (f"{OURS}.taint_nodes",)

    def kind(self, action: Action) -> str:
        return "node"

    def objects(self, cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
        return selected_nodes(cluster, action, seed=seed, what=f"{action.name!r}")

    def field(self, action: Action) -> Field:
        given = _arguments(action)
        return changes.taint(str(given["key"]), str(given["effect"]))

    def field_of(self, undo: Undo) -> Field:
        return changes.taint(str(undo.ours["key"]), str(undo.ours["effect"]))

    def ours(self, action: Action, thing: Object) -> Json:
        given = _arguments(action)
        return {"key": given["key"], "value": given.get("value", ""), "effect": given["effect"]}

    def _undo(self, action: Action, kind: str, thing: Object, environment: Environment, mark: RunMark, order: int) -> Undo:
        undo = super()._undo(action, kind, thing, environment, mark, order)
        if undo.before is not None:
            key = undo.ours["key"]
            raise UsageError(
                f"{action.name!r}: node {look.name_of(thing)} has a taint {key!r} of that effect already", hint="take another key="
            )
        return undo

    def hit(self, cluster: Cluster, action: Action, objects: tuple[Object, ...]) -> tuple[Target, ...]:
        if _arguments(action)["effect"] != "NoExecute":
            return ()
        zones = look.zones_by_node(cluster)
        there = [pod for node in objects for pod in look.pods(cluster, node=look.name_of(node)) if not look.is_finished(pod)]
        return tuple(look.pod_target(pod, zones) for pod in there if not _tolerates(pod, self.ours(action, objects[0])))

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        left = [target.name for target in bound.targets if target.kind == "pod" and _serves(cluster, target)]
        if left:
            return Proof(holds=False, what=f"still there: {', '.join(left)}")
        names = tuple(target.name for target in bound.targets if target.kind == "node")
        evicted = tuple(target.name for target in bound.targets if target.kind == "pod")
        return Proof(holds=True, what=f"tainted: {', '.join(names)}", victims=evicted or look.hosted(cluster, names))

    def _rewritten(self, action: Action, objects: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        texts = {undo.subject.name: marks.text(undo, expiry=mark.expiry) for undo in undos}
        given = {key: value for key, value in _arguments(action).items() if key not in ("label_selector", "count")}
        return with_arguments(action, {**given, "names": list(texts), "marks": texts})


class Selector(Changed):
    """A Service that selects nobody: all its pods run, and none is reached through it."""

    name = "kubernetes.selector/1"
    functions: tuple[str, ...] = (f"{OURS}.break_selector",)

    def kind(self, action: Action) -> str:
        return "service"

    def field(self, action: Action) -> Field:
        return changes.SELECTOR

    def field_of(self, undo: Undo) -> Field:
        return changes.SELECTOR

    def ours(self, action: Action, thing: Object) -> Json:
        selector = dict(thing["spec"].get("selector") or {})
        if not selector:
            raise UsageError(f"{action.name!r}: service {look.name_of(thing)} has no selector: others decide where it leads")
        return {**selector, changes.NOBODY: "true"}

    def hit(self, cluster: Cluster, action: Action, objects: tuple[Object, ...]) -> tuple[Target, ...]:
        return changes.behind(cluster, objects[0])

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        (undo,) = bound.undo
        left = changes.offered(cluster, undo.subject)
        victims = tuple(target.name for target in bound.targets if target.kind == "pod")
        return Proof(holds=not left, what=f"service {undo.subject.name} offers {left} endpoints", victims=() if left else victims)


class Image(Changed):
    """A workload whose pod template has another image: with one that can not be pulled, its rollout stalls."""

    name = "kubernetes.image/1"
    functions: tuple[str, ...] = (f"{OURS}.set_image",)

    def field(self, action: Action) -> Field:
        return changes.IMAGE

    def field_of(self, undo: Undo) -> Field:
        return changes.IMAGE

    def ours(self, action: Action, thing: Object) -> Json:
        given = _arguments(action)
        return {"container": changes.container(thing, str(given.get("container") or ""))["name"], "image": given["image"]}

    def hit(self, cluster: Cluster, action: Action, objects: tuple[Object, ...]) -> tuple[Target, ...]:
        return _pods_of(cluster, self.kind(action), objects[0])

    def hits(self, action: Action, objects: tuple[Object, ...], hit: tuple[Target, ...]) -> int | None:
        return unavailable(objects[0], len(hit))

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        (undo,) = bound.undo
        new = [pod for pod in _running(cluster, undo.subject) if _has_image(pod, undo.ours)]
        victims = tuple(target.name for target in bound.targets if target.kind == "pod")
        return Proof(
            holds=bool(new), what=f"{undo.subject.name}: {len(new)} pods with image {undo.ours['image']}", victims=victims if new else ()
        )

    def _rewritten(self, action: Action, objects: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        bound = super()._rewritten(action, objects, undos, mark)
        return with_arguments(bound, {**_arguments(bound), "container": undos[0].ours["container"]})


class RolloutRestart:
    """Every pod of a workload replaced by its controller, at the pace of its strategy. Heals itself: there is nothing to put back."""

    name = "kubernetes.rollout-restart/1"
    functions: tuple[str, ...] = (f"{OURS}.restart_rollout",)

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        cluster, given = here(), _arguments(action)
        kind, namespace = str(given.get("kind") or "deployment"), str(given.get("namespace") or "default")
        workload = fields.found(cluster, kind=kind, name=str(given["name"]), namespace=namespace)
        if workload["spec"].get("paused"):
            raise UsageError(
                f"{action.name!r}: the rollout of {kind} {given['name']} is paused: nothing would happen", hint="kubectl rollout resume"
            )
        pods = _pods_of(cluster, kind, workload)
        subject = fields.target_of(kind, workload)
        return Bound(
            action=but(action, provider=but(action.provider, arguments={**given, "kind": kind, "namespace": namespace})),
            fault=self.name,
            targets=(subject, *pods),
            changes=(f"restart the rollout of {kind} {namespace}/{subject.name}: {len(pods)} pods replaced",),
            self_heals=True,
            hits=unavailable(workload, len(pods)),
        )

    def bitten(self, bound: Bound) -> Proof:
        there = {look.uid_of(pod) for pod in _running(here(), bound.targets[0])}
        gone = tuple(target.name for target in bound.targets if target.kind == "pod" and target.uid not in there)
        pods = len(bound.targets) - 1
        return Proof(holds=bool(gone), what=f"{len(gone)} of {pods} pods replaced", victims=gone)

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        return Reverted(ending="gone", what="a rollout goes on by itself")

    def healed(self, undo: Undo) -> Proof:
        return Proof(holds=True, what="nothing to put back")


def unavailable(workload: Object, pods: int) -> int | None:
    """How many pods a rolling update takes out at the same time at most; None: all (Recreate)."""
    strategy = workload["spec"].get("strategy") or workload["spec"].get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") != "RollingUpdate":
        return None
    given = (strategy.get("rollingUpdate") or {}).get("maxUnavailable", "25%")
    most = int(given[:-1]) * pods // 100 if isinstance(given, str) and given.endswith("%") else int(given)
    return max(1, most) if most < pods else None


def _pods_of(cluster: Cluster, kind: str, workload: Object) -> tuple[Target, ...]:
    zones = look.zones_by_node(cluster)
    found = look.pods_of(cluster, kind=kind, name=look.name_of(workload), namespace=workload["metadata"]["namespace"])
    return tuple(look.pod_target(pod, zones) for pod in found if not look.is_terminating(pod) and not look.is_finished(pod))


def _running(cluster: Cluster, workload: Target) -> list[Object]:
    found = look.pods_of(cluster, kind=workload.kind, name=workload.name, namespace=workload.namespace)
    return [pod for pod in found if not look.is_terminating(pod) and not look.is_finished(pod)]


def _has_image(pod: Object, ours: Json) -> bool:
    return any(one["name"] == ours["container"] and one["image"] == ours["image"] for one in pod["spec"]["containers"])


def _serves(cluster: Cluster, victim: Target) -> bool:
    pod = cluster.find(f"/api/v1/namespaces/{victim.namespace}/pods/{victim.name}")
    return pod is not None and look.uid_of(pod) == victim.uid and not look.is_terminating(pod)


def _tolerates(pod: Object, taint: Json) -> bool:
    for one in pod["spec"].get("tolerations") or []:
        fits = one.get("operator", "Equal") == "Exists" or one.get("value", "") == taint["value"]
        if one.get("key") in (None, "", taint["key"]) and one.get("effect") in (None, "", taint["effect"]) and fits:
            return "tolerationSeconds" not in one
    return False


def _arguments(action: Action) -> dict[str, Json]:
    assert isinstance(action.provider, PythonProvider)
    return dict(action.provider.arguments)
