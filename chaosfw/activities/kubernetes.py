"""
Probes and actions on a cluster, as Chaos Toolkit python providers.

Where chaosk8s 0.39 has a bug, these are right: evictions are asked again on 429, a wait ends when it says, a node is named
once. All use the cluster of ``KUBECONFIG`` and never fall back to another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaosfw.drivers.kubernetes import changes, deleted, fields, look, node_deleted, nodes
from chaosfw.drivers.kubernetes.cluster import here
from chaosfw.drivers.kubernetes.workloads import RESTARTED
from chaosfw.timing import SYSTEM, iso

__all__ = [
    "available_replicas",
    "break_selector",
    "cordon_nodes",
    "delete_nodes",
    "delete_object",
    "drain_nodes",
    "drain_zone",
    "node_is_ready",
    "pause_pods",
    "ready_pods",
    "restart_rollout",
    "rollout_is_complete",
    "scale",
    "set_image",
    "stop_machines",
    "taint_nodes",
    "uncordon_nodes",
]


def ready_pods(name: str, namespace: str = "default", kind: str = "deployment") -> int:
    """How many pods of a workload are ready and not on their way out."""
    return sum(look.is_ready(pod) for pod in look.pods_of(here(), kind=kind, name=name, namespace=namespace))


def available_replicas(name: str, namespace: str = "default") -> int:
    """A Deployment's ``status.availableReplicas``; 0 where the server leaves it out."""
    return int(look.workload(here(), kind="deployment", name=name, namespace=namespace).get("status", {}).get("availableReplicas", 0))


def rollout_is_complete(name: str, namespace: str = "default") -> bool:
    """Whether every wanted replica of a Deployment is updated and available, and no old one is left."""
    found = look.workload(here(), kind="deployment", name=name, namespace=namespace)
    status, wanted = found.get("status", {}), found["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= found["metadata"].get("generation", 0)
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
    return seen and counts == [wanted] * 3


def node_is_ready(name: str) -> bool:
    """Whether a node is Ready and schedulable. False for a node that is not there."""
    node = here().find(nodes.path(name))
    return node is not None and look.is_ready(node) and not node["spec"].get("unschedulable")


def cordon_nodes(names: Sequence[str], marks: Mapping[str, str] | None = None) -> list[str]:
    """Makes nodes unschedulable; the names of those that were schedulable."""
    cluster = here()
    return [name for name in names if nodes.cordon(cluster, name, mark=(marks or {}).get(name, ""))]


def uncordon_nodes(names: Sequence[str]) -> list[str]:
    """Makes nodes schedulable; the names of those that were not."""
    cluster = here()
    return [name for name in names if nodes.uncordon(cluster, name)]


def drain_nodes(
    names: Sequence[str], timeout: float = 60.0, delete_emptydir_data: bool = False, marks: Mapping[str, str] | None = None
) -> list[str]:
    """Cordons nodes and evicts their pods, respecting PodDisruptionBudgets; the names of the evicted pods. ``timeout`` in seconds."""
    return nodes.drain(here(), names, timeout=timeout, marks=marks or {}, delete_emptydir_data=delete_emptydir_data)


def drain_zone(
    zone: str,
    names: Sequence[str] | None = None,
    timeout: float = 60.0,
    delete_emptydir_data: bool = False,
    marks: Mapping[str, str] | None = None,
) -> list[str]:
    """Drains every node of a zone (``topology.kubernetes.io/zone``); ``names`` bounds it to nodes that were seen before."""
    cluster = here()
    there = [look.name_of(node) for node in look.nodes(cluster) if look.zone_of(node) == zone]
    return nodes.drain(
        cluster, list(names) if names else there, timeout=timeout, marks=marks or {}, delete_emptydir_data=delete_emptydir_data
    )


def scale(name: str, replicas: int, namespace: str = "default", kind: str = "deployment", mark: str = "") -> bool:
    """Gives a workload that many replicas; False when it had them."""
    path = fields.PATHS[kind].format(name=name, namespace=namespace)
    return fields.change(here(), changes.REPLICAS, path=path, ours=replicas, mark=mark)


def taint_nodes(names: Sequence[str], key: str, effect: str, value: str = "", marks: Mapping[str, str] | None = None) -> list[str]:
    """Puts a taint on nodes; the names of those that did not have it."""
    field, ours = changes.taint(key, effect), {"key": key, "value": value, "effect": effect}
    cluster = here()
    return [name for name in names if fields.change(cluster, field, path=nodes.path(name), ours=ours, mark=(marks or {}).get(name, ""))]


def break_selector(name: str, namespace: str = "default", mark: str = "") -> bool:
    """Makes a Service select nobody: its selector asks for one more label, which no pod carries; False when it did."""
    cluster = here()
    path = fields.PATHS["service"].format(name=name, namespace=namespace)
    ours = {**(cluster.get(path)["spec"].get("selector") or {}), changes.NOBODY: "true"}
    return fields.change(cluster, changes.SELECTOR, path=path, ours=ours, mark=mark)


def set_image(name: str, image: str, container: str = "", namespace: str = "default", kind: str = "deployment", mark: str = "") -> bool:
    """Gives a container of a workload's pod template another image; False when it had it. Without a name, the only container."""
    cluster = here()
    path = fields.PATHS[kind].format(name=name, namespace=namespace)
    ours = {"container": changes.container(cluster.get(path), container)["name"], "image": image}
    return fields.change(cluster, changes.IMAGE, path=path, ours=ours, mark=mark)


def pause_pods(
    names: Sequence[str], namespace: str = "default", uids: Mapping[str, str] | None = None, marks: Mapping[str, str] | None = None
) -> list[str]:
    """Stops the processes of pods, in a sandbox; the names of those that were running. With ``uids`` exactly those."""
    cluster, path = here(), fields.PATHS["pod"]
    return [
        name
        for name in names
        if fields.change(
            cluster,
            changes.PAUSED,
            path=path.format(name=name, namespace=namespace),
            ours=True,
            mark=(marks or {}).get(name, ""),
            uid=(uids or {}).get(name, ""),
        )
    ]


def stop_machines(names: Sequence[str], state: str = "off", marks: Mapping[str, str] | None = None) -> list[str]:
    """Makes machines of a sandbox ``off``, ``frozen`` or ``cut``; the names of those that were not."""
    cluster, texts = here(), marks or {}
    return [name for name in names if fields.change(cluster, changes.MACHINE, path=nodes.path(name), ours=state, mark=texts.get(name, ""))]


def restart_rollout(name: str, namespace: str = "default", kind: str = "deployment") -> str:
    """Restarts the rollout of a workload as ``kubectl rollout restart`` does; the instant that is written into its pod template."""
    at = iso(SYSTEM.wall_ns())
    path = fields.PATHS[kind].format(name=name, namespace=namespace)
    here().patch(path, {"spec": {"template": {"metadata": {"annotations": {RESTARTED: at}}}}})
    return at


def delete_nodes(
    names: Sequence[str],
    uids: Mapping[str, str] | None = None,
    pods: bool = True,
    timeout: float = 90.0,
    marks: Mapping[str, str] | None = None,
) -> list[str]:
    """
    Deletes node objects, and with ``pods`` waits up to ``timeout`` seconds until the garbage collector has removed the pods of those nodes;
    the names of the nodes that were there. The machines run on.
    """
    return node_deleted.delete(here(), names, uids=dict(uids or {}), texts=dict(marks or {}), timeout=timeout if pods else 0.0)


def delete_object(kind: str, name: str, namespace: str = "default", uid: str = "", mark: str = "") -> bool:
    """Deletes a Service, ConfigMap, PodDisruptionBudget or NetworkPolicy; False when there was none. With ``uid`` exactly that one."""
    return deleted.delete(here(), kind=kind, name=name, namespace=namespace, uid=uid, mark=mark)
