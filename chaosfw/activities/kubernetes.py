"""
Probes and actions on a cluster, as Chaos Toolkit python providers.

Where chaosk8s 0.39 has a bug, these are right: evictions are asked again on 429, a wait ends when it says, a node is named
once. All use the cluster of ``KUBECONFIG`` and never fall back to another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaosfw.drivers.kubernetes import look, nodes
from chaosfw.drivers.kubernetes.cluster import here

__all__ = [
    "available_replicas",
    "cordon_nodes",
    "drain_nodes",
    "drain_zone",
    "node_is_ready",
    "ready_pods",
    "rollout_is_complete",
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
