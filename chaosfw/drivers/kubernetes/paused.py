"""
The FaultKind of pods whose processes are stopped, as by SIGSTOP: they hold their connections and answer nothing.

The sandbox's kubelet does it, by an annotation, and says by a condition that it has. Other kubelets have no such thing: pods on their
nodes are refused when it is planned.
"""

from __future__ import annotations

from chaosfw.drivers.kubernetes import changes, fields, look, marks, nodes
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.drivers.kubernetes.cordon import with_arguments
from chaosfw.drivers.kubernetes.fields import Field
from chaosfw.drivers.kubernetes.kill import selected_pods
from chaosfw.drivers.kubernetes.workloads import OURS, Changed
from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment
from chaosfw.model.fault import Bound, Proof, RunMark, Undo
from chaosfw.model.struct import Json, but

RUNTIME = "chaosfw://"
"""How the container runtime of a sandbox's node calls itself."""


class Pause(Changed):
    """Pods stopped in the middle of whatever they do, and let go on afterwards."""

    name = "kubernetes.pause/1"
    functions: tuple[str, ...] = (f"{OURS}.pause_pods",)

    def kind(self, action: Action) -> str:
        return "pod"

    def objects(self, cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
        found = selected_pods(cluster, action, seed)
        for pod in found:
            _refuse_elsewhere(cluster, action, pod)
        return found

    def field(self, action: Action) -> Field:
        return changes.PAUSED

    def field_of(self, undo: Undo) -> Field:
        return changes.PAUSED

    def ours(self, action: Action, thing: Object) -> Json:
        return True

    def seen(self, cluster: Cluster, bound: Bound) -> Proof:
        for undo in bound.undo:
            if not _is_stopped(cluster, undo):
                return Proof(holds=False, what=f"pod {undo.subject.name} is not said to be paused by its kubelet")
        names = tuple(undo.subject.name for undo in bound.undo)
        return Proof(holds=True, what=f"paused: {', '.join(names)}", victims=names)

    def healed(self, undo: Undo) -> Proof:
        proof = super().healed(undo)
        if proof.holds and _is_stopped(here(), undo):
            return Proof(holds=False, what=f"pod {undo.subject.name} is still said to be paused by its kubelet")
        return proof

    def _undo(self, action: Action, kind: str, thing: Object, environment: Environment, mark: RunMark, order: int) -> Undo:
        undo = super()._undo(action, kind, thing, environment, mark, order)
        return but(undo, subject=look.pod_target(thing, look.zones_by_node(here())))

    def _rewritten(self, action: Action, objects: tuple[Object, ...], undos: tuple[Undo, ...], mark: RunMark) -> Action:
        namespaces = sorted({undo.subject.namespace for undo in undos})
        if len(namespaces) != 1:
            raise UsageError(f"{action.name!r}: pods in several namespaces {namespaces}: one action pauses in one")
        assert isinstance(action.provider, PythonProvider)
        texts = {undo.subject.name: marks.text(undo, expiry=mark.expiry) for undo in undos}
        uids = {undo.subject.name: undo.subject.uid for undo in undos}
        return with_arguments(action, {"names": list(texts), "namespace": namespaces[0], "uids": uids, "marks": texts})


def _refuse_elsewhere(cluster: Cluster, action: Action, pod: Object) -> None:
    node = cluster.find(nodes.path(pod["spec"].get("nodeName", "")))
    runtime = str(((node or {}).get("status") or {}).get("nodeInfo", {}).get("containerRuntimeVersion", ""))
    if not runtime.startswith(RUNTIME):
        raise UsageError(
            f"{action.name!r}: pod {look.name_of(pod)} runs on {runtime or 'an unknown runtime'}, which can not stop a pod's processes",
            hint="only the sandbox can; Chaos Mesh's StressChaos or NetworkChaos comes near elsewhere",
        )


def _is_stopped(cluster: Cluster, undo: Undo) -> bool:
    pod = cluster.find(fields.path_of(undo.subject))
    if pod is None or look.uid_of(pod) != undo.subject.uid:
        return False
    said = [one["status"] for one in (pod.get("status") or {}).get("conditions") or () if one["type"] == changes.PAUSED_BY]
    return said == ["True"]
