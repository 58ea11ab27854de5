"""
The FaultKind of machines without power, frozen, or cut off from the others: nobody is told, and peers hear nothing.

Only the sandbox can do it, by an annotation on the node; a condition of that name says that it has. Nodes of other clusters are refused
when it is planned.
"""

from __future__ import annotations

from chaosfw.drivers.kubernetes import changes, fields, look, marks
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.drivers.kubernetes.cordon import selected_nodes, with_arguments
from chaosfw.drivers.kubernetes.fields import Field
from chaosfw.drivers.kubernetes.paused import RUNTIME
from chaosfw.drivers.kubernetes.workloads import OURS, Changed
from chaosfw.errors import UsageError
from chaosfw.faults.kubernetes import STATES
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Target
from chaosfw.model.fault import Bound, Proof, RunMark, Undo
from chaosfw.model.struct import Json


class Machine(Changed):
    """Nodes whose machines are off, frozen or cut off, with all that runs on them."""

    name = "kubernetes.machine/1"
    functions: tuple[str, ...] = (f"{OURS}.stop_machines",)

    def kind(self, action: Action) -> str:
        return "node"

    def objects(self, cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
        found = selected_nodes(cluster, action, seed=seed, what=f"{action.name!r}", cordoned=True)  # power knows nothing of schedulers
        for node in found:
            _refuse_elsewhere(action, node)
        return found

    def field(self, action: Action) -> Field:
        return changes.MACHINE

    def field_of(self, undo: Undo) -> Field:
        return changes.MACHINE

    def ours(self, action: Action, thing: Object) -> Json:
        assert isinstance(action.provider, PythonProvider)
        state = dict(action.provider.arguments).get("state", "off")
        if state not in STATES:
            raise UsageError(f"{action.name!r}: a machine can not be {state!r}", hint="one of " + ", ".join(STATES))
        return state

    def hit(self, cluster: Cluster, action: Action, objects: tuple[Object, ...]) -> tuple[Target, ...]:
        zones = look.zones_by_node(cluster)
        there = [pod for node in objects for pod in look.pods(cluster, node=look.name_of(node)) if not look.is_finished(pod)]
        return tuple(look.pod_target(pod, zones) for pod in there)

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        for undo in bound.undo:
            if (said := _said(cluster, undo)) != undo.ours:
                return Proof(holds=False, what=f"the machine of node {undo.subject.name} is said to be {said}")
        names = ", ".join(undo.subject.name for undo in bound.undo)
        victims = tuple(target.name for target in bound.targets if target.kind == "pod")
        return Proof(holds=True, what=f"{bound.undo[0].ours}: {names}", victims=victims)

    def healed(self, undo: Undo) -> Proof:
        """On, and heard of: its node is Ready."""
        proof, cluster = super().healed(undo), here()
        if not proof.holds:
            return proof
        node = cluster.find(fields.path_of(undo.subject))
        if node is None or look.uid_of(node) != undo.subject.uid:
            return proof
        if (said := _said(cluster, undo)) != "on":
            return Proof(holds=False, what=f"the machine of node {undo.subject.name} is said to be {said}")
        if not look.is_ready(node):
            return Proof(holds=False, what=f"node {undo.subject.name} is on, and not Ready yet")
        return proof

    def _rewritten(self, action: Action, objects: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        texts = {undo.subject.name: marks.text(undo, expiry=mark.expiry) for undo in undos}
        return with_arguments(action, {"names": list(texts), "state": undos[0].ours, "marks": texts})


def _refuse_elsewhere(action: Action, node: Object) -> None:
    runtime = str(((node.get("status") or {}).get("nodeInfo") or {}).get("containerRuntimeVersion", ""))
    if not runtime.startswith(RUNTIME):
        raise UsageError(
            f"{action.name!r}: node {look.name_of(node)} runs {runtime or 'an unknown runtime'}: its machine can not be stopped from here",
            hint="only the sandbox's can; elsewhere a driver of your cloud stops instances (cf.toolkit)",
        )


def _said(cluster: Cluster, undo: Undo) -> str:
    """What the sandbox says that the machine is; one of which it never had to say anything is on."""
    node = cluster.find(fields.path_of(undo.subject))
    found = [one for one in ((node or {}).get("status") or {}).get("conditions") or () if one["type"] == changes.MACHINE_BY]
    return str(found[0].get("reason", "")) if found else "on"
