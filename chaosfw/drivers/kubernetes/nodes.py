"""
Writes to nodes, each a compare-and-swap: cordon with a mark, put back, evict.

Used by the activities (which stock ``chaos run`` can call too, without marks) and by the node FaultKinds. Never decides
which node; never waits longer than its caller says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaosfw.drivers.kubernetes import lease, look
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.drivers.kubernetes.marks import MARK, TOUCH
from chaosfw.errors import DriverError
from chaosfw.timing import SYSTEM, nanoseconds

ATTEMPTS = 20
"""Conflicts that one compare-and-swap survives; heartbeats move a node's resourceVersion every few seconds."""
POLL = 0.1
"""Seconds between looks at pods that are on their way out."""


def path(name: str) -> str:
    return f"/api/v1/nodes/{name}"


def cordon(cluster: Cluster, name: str, *, mark: str = "") -> bool:
    """
    Makes a node unschedulable, with the mark in the same patch. True when this call did it, False when it stood already
    with this very mark. Raises DriverError on a foreign mark or when somebody else cordoned it.
    """
    for _ in range(ATTEMPTS):
        node = cluster.get(path(name))
        there = node["metadata"].get("annotations", {}).get(MARK)
        if there is not None and there != mark:
            raise DriverError(f"node {name} carries a mark of another fault", hint="chaosfw heal --dry-run shows it")
        if node["spec"].get("unschedulable"):
            if mark and there == mark:
                return False
            if not mark:
                return False
            raise DriverError(f"node {name} was cordoned by somebody else in the meantime")
        lease.check(cluster, mark=mark)
        annotations = {"annotations": {MARK: mark}} if mark else {}
        if _swapped(cluster, node, {"metadata": annotations, "spec": {"unschedulable": True}}):
            return True
    raise DriverError(f"node {name} changed {ATTEMPTS} times while it was being cordoned")


def uncordon(cluster: Cluster, name: str) -> bool:
    """Makes a node schedulable; False when it was. No mark is looked at: this is the plain action."""
    for _ in range(ATTEMPTS):
        node = cluster.get(path(name))
        if not node["spec"].get("unschedulable"):
            return False
        if _swapped(cluster, node, {"metadata": {}, "spec": {"unschedulable": None}}):
            return True
    raise DriverError(f"node {name} changed {ATTEMPTS} times while it was being uncordoned")


def restore(cluster: Cluster, node: Object) -> bool:
    """Schedulable again and the mark gone, in one patch; False on a conflict."""
    return _swapped(cluster, node, {"metadata": {"annotations": {MARK: None, TOUCH: None}}, "spec": {"unschedulable": None}})


def unmark(cluster: Cluster, node: Object) -> bool:
    """Takes our annotations away and leaves the rest; False on a conflict."""
    return _swapped(cluster, node, {"metadata": {"annotations": {MARK: None, TOUCH: None}}})


def touch(cluster: Cluster, node: Object, *, epoch: int) -> bool:
    """Moves the resourceVersion, so that nothing prepared against the old one can land; False on a conflict."""
    return _swapped(cluster, node, {"metadata": {"annotations": {TOUCH: str(epoch)}}})


def drain(
    cluster: Cluster, names: Sequence[str], *, timeout: float, marks: Mapping[str, str], delete_emptydir_data: bool = False
) -> list[str]:
    """
    Cordons all named nodes first, then evicts their pods side by side, asking again while a PodDisruptionBudget says no
    (429), and returns the evicted pods when all are gone. Pods of DaemonSets, static and finished pods stay.
    Raises DriverError after ``timeout`` seconds, naming those that are left.
    """
    until = SYSTEM.monotonic_ns() + nanoseconds(timeout)
    for name in names:
        cordon(cluster, name, mark=marks.get(name, ""))
    left = {look.uid_of(pod): pod for name in names for pod in evictable(look.pods(cluster, node=name))}
    stuck = [look.name_of(pod) for pod in left.values() if uses_emptydir(pod) and not delete_emptydir_data]
    if stuck:
        raise DriverError(f"pods with emptyDir volumes would lose data: {', '.join(stuck)}", hint="delete_emptydir_data=True accepts it")
    all_of_them = sorted(look.name_of(pod) for pod in left.values())
    asked: set[str] = set()
    why = ""
    while left:
        for uid, pod in list(left.items()):
            if uid not in asked:
                taken, why = evict(cluster, pod)
                asked |= {uid} if taken else set()
            if _is_gone(cluster, pod):
                del left[uid]
        if left and SYSTEM.monotonic_ns() > until:
            names_left = ", ".join(sorted(look.name_of(pod) for pod in left.values()))
            raise DriverError(f"drain: after {timeout:g} s these pods are still there: {names_left}" + (f"; {why}" if why else ""))
        if left:
            SYSTEM.sleep(POLL)
    return all_of_them


def evict(cluster: Cluster, pod: Object) -> tuple[bool, str]:
    """Asks for one eviction: taken or not, and why not. 404 is taken: it is gone already."""
    namespace, name = pod["metadata"]["namespace"], look.name_of(pod)
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": look.uid_of(pod)}},
    }
    try:
        cluster.post(f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", body)
    except Answered as answer:
        if answer.code == 429:
            return False, str(answer)
        if answer.code not in (404, 409):
            raise
    return True, ""


def evictable(found: Sequence[Object]) -> list[Object]:
    """Without DaemonSet pods, static pods (their mirror cannot be evicted) and finished ones."""
    return [pod for pod in found if _is_evictable(pod)]


def _is_evictable(pod: Object) -> bool:
    is_static = "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {})
    return not is_static and look.owner(pod)[0] not in ("DaemonSet", "Node") and not look.is_finished(pod)


def uses_emptydir(pod: Object) -> bool:
    return any("emptyDir" in volume for volume in pod["spec"].get("volumes") or [])


def _is_gone(cluster: Cluster, pod: Object) -> bool:
    now = cluster.find(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{look.name_of(pod)}")
    return now is None or look.uid_of(now) != look.uid_of(pod)


def _swapped(cluster: Cluster, seen: Object, change: Object) -> bool:
    metadata = {**change["metadata"], "resourceVersion": seen["metadata"]["resourceVersion"], "uid": look.uid_of(seen)}
    try:
        cluster.patch(path(look.name_of(seen)), {**change, "metadata": metadata})
    except Answered as answer:
        if answer.code == 409:
            return False
        raise
    return True
