"""
The world as a fault of ours could have changed it: schedulability, taints, replicas, images, selectors, policies, and every mark of
ours. Read before a run and after it; ``safety.audit`` compares the two.

Paths are stable words, ``node worker-1 · spec.unschedulable``; whatever a controller moves by itself (pods, endpoints) is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object, here
from chaosfw.drivers.kubernetes.marks import MARK, TOUCH
from chaosfw.drivers.kubernetes.published import is_published
from chaosfw.model.environment import Environment
from chaosfw.model.struct import Json

PREFIX = "chaosfw.dev/"
"""Of every label and annotation of ours."""


def _taints(node: Object) -> Json:
    return sorted(f"{one['key']}:{one['effect']}" for one in node["spec"].get("taints") or [] if _is_lasting(one))


def _is_lasting(taint: Object) -> bool:
    """Taints of the node controller come and go with a node's health, and unschedulable is the cordon itself."""
    return not str(taint["key"]).startswith("node.kubernetes.io/")


def _replicas(workload: Object) -> Json:
    return workload["spec"].get("replicas", 1)


def _images(workload: Object) -> Json:
    return {one["name"]: one.get("image", "") for one in workload["spec"]["template"]["spec"].get("containers") or []}


def _spec(thing: Object) -> Json:
    return thing.get("spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """One kind: where it is listed and which fields of it a fault could change. Its existence is one of them."""

    path: str
    kind: str
    fields: Mapping[str, Callable[[Object], Json]]


LOOKED_AT = (
    Looked(
        path="/api/v1/nodes",
        kind="node",
        fields={"spec.unschedulable": lambda node: bool(node["spec"].get("unschedulable")), "taints": _taints},
    ),
    Looked(path="/apis/apps/v1/deployments", kind="deployment", fields={"spec.replicas": _replicas, "images": _images}),
    Looked(path="/apis/apps/v1/statefulsets", kind="statefulset", fields={"spec.replicas": _replicas, "images": _images}),
    Looked(path="/apis/apps/v1/daemonsets", kind="daemonset", fields={"images": _images}),
    Looked(path="/api/v1/services", kind="service", fields={"spec.selector": lambda service: service["spec"].get("selector") or {}}),
    Looked(path="/api/v1/configmaps", kind="configmap", fields={"data": lambda one: one.get("data") or {}}),
    Looked(path="/apis/policy/v1/poddisruptionbudgets", kind="poddisruptionbudget", fields={"spec": _spec}),
    Looked(path="/apis/networking.k8s.io/v1/networkpolicies", kind="networkpolicy", fields={"spec": _spec}),
)


class KubernetesAuditor:
    """ports.Auditor for a cluster."""

    def snapshot(self, environment: Environment) -> Mapping[str, Json]:
        cluster = here()
        return dict(entry for looked in LOOKED_AT for entry in _entries(cluster, looked))


def _entries(cluster: Cluster, looked: Looked) -> Iterator[tuple[str, Json]]:
    try:
        found = cluster.items(looked.path)
    except Answered as answer:
        if answer.code not in (403, 404):
            raise
        yield f"{looked.kind}s · not readable", answer.code
        return
    for one in (one for one in found if not is_published(one)):  # of the run that looks: it is withdrawn when all is put back
        namespace = one["metadata"].get("namespace", "")
        who = f"{looked.kind} {namespace}{'/' if namespace else ''}{look.name_of(one)}"
        for field, read in looked.fields.items():
            yield f"{who} · {field}", read(one)
        yield from _ours(who, one)


def _ours(who: str, thing: Object) -> Iterator[tuple[str, Json]]:
    metadata = thing["metadata"]
    for name, value in (metadata.get("annotations") or {}).items():
        if name in (MARK, TOUCH):
            yield f"mark {who} · {name}", value
    for name, value in (metadata.get("labels") or {}).items():
        if name.startswith(PREFIX):
            yield f"mark {who} · {name}", value
