"""
FaultKinds that take nodes out: cordon, drain, and a whole zone drained. One undo record a node; all of them put back by
``kubernetes.cordon/1``, which makes the node schedulable again where that is still ours to do.

Evicted pods come back by their controllers: that is recovery, and not this room's work.
"""

from __future__ import annotations

from chaosfw.drivers.kubernetes import look, marks, nodes
from chaosfw.drivers.kubernetes.choose import chosen, how_many
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import Bound, Proof, Reverted, RunMark, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, but

UNDO = "kubernetes.cordon/1"
_attempted: set[str] = set()
"""Undo records that this process has sent a restoring patch for: when its reply was lost, the node found as it was is our own work."""


class Cordon:
    """Nodes made unschedulable, by our own activity (marked, one patch) or by chaosk8s."""

    name = UNDO
    functions: tuple[str, ...] = ("chaosfw.activities.kubernetes.cordon_nodes", "chaosk8s.node.actions.cordon_node")
    verb = "cordon"

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        cluster = here()
        found = self._nodes(cluster, action, seed)
        self._check(cluster, action, found)
        undos = tuple(self._undo(action, node, environment, mark, order) for order, node in enumerate(found))
        targets = tuple(look.node_target(node) for node in found)
        return Bound(
            action=self._rewritten(action, found, undos, mark),
            fault=self.name,
            targets=targets + self._victims(cluster, found),
            changes=tuple(f"{self.verb} node {look.name_of(node)}" for node in found) + self._evictions(cluster, found),
            undo=undos,
        )

    def bitten(self, bound: Bound) -> Proof:
        cluster = here()
        for target in bound.targets:
            if target.kind == "node" and (why := _not_out(cluster, target, bound)):
                return Proof(holds=False, what=why)
        return self._bitten_pods(cluster, bound)

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        return put_back(here(), record, epoch=epoch)

    def healed(self, undo: Undo) -> Proof:
        node = here().find(nodes.path(undo.subject.name))
        if node is None or look.uid_of(node) != undo.subject.uid:
            return Proof(holds=True, what=f"node {undo.subject.name} is gone")
        if marks.on(node) is not None:
            return Proof(holds=False, what=f"node {undo.subject.name} still carries our mark")
        return Proof(
            holds=True, what=f"node {undo.subject.name} is {'un' if node['spec'].get('unschedulable') else ''}schedulable and unmarked"
        )

    def _nodes(self, cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
        return selected_nodes(cluster, action, seed=seed, what=f"{action.name!r}")

    def _check(self, cluster: Cluster, action: Action, found: tuple[Object, ...]) -> None:
        """Raises UsageError when the action can not be carried out on these nodes."""

    def _undo(self, action: Action, node: Object, environment: Environment, mark: RunMark, order: int) -> Undo:
        return Undo(
            id=f"{mark.run}.{action.name}.{look.name_of(node)}".replace(" ", "-"),
            run=mark.run,
            epoch=mark.epoch,
            fault=UNDO,
            environment=environment.name,
            subject=look.node_target(node),
            before=False,
            ours={"unschedulable": True, "marked": _is_ours(action)},
            order=order,
        )

    def _rewritten(self, action: Action, found: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        names = [look.name_of(node) for node in found]
        assert isinstance(action.provider, PythonProvider)
        if _is_ours(action):
            texts = {name: marks.text(undo, expiry=mark.expiry) for name, undo in zip(names, undos, strict=True)}
            return with_arguments(action, {**_kept(action), "names": names, "marks": texts})
        if len(names) != 1:
            raise UsageError(
                f"{action.name!r}: {action.provider.name} can name one node only", hint="use chaosfw.faults.kubernetes for several"
            )
        return with_arguments(action, {"name": names[0], **_kept(action)})

    def _victims(self, cluster: Cluster, found: tuple[Object, ...]) -> tuple[Target, ...]:
        return ()

    def _evictions(self, cluster: Cluster, found: tuple[Object, ...]) -> tuple[str, ...]:
        return ()

    def _bitten_pods(self, cluster: Cluster, bound: Bound) -> Proof:
        names = tuple(target.name for target in bound.targets)
        return Proof(holds=True, what="unschedulable: " + ", ".join(names), victims=look.hosted(cluster, names))


class Drain(Cordon):
    """Nodes cordoned and emptied through the eviction API."""

    name = "kubernetes.drain/1"
    functions: tuple[str, ...] = ("chaosfw.activities.kubernetes.drain_nodes", "chaosk8s.node.actions.drain_nodes")
    verb = "drain"

    def _check(self, cluster: Cluster, action: Action, found: tuple[Object, ...]) -> None:
        assert isinstance(action.provider, PythonProvider)
        accepts = action.provider.arguments.get("delete_emptydir_data" if _is_ours(action) else "delete_pods_with_local_storage")
        for pod in (pod for node in found for pod in _evictable_on(cluster, node)):
            if look.owner(pod) == ("", ""):
                raise UsageError(f"{action.name!r}: pod {look.name_of(pod)} has no controller and would never come back")
            if nodes.uses_emptydir(pod) and not accepts:
                raise UsageError(
                    f"{action.name!r}: pod {look.name_of(pod)} would lose its emptyDir volume", hint="delete_emptydir_data=True accepts it"
                )

    def _victims(self, cluster: Cluster, found: tuple[Object, ...]) -> tuple[Target, ...]:
        zones = look.zones_by_node(cluster)
        return tuple(look.pod_target(pod, zones) for node in found for pod in _evictable_on(cluster, node))

    def _evictions(self, cluster: Cluster, found: tuple[Object, ...]) -> tuple[str, ...]:
        return tuple(f"evict pod {target.namespace}/{target.name}" for target in self._victims(cluster, found))

    def _bitten_pods(self, cluster: Cluster, bound: Bound) -> Proof:
        victims = [target for target in bound.targets if target.kind == "pod"]
        left = [victim.name for victim in victims if _still_serves(cluster, victim)]
        if left:
            return Proof(holds=False, what=f"still ready: {', '.join(left)}")
        out = ", ".join(target.name for target in bound.targets if target.kind == "node")
        return Proof(holds=True, what=f"{out} drained, {len(victims)} pods evicted", victims=tuple(victim.name for victim in victims))


class ZoneDrain(Drain):
    """Every node of a zone drained: the loss of its capacity, announced. (Power loss is another fault.)"""

    name = "zone.drain/1"
    functions: tuple[str, ...] = ("chaosfw.activities.kubernetes.drain_zone",)

    def _nodes(self, cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
        zone = str(action.select.get("zone") or _argument(action, "zone") or "")
        there = [node for node in look.nodes(cluster) if look.zone_of(node) == zone]
        if not there:
            known = ", ".join(sorted({look.zone_of(node) for node in look.nodes(cluster)} - {""})) or "none"
            raise UsageError(f"{action.name!r}: no node is in zone {zone!r}", hint=f"zones here: {known}")
        for node in there:
            _refuse_cordoned(action, node)
        return tuple(sorted(there, key=look.name_of))

    def _rewritten(self, action: Action, found: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        bound = super()._rewritten(action, found, undos, mark)
        return with_arguments(bound, {"zone": action.select.get("zone") or _argument(action, "zone"), **_arguments(bound)})


def put_back(cluster: Cluster, record: UndoRecord, *, epoch: int) -> Reverted:
    """One attempt to make a node as it was, by the rules of docs/protocols/heal.md 7 to 11."""
    undo = record.undo
    node = cluster.find(nodes.path(undo.subject.name))
    if node is None or (undo.subject.uid and look.uid_of(node) != undo.subject.uid):
        return Reverted(ending="gone", what=f"node {undo.subject.name} is not there any more")
    mark = marks.on(node)
    ours = mark is not None and mark.get("record") == undo.id
    if node["spec"].get("unschedulable"):
        return _from_cordoned(cluster, node, undo, ours=ours, foreign=mark is not None and not ours)
    return _from_schedulable(cluster, node, record, ours=ours, epoch=epoch)


def _from_cordoned(cluster: Cluster, node: Object, undo: Undo, *, ours: bool, foreign: bool) -> Reverted:
    name = look.name_of(node)
    marked = isinstance(undo.ours, dict) and undo.ours.get("marked")
    if foreign or (marked and not ours):
        return Reverted(ending="superseded", what=f"node {name} is cordoned, but not by this fault any more: left alone")
    _attempted.add(undo.id)
    if nodes.restore(cluster, node):
        return Reverted(ending="restored", what=f"node {name} is schedulable again")
    return Reverted(ending=None, what=f"node {name} changed meanwhile", retry=True)


def _from_schedulable(cluster: Cluster, node: Object, record: UndoRecord, *, ours: bool, epoch: int) -> Reverted:
    name = look.name_of(node)
    applied = ours or record.state in (UndoState.in_, UndoState.armed)
    if not ours and not nodes.touch(cluster, node, epoch=epoch):
        return Reverted(ending=None, what=f"node {name} changed meanwhile", retry=True)
    fresh = cluster.get(nodes.path(name))
    if fresh["spec"].get("unschedulable") or not nodes.unmark(cluster, fresh):
        return Reverted(ending=None, what=f"node {name} changed meanwhile", retry=True)
    if record.undo.id in _attempted:
        return Reverted(ending="restored", what=f"node {name} is schedulable again")
    if applied and (ours or record.state is UndoState.in_):
        return Reverted(ending="by-other", what=f"node {name} had been put back by somebody else")
    return Reverted(ending="never-applied", what=f"node {name} was never changed")


def selected_nodes(cluster: Cluster, action: Action, *, seed: int, what: str, cordoned: bool = False) -> tuple[Object, ...]:
    """The nodes an action means: by name, by the workload they host, by selector, zone and count; ``cordoned`` ones too, or not."""
    select = action.select or _stock_selection(action)
    there = look.nodes(cluster, selector=str(select.get("selector") or ""))
    if name := select.get("node"):
        there = _named(there, str(name), what)
    if names := select.get("names"):
        there = [node for one in names for node in _named(there, str(one), what)]
    if zone := select.get("zone"):
        there = [node for node in there if look.zone_of(node) == zone]
    if hosting := select.get("hosting"):
        pods = look.pods_of(cluster, kind=hosting["kind"], name=hosting["name"], namespace=hosting["namespace"])
        hosts = {pod["spec"].get("nodeName") for pod in pods if not look.is_terminating(pod)}
        there = [node for node in there if look.name_of(node) in hosts]
    if covering := select.get("pods"):
        found = look.pods(cluster, namespace=str(covering["namespace"]), selector=str(covering["selector"]))
        there = [node for node in there if look.name_of(node) in {pod["spec"].get("nodeName") for pod in found}]
    if (select.get("node") or select.get("names")) and not cordoned:
        for node in there:
            _refuse_cordoned(action, node)
    candidates = sorted((node for node in there if cordoned or not node["spec"].get("unschedulable")), key=look.name_of)
    wanted = how_many(len(candidates), count=select.get("count"), share=select.get("share"), every=bool(select.get("all")))
    return chosen(candidates, wanted, seed=seed, salt=action.name, what=what)


def with_arguments(action: Action, arguments: dict[str, Json]) -> Action:
    """The action with its provider called with exactly these."""
    assert isinstance(action.provider, PythonProvider)
    return but(action, provider=but(action.provider, arguments=arguments))


def _named(there: list[Object], name: str, what: str) -> list[Object]:
    if found := [node for node in there if look.name_of(node) == name]:
        return found
    raise UsageError(f"{what}: there is no node {name!r}", hint="nodes here: " + ", ".join(sorted(map(look.name_of, there))))


def _refuse_cordoned(action: Action, node: Object) -> None:
    if node["spec"].get("unschedulable"):
        raise UsageError(
            f"{action.name!r}: node {look.name_of(node)} is cordoned already, and not by us", hint=f"kubectl uncordon {look.name_of(node)}"
        )


def _stock_selection(action: Action) -> dict[str, Json]:
    """What the function would have selected by these arguments: without a count, every node that matches."""
    arguments = _arguments(action)
    pods, namespace = arguments.get("pod_label_selector"), arguments.get("pod_namespace")
    return {
        "node": arguments.get("name"),
        "names": arguments.get("names"),
        "selector": arguments.get("label_selector"),
        "pods": {"selector": pods, "namespace": namespace} if pods and namespace else None,
        "count": arguments.get("count"),
        "all": not arguments.get("count"),
    }


def _arguments(action: Action) -> dict[str, Json]:
    assert isinstance(action.provider, PythonProvider)
    return dict(action.provider.arguments)


def _argument(action: Action, name: str) -> Json:
    return _arguments(action).get(name)


def _kept(action: Action) -> dict[str, Json]:
    """The arguments that do not select: time-outs and the like."""
    selecting = {"name", "names", "label_selector", "count", "pod_label_selector", "pod_namespace", "marks", "zone"}
    return {key: value for key, value in _arguments(action).items() if key not in selecting}


def _is_ours(action: Action) -> bool:
    return isinstance(action.provider, PythonProvider) and action.provider.module.startswith("chaosfw.")


def _evictable_on(cluster: Cluster, node: Object) -> list[Object]:
    return nodes.evictable(look.pods(cluster, node=look.name_of(node)))


def _not_out(cluster: Cluster, target: Target, bound: Bound) -> str:
    node = cluster.find(nodes.path(target.name))
    if node is None or look.uid_of(node) != target.uid:
        return f"node {target.name} is gone, which this fault does not do"
    if not node["spec"].get("unschedulable"):
        return f"node {target.name} is schedulable: somebody put it back"
    if _is_ours(bound.action) and marks.on(node) is None:
        return f"node {target.name} does not carry our mark any more"
    return ""


def _still_serves(cluster: Cluster, victim: Target) -> bool:
    pod = cluster.find(f"/api/v1/namespaces/{victim.namespace}/pods/{victim.name}")
    return pod is not None and look.uid_of(pod) == victim.uid and not look.is_terminating(pod)
