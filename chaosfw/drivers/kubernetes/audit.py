"""
The world as a fault of ours could have changed it: schedulability, replicas, and every mark of ours. Read before a run and
after it; ``safety.audit`` compares the two.

Paths are stable words, ``node worker-1 · spec.unschedulable``; whatever a controller moves by itself (pods, endpoints) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.drivers.kubernetes.marks import MARK, TOUCH
from chaosfw.model.environment import Environment
from chaosfw.model.struct import Json


class KubernetesAuditor:
    """ports.Auditor for a cluster."""

    def snapshot(self, environment: Environment) -> Mapping[str, Json]:
        cluster = here()
        return dict(_entries(cluster))


def _entries(cluster: Cluster) -> Iterator[tuple[str, Json]]:
    for node in look.nodes(cluster):
        who = f"node {look.name_of(node)}"
        yield f"{who} · spec.unschedulable", bool(node["spec"].get("unschedulable"))
        yield f"{who} · taints", sorted(f"{one['key']}:{one['effect']}" for one in node["spec"].get("taints") or [] if _is_lasting(one))
        yield from _marks(who, node)
    for kind in ("deployments", "statefulsets"):
        for one in cluster.items(f"/apis/apps/v1/{kind}"):
            who = f"{kind[:-1]} {one['metadata']['namespace']}/{look.name_of(one)}"
            yield f"{who} · spec.replicas", one["spec"].get("replicas", 1)
            yield from _marks(who, one)


def _marks(who: str, thing: Object) -> Iterator[tuple[str, Json]]:
    annotations = thing["metadata"].get("annotations") or {}
    for name in (MARK, TOUCH):
        if name in annotations:
            yield f"mark {who} · {name}", annotations[name]


def _is_lasting(taint: Object) -> bool:
    """Taints of the node controller come and go with a node's health, and unschedulable is the cordon itself."""
    return not str(taint["key"]).startswith("node.kubernetes.io/")
