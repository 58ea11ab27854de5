"""
The FaultKind of node objects that are deleted, as a cloud does it when a machine is gone, and made again from their manifests.

The machine runs on: its kubelet writes the status of the new object, but does not make the object itself (it registers only when it
starts). Pods of a missing node are removed by the garbage collector of pods, 40 s later at the earliest.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.drivers.kubernetes import deleted, look, marks, nodes
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.drivers.kubernetes.cordon import selected_nodes, with_arguments
from chaosfw.errors import DriverError, UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import Bound, Proof, RunMark, Undo
from chaosfw.timing import SYSTEM, nanoseconds

PAUSE = 0.2
"""Seconds between looks at pods that have to go."""


class DeleteNode(deleted.Delete):
    """Nodes deleted and made again; with their pods, unless only the missing object is meant."""

    name = "kubernetes.delete-node/1"
    functions: tuple[str, ...] = ("chaosfw.activities.kubernetes.delete_nodes",)

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        assert isinstance(action.provider, PythonProvider)
        cluster, given = here(), dict(action.provider.arguments)
        found = selected_nodes(cluster, action, seed=seed, what=f"{action.name!r}")
        undos = tuple(self._undo(action, node, environment, mark, order) for order, node in enumerate(found))
        names = [look.name_of(node) for node in found]
        lost = _pods_on(cluster, names) if given.get("pods", True) else ()
        for pod in lost:
            if look.owner(pod) == ("", ""):
                raise UsageError(f"{action.name!r}: pod {look.name_of(pod)} has no controller and would never come back")
        zones = look.zones_by_node(cluster)
        kept = {key: value for key, value in given.items() if key not in ("label_selector", "count")}
        texts = {undo.subject.name: marks.text(deleted.brief(undo), expiry=mark.expiry) for undo in undos}
        uids = {undo.subject.name: undo.subject.uid for undo in undos}
        return Bound(
            action=with_arguments(action, {**kept, "names": names, "uids": uids, "marks": texts}),
            fault=self.name,
            targets=(*(undo.subject for undo in undos), *(look.pod_target(pod, zones) for pod in lost)),
            changes=(
                *(f"delete node {name}" for name in names),
                *(f"lose pod {pod['metadata']['namespace']}/{look.name_of(pod)}" for pod in lost),
            ),
            undo=undos,
        )

    def bitten(self, bound: Bound) -> Proof:
        cluster = here()
        names = tuple(target.name for target in bound.targets if target.kind == "node")
        for name in names:
            if cluster.find(nodes.path(name)) is not None:
                return Proof(holds=False, what=f"node {name} is there")
        pods = [target for target in bound.targets if target.kind == "pod"]
        if left := [pod.name for pod in pods if _is_there(cluster, pod)]:
            return Proof(holds=False, what=f"still there: {', '.join(left)}")
        victims = tuple(pod.name for pod in pods) or look.hosted(cluster, names)
        return Proof(holds=True, what=f"deleted: {', '.join(names)}" + (f", {len(pods)} pods lost" if pods else ""), victims=victims)

    def healed(self, undo: Undo) -> Proof:
        """There, unmarked, and Ready if it was: its kubelet has found it."""
        node, what = here().find(nodes.path(undo.subject.name)), f"node {undo.subject.name}"
        if node is None:
            return Proof(holds=False, what=f"{what} is not there")
        if marks.on(node) is not None:
            return Proof(holds=False, what=f"{what} still carries our mark")
        if undo.ours.get("ready") and not look.is_ready(node):
            return Proof(holds=False, what=f"{what} is there, and not Ready yet")
        return Proof(holds=True, what=f"{what} is there" + (" and Ready" if undo.ours.get("ready") else ""))

    def _undo(self, action: Action, node: Object, environment: Environment, mark: RunMark, order: int) -> Undo:
        name = look.name_of(node)
        if node["metadata"].get("ownerReferences") or node["metadata"].get("finalizers"):
            raise UsageError(f"{action.name!r}: node {name} belongs to something else, which would end its machine with it")
        return Undo(
            id=f"{mark.run}.{action.name}.{name}".replace(" ", "-"),
            run=mark.run,
            epoch=mark.epoch,
            fault=self.name,
            environment=environment.name,
            subject=look.node_target(node),
            before=deleted.manifest(node),
            ours={"deleted": True, "expiry": mark.expiry, "ready": look.is_ready(node)},
            order=order,
        )


def delete(cluster: Cluster, names: Sequence[str], *, uids: dict[str, str], texts: dict[str, str], timeout: float) -> list[str]:
    """
    Deletes nodes and, with a ``timeout`` above 0, waits so many seconds until their pods are gone or going; the names of those that were
    there. Raises DriverError when they are not.
    """
    until = SYSTEM.monotonic_ns() + nanoseconds(timeout)
    made = [
        name
        for name in names
        if deleted.delete(cluster, kind="node", name=name, namespace="", uid=uids.get(name, ""), mark=texts.get(name, ""))
    ]
    while timeout and (left := _pods_on(cluster, names)):
        if SYSTEM.monotonic_ns() >= until:
            raise DriverError(
                f"{len(left)} pods of {', '.join(names)} are still there {timeout:g} s after their node",
                hint="the garbage collector of pods takes them after 40 s at the earliest: a longer timeout=",
            )
        SYSTEM.sleep(PAUSE)
    return made


def _pods_on(cluster: Cluster, names: Sequence[str]) -> tuple[Object, ...]:
    there = [pod for name in names for pod in look.pods(cluster, node=name)]
    return tuple(pod for pod in there if not look.is_finished(pod) and not look.is_terminating(pod))


def _is_there(cluster: Cluster, target: Target) -> bool:
    pod = cluster.find(f"/api/v1/namespaces/{target.namespace}/pods/{target.name}")
    return pod is not None and look.uid_of(pod) == target.uid and not look.is_finished(pod) and not look.is_terminating(pod)
