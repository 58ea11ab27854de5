"""
The world as a fault of ours could have changed it: schedulability, taints, replicas, images, selectors, policies, and every mark of
ours. Read before a run and after it; ``safety.audit`` compares the two.

Paths are stable words, ``node worker-1 · spec.unschedulable``; whatever a controller moves by itself (pods, endpoints) is left out. Where
the server keeps managedFields, ``writer of`` a path is who wrote the field last; ``published`` paths are undo records that a run published,
``held`` ones say who holds the environment's Lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaosfw.drivers.kubernetes import lease, look
from chaosfw.drivers.kubernetes.changes import PAUSED_BY
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object, here
from chaosfw.drivers.kubernetes.marks import MARK, TOUCH
from chaosfw.drivers.kubernetes.published import LABEL, is_published
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


WRITTEN = {
    "spec.unschedulable": ("f:spec", "f:unschedulable"),
    "taints": ("f:spec", "f:taints"),
    "spec.replicas": ("f:spec", "f:replicas"),
    "images": ("f:spec", "f:template", "f:spec", "f:containers", "*", "f:image"),
    "spec.selector": ("f:spec", "f:selector"),
    "data": ("f:data",),
    "spec": ("f:spec",),
}
"""Where managedFields keep a field; ``*`` is any member of a list."""
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
    Looked(path="/apis/networking.k8s.io/v1/ingresses", kind="ingress", fields={"spec": _spec}),
    Looked(path="/apis/autoscaling/v2/horizontalpodautoscalers", kind="horizontalpodautoscaler", fields={"spec": _spec}),
    Looked(path="/apis/coordination.k8s.io/v1/leases", kind="lease", fields={}),
    Looked(path="/api/v1/namespaces", kind="namespace", fields={}),
    Looked(path="/api/v1/pods", kind="pod", fields={}),
)
"""Of the last three only what carries a mark of ours."""


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
        yield f"{looked.kind} · not readable", answer.code
        return
    for one in found:
        yield from _of(looked, one)


def _of(looked: Looked, one: Object) -> Iterator[tuple[str, Json]]:
    namespace = one["metadata"].get("namespace", "")
    who = f"{looked.kind} {namespace}{'/' if namespace else ''}{look.name_of(one)}"
    if is_published(one):
        yield f"published {who}", (one.get("data") or {}).get("run", "")
        return
    if looked.kind == "lease" and look.name_of(one) == lease.NAME:
        yield from ((f"held {who}", holder) for holder in [one.get("spec", {}).get("holderIdentity")] if holder)
        return
    if _is_made(one):
        yield f"mark {who} · made", True
        return
    for field, read in looked.fields.items():
        yield f"{who} · {field}", read(one)
        if writer := last_writer(one, WRITTEN[field]):
            yield f"writer of {who} · {field}", writer
    yield from _ours(who, one)


def _is_made(thing: Object) -> bool:
    """Whether a fault of ours made it: it says so, and nothing else owns it."""
    return (thing["metadata"].get("labels") or {}).get(LABEL) == "chaosfw" and not thing["metadata"].get("ownerReferences")


def _ours(who: str, thing: Object) -> Iterator[tuple[str, Json]]:
    """Annotations by exact name: others of our prefix are the user's own words to the sandbox, as are labels of pods."""
    metadata = thing["metadata"]
    for name, value in (metadata.get("annotations") or {}).items():
        if name in (MARK, TOUCH, PAUSED_BY):
            yield f"mark {who} · {name}", value
    for name, value in (metadata.get("labels") or {}).items() if not who.startswith("pod ") else ():
        if name.startswith(PREFIX):
            yield f"mark {who} · {name}", value


def last_writer(thing: Object, path: Sequence[str]) -> str:
    """The field manager that wrote a field last, as managedFields tell; empty where they do not."""
    entries = [one for one in thing["metadata"].get("managedFields") or [] if _has(one.get("fieldsV1") or {}, path)]
    return str(max(entries, key=lambda one: str(one.get("time", "")))["manager"]) if entries else ""


def _has(fields: Object, path: Sequence[str]) -> bool:
    if not path:
        return True
    below = fields.values() if path[0] == "*" else [fields[path[0]]] if path[0] in fields else []
    return any(_has(one, path[1:]) for one in below if isinstance(one, dict))
