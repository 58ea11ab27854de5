"""
Is the workload at rest, and if not, what is missing? Pure: from lists of objects to sentences and to the pods that stand in the wrong zone.

Used by :meth:`chaosfw.sandbox.public.Sandbox.settle`. Kubernetes does not spread pods again when a zone comes back; between experiments
we do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects.selectors import of_object
from chaosfw.sandbox.objects.storage import claims_of
from chaosfw.sandbox.spec import HOLLOW

_ZONE: Final = "topology.kubernetes.io/zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """One look at everything that settling is about. ``backends`` are the uids behind ``namespace/service`` in the data plane."""

    deployments: Sequence[Object]
    pods: Sequence[Object]
    services: Sequence[Object]
    nodes: Sequence[Object]
    backends: Mapping[str, Sequence[str]]
    stateful: Sequence[Object] = ()
    daemons: Sequence[Object] = ()


def unsettled(cluster: Cluster) -> list[str]:
    """What is not ready yet, a sentence each."""
    waiting = [
        *map(_unavailable, cluster.deployments),
        *map(_unavailable_member, cluster.stateful),
        *map(_unavailable_daemon, cluster.daemons),
    ]
    return [*filter(None, waiting), *_leaving(cluster), *_unrouted(cluster)]


def misplaced(cluster: Cluster) -> Object | None:
    """
    A pod of a deployment whose zone has too many of it while another has too few; nothing when all are spread. How far zones may be apart
    is what the deployment says of zones; one that says nothing at all has at least one pod in each, and one that says how it is spread,
    and not by zones, stands where the scheduler puts it.
    """
    zone_of = _open_zones(cluster.nodes)
    zones = set(zone_of.values())
    for deployment in cluster.deployments:
        skew = _skew(deployment)
        if len(zones) < 2 or (deployment["spec"].get("replicas") or 0) < len(zones) or skew is None:
            continue
        by_zone = _by_zone(_pods_of(deployment, cluster.pods), zone_of, zones)
        fullest, fewest = max(by_zone.values(), key=len), min(map(len, by_zone.values()))
        if len(fullest) - fewest > 1 and (not fewest or 0 < skew < len(fullest) - fewest):
            return max(fullest, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return None


def _skew(deployment: Object) -> int | None:
    """How many more pods one zone may have than another; 0: nothing is said of that; None: something else spreads it, or its volumes."""
    template = deployment["spec"]["template"]
    if claims_of(template):
        return None
    declared = template["spec"].get("topologySpreadConstraints") or ()
    by_zone = [int(one["maxSkew"]) for one in declared if one["topologyKey"] == _ZONE]
    return min(by_zone) if by_zone else None if declared else 0


def _unavailable(deployment: Object) -> str:
    meta, status = deployment["metadata"], deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    counts = [status.get(name) or 0 for name in ("replicas", "updatedReplicas", "availableReplicas")]
    if counts == [wanted] * 3 and (status.get("observedGeneration") or 0) >= (meta.get("generation") or 0):
        return ""
    return f"deployment {meta['namespace']}/{meta['name']}: {counts[2]} of {wanted} available"


def _unavailable_member(stateful: Object) -> str:
    """One that is updated by hand, or only partly, is at rest as it is."""
    meta, spec, status = stateful["metadata"], stateful["spec"], stateful.get("status") or {}
    wanted, strategy = spec.get("replicas", 1), spec.get("updateStrategy") or {}
    rolls = strategy.get("type") == "RollingUpdate" and not (strategy.get("rollingUpdate") or {}).get("partition")
    counts = [status.get(name) or 0 for name in ("replicas", "updatedReplicas", "availableReplicas")]
    done = counts[0] == counts[2] == wanted and (counts[1] == wanted or not rolls)
    if done and (status.get("observedGeneration") or 0) >= (meta.get("generation") or 0):
        return ""
    return f"statefulset {meta['namespace']}/{meta['name']}: {counts[2]} of {wanted} available"


def _unavailable_daemon(daemons: Object) -> str:
    meta, status = daemons["metadata"], daemons.get("status") or {}
    rolls = (daemons["spec"].get("updateStrategy") or {}).get("type") == "RollingUpdate"
    wanted, updated, available = (status.get(name) or 0 for name in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable"))
    observed = (status.get("observedGeneration") or 0) >= (meta.get("generation") or 0)
    if observed and available == wanted and (updated == wanted or not rolls):
        return ""
    return f"daemonset {meta['namespace']}/{meta['name']}: {available} of {wanted} available"


def _leaving(cluster: Cluster) -> list[str]:
    workloads = (*cluster.deployments, *cluster.stateful, *cluster.daemons)
    pods = [pod for workload in workloads for pod in _pods_of(workload, cluster.pods, leaving=True)]
    return [f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} is still ending" for pod in pods]


def _unrouted(cluster: Cluster) -> list[str]:
    missing, hollow = [], _hollow(cluster.nodes)
    for service in cluster.services:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("clusterIP") in (None, "", "None"):
            continue
        selected = _selected(cluster.pods, namespace, {"matchLabels": selector})
        ready = {pod["metadata"]["uid"] for pod in selected if _is_ready(pod) and pod["spec"].get("nodeName") not in hollow}
        if ready != set(cluster.backends.get(f"{namespace}/{name}", ())):
            missing.append(f"service {namespace}/{name}: the data plane does not have its {len(ready)} ready pods yet")
    return missing


def _hollow(nodes: Iterable[Object]) -> set[str]:
    """Behind pods on these is nobody to whom anything could lead."""
    return {node["metadata"]["name"] for node in nodes if HOLLOW in (node["metadata"].get("labels") or {})}


def _pods_of(deployment: Object, pods: Iterable[Object], *, leaving: bool = False) -> list[Object]:
    selected = _selected(pods, deployment["metadata"]["namespace"], deployment["spec"]["selector"])
    return [pod for pod in selected if bool(pod["metadata"].get("deletionTimestamp")) == leaving and (leaving or _is_alive(pod))]


def _selected(pods: Iterable[Object], namespace: str, selector: Object) -> list[Object]:
    wanted = of_object(selector)
    here = [pod for pod in pods if pod["metadata"]["namespace"] == namespace]
    return [pod for pod in here if wanted is not None and wanted.matches(pod["metadata"].get("labels") or {})]


def _by_zone(pods: Iterable[Object], zone_of: Mapping[str, str], zones: Iterable[str]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {zone: [] for zone in zones}
    for pod in pods:
        zone = zone_of.get(pod["spec"].get("nodeName", ""))
        if zone is not None:
            found[zone].append(pod)
    return found


def _open_zones(nodes: Iterable[Object]) -> dict[str, str]:
    """The zone of each node that takes pods."""
    return {
        node["metadata"]["name"]: node["metadata"]["labels"][_ZONE]
        for node in nodes
        if not node["spec"].get("unschedulable")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or ())
    }


def _is_alive(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Pending", "Running")


def _is_ready(pod: Object) -> bool:
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or ())
