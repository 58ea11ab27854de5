"""
The fields that faults change, as data: replicas, a taint of ours, a Service's selector, a container's image.

And what stands behind a Service. Each field is a :class:`~chaosfw.drivers.kubernetes.fields.Field`; the activities give it a value,
the kinds in ``workloads`` put it back.
"""

from __future__ import annotations

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Cluster, Object
from chaosfw.drivers.kubernetes.fields import Field
from chaosfw.errors import UsageError
from chaosfw.model.environment import Target
from chaosfw.model.struct import Json

NOBODY = "chaosfw.dev/nobody"
"""Label that a broken selector asks for and no pod carries."""

PAUSED_BY = "chaosfw.dev/paused"
"""Annotation of a pod whose processes the sandbox's kubelet stops, and the condition by which it says that it has."""


MACHINE_BY = "chaosfw.dev/machine"
"""Annotation of a node whose machine the sandbox switches off, freezes or cuts off, and the condition by which it says that it has."""


def _replicas(thing: Object, ours: Json) -> Json:
    return thing["spec"].get("replicas", 1)


def _taint(node: Object, ours: Json) -> Json:
    """The taint of the same key and effect, None where there is none."""
    wanted = (ours["key"], ours["effect"])
    same = [one for one in node["spec"].get("taints") or [] if (one["key"], one["effect"]) == wanted]
    return {"key": same[0]["key"], "value": same[0].get("value", ""), "effect": same[0]["effect"]} if same else None


def tainted(node: Object, value: Json, *, key: str, effect: str) -> Object:
    """All other taints, and this one where there is a value. A merge patch replaces the whole list: that is what the swap is for."""
    others = [one for one in node["spec"].get("taints") or [] if (one["key"], one["effect"]) != (key, effect)]
    return {"spec": {"taints": others + ([value] if value else []) or None}}


def _selector(service: Object, ours: Json) -> Json:
    return dict(service["spec"].get("selector") or {})


def _selecting(service: Object, value: Json) -> Object:
    return {"spec": {"selector": {**dict.fromkeys(service["spec"].get("selector") or {}), **value}}}


def _image(workload: Object, ours: Json) -> Json:
    return {"container": ours["container"], "image": container(workload, ours["container"])["image"]}


def _with_image(workload: Object, value: Json) -> Object:
    containers = workload["spec"]["template"]["spec"]["containers"]
    changed = [{**one, "image": value["image"]} if one["name"] == value["container"] else one for one in containers]
    return {"spec": {"template": {"spec": {"containers": changed}}}}


def _paused(pod: Object, ours: Json) -> Json:
    return (pod["metadata"].get("annotations") or {}).get(PAUSED_BY) == "true"


def _pausing(pod: Object, value: Json) -> Object:
    return {"metadata": {"annotations": {PAUSED_BY: "true" if value else None}}}


def _machine(node: Object, ours: Json) -> Json:
    return (node["metadata"].get("annotations") or {}).get(MACHINE_BY)


def _switching(node: Object, value: Json) -> Object:
    return {"metadata": {"annotations": {MACHINE_BY: value}}}


def container(workload: Object, name: str) -> Object:
    """A container of the pod template; without a name the only one. Raises UsageError naming those that there are."""
    there: list[Object] = workload["spec"]["template"]["spec"]["containers"]
    fitting = [one for one in there if one["name"] == name] if name else there
    if len(fitting) != 1:
        names = ", ".join(one["name"] for one in there)
        raise UsageError(f"which container? {name!r} names {len(fitting)} of {len(there)}", hint=f"container= one of {names}")
    return fitting[0]


def behind(cluster: Cluster, service: Object) -> tuple[Target, ...]:
    """The ready pods that a Service selects."""
    selector = service["spec"].get("selector") or {}
    query = look.selector_text({"matchLabels": selector})
    there = look.pods(cluster, namespace=service["metadata"]["namespace"], selector=query) if selector else []
    zones = look.zones_by_node(cluster)
    return tuple(look.pod_target(pod, zones) for pod in there if look.is_ready(pod))


def offered(cluster: Cluster, service: Target) -> int:
    """How many endpoints lead from a Service."""
    query = {"labelSelector": f"kubernetes.io/service-name={service.name}"}
    slices = cluster.items(f"/apis/discovery.k8s.io/v1/namespaces/{service.namespace}/endpointslices", **query)
    return sum(len(one.get("endpoints") or []) for one in slices)


REPLICAS = Field(read=_replicas, body=lambda thing, value: {"spec": {"replicas": value}}, words=lambda value: f"{value} replicas")
SELECTOR = Field(
    read=_selector,
    body=_selecting,
    words=lambda value: "selector " + (",".join(f"{key}={one}" for key, one in sorted(value.items())) or "none"),
)
PAUSED = Field(read=_paused, body=_pausing, words=lambda value: "paused" if value else "running")
MACHINE = Field(read=_machine, body=_switching, words=lambda value: f"machine {value or 'on'}")
IMAGE = Field(read=_image, body=_with_image, words=lambda value: f"image {value['image']}")


def taint(key: str, effect: str) -> Field:
    """The taint of a key and an effect."""
    return Field(
        read=_taint,
        body=lambda node, value: tainted(node, value, key=key, effect=effect),
        words=lambda value: f"taint {key}:{effect}" if value else f"no taint {key}:{effect}",
    )
