"""
Reads of how things stand: workloads and who owns them, other chaos, our own pods, the server's clock. Facts for the guards; called by
``look.facts``' caller, always fresh. Changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Cluster, Object
from chaosfw.model.facts import Facts, PodFacts, WorkloadFacts
from chaosfw.model.struct import but
from chaosfw.timing import SYSTEM, seconds

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds its namespace."""
PART_OF = "app.kubernetes.io/part-of"
"""Label by which pods of ours (the reaper) are known: ``chaosfw``."""
GITOPS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations of controllers that keep objects as declared elsewhere."""
MESH = ("podchaos", "networkchaos", "stresschaos", "iochaos", "timechaos", "dnschaos", "httpchaos", "kernelchaos", "schedules", "workflows")
"""Resources of Chaos Mesh (chaos-mesh.org/v1alpha1)."""
KRKN = ("krkn-chaos/krkn", "redhat-chaos/krkn")
"""Parts of the image names of krkn."""


def facts(cluster: Cluster) -> Facts:
    """Everything that the guards judge."""
    found = look.facts(cluster)
    pods = look.pods(cluster)
    scalers = list(_scalers(cluster))
    return but(
        found,
        pods=tuple(but(one, ours=_ours(pod)) for one, pod in _paired(found, pods)),
        workloads=tuple(_workload(kind, one, scalers) for kind, one in _workloads(cluster)),
        namespaces={look.name_of(one): one["metadata"].get("labels") or {} for one in cluster.readable("/api/v1/namespaces")},
        others=(*_mesh(cluster), *_litmus(cluster), *_krkn(pods)),
        now=SYSTEM.wall_ns() / 1e9,
        clock_ahead=_clock_ahead(cluster),
    )


def _paired(found: Facts, pods: Iterable[Object]) -> Iterator[tuple[PodFacts, Object]]:
    by_uid = {look.uid_of(pod): pod for pod in pods}
    return ((one, by_uid.get(one.target.uid, {"metadata": {}})) for one in found.pods)


def _workloads(cluster: Cluster) -> Iterator[tuple[str, Object]]:
    for kind in ("deployment", "statefulset"):
        yield from ((kind, one) for one in cluster.readable(f"/apis/apps/v1/{kind}s"))


def _workload(kind: str, one: Object, scalers: list[tuple[str, str]]) -> WorkloadFacts:
    status, wanted = one.get("status", {}), one["spec"].get("replicas", 1)
    name = f"{kind} {one['metadata']['namespace']}/{look.name_of(one)}"
    seen = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
    carried = {**(one["metadata"].get("labels") or {}), **(one["metadata"].get("annotations") or {})}
    return WorkloadFacts(
        name=name,
        wanted=wanted,
        ready=status.get("readyReplicas", 0),
        rolling=not seen or status.get("updatedReplicas", 0) < wanted or status.get("replicas", 0) > wanted,
        labels=one["metadata"].get("labels") or {},
        scaled_by=next((scaler for scaler, scaled in scalers if scaled == name), ""),
        delivered_by=next((who for key, who in GITOPS.items() if key in carried), ""),
    )


def _scalers(cluster: Cluster) -> Iterator[tuple[str, str]]:
    """Autoscalers and what they scale."""
    for one in cluster.readable("/apis/autoscaling/v2/horizontalpodautoscalers"):
        of, namespace = one["spec"].get("scaleTargetRef") or {}, one["metadata"]["namespace"]
        yield f"HorizontalPodAutoscaler {namespace}/{look.name_of(one)}", f"{str(of.get('kind', '')).lower()} {namespace}/{of.get('name')}"


def _mesh(cluster: Cluster) -> Iterator[str]:
    """Chaos Mesh: everything that is not finished or paused. No CRDs: none."""
    if not _has_group(cluster, "chaos-mesh.org"):
        return
    for resource in MESH:
        for one in cluster.readable(f"/apis/chaos-mesh.org/v1alpha1/{resource}"):
            phase = ((one.get("status") or {}).get("experiment") or {}).get("desiredPhase", "Run")
            if phase == "Run" and "experiment.chaos-mesh.org/pause" not in (one["metadata"].get("annotations") or {}):
                yield f"Chaos Mesh {one.get('kind', resource)} {one['metadata'].get('namespace', '')}/{look.name_of(one)}"


def _litmus(cluster: Cluster) -> Iterator[str]:
    if not _has_group(cluster, "litmuschaos.io"):
        return
    for one in cluster.readable("/apis/litmuschaos.io/v1alpha1/chaosengines"):
        active = one.get("spec", {}).get("engineState", "active") == "active"
        if active and (one.get("status") or {}).get("engineStatus", "initialized") not in ("completed", "stopped"):
            yield f"Litmus ChaosEngine {one['metadata'].get('namespace', '')}/{look.name_of(one)}"


def _krkn(pods: Iterable[Object]) -> Iterator[str]:
    for pod in pods:
        images = [str(one.get("image", "")) for one in pod["spec"].get("containers") or []]
        if not look.is_finished(pod) and any(part in image for part in KRKN for image in images):
            yield f"krkn in pod {pod['metadata']['namespace']}/{look.name_of(pod)}"


def _has_group(cluster: Cluster, name: str) -> bool:
    return any(one.get("name") == name for one in cluster.get("/apis").get("groups") or [])


def _ours(pod: Object) -> str:
    metadata = pod["metadata"]
    if (metadata.get("labels") or {}).get(PART_OF) == "chaosfw":
        return "of chaosfw"
    here = (OWN_NAMESPACE.read_text(), os.environ.get("HOSTNAME")) if OWN_NAMESPACE.exists() else None
    if (metadata.get("namespace"), metadata.get("name")) == here:
        return "where this run is running"
    return ""


def _clock_ahead(cluster: Cluster) -> float:
    """Seconds, at least: the server tells the time in whole seconds, and the answer took a while."""
    before = SYSTEM.wall_ns()
    told = cluster.date()
    after = SYSTEM.wall_ns()
    if not told:
        return 0.0
    theirs = parsedate_to_datetime(told).timestamp()
    if theirs > seconds(after):
        return theirs - seconds(after)
    return min(0.0, theirs + 1.0 - seconds(before))
