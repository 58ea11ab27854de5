"""
Reads of how things stand: workloads and who owns them, other chaos, our own pods, the server's clock. Facts for the guards; called by
``look.facts``' caller, always fresh. Changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

from chaosfw.drivers.kubernetes import fields, look
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.model.facts import REAPER, Facts, PodFacts, WorkloadFacts
from chaosfw.model.fault import Bound
from chaosfw.model.struct import but
from chaosfw.timing import SYSTEM, seconds

OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod finds its namespace."""
PART_OF = "app.kubernetes.io/part-of"
"""Label by which pods of ours (the reaper) are known: ``chaosfw``."""
COMPONENT = "app.kubernetes.io/component"
"""Label that tells which of ours it is: ``reaper``."""
GITOPS = {
    "argocd.argoproj.io/instance": "Argo CD",
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations of controllers that keep objects as declared elsewhere."""
DELIVERING = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}
"""What such controllers call themselves in managedFields."""
MESH = "chaos-mesh.org"
LITMUS = "litmuschaos.io"
MESH_ALSO = ("schedules", "workflows")
"""Resources of Chaos Mesh that start others; all that break something themselves end with ``chaos``."""
KRKN = ("krkn-chaos/krkn", "redhat-chaos/krkn")
"""Parts of the image names of krkn."""


def facts(cluster: Cluster) -> Facts:
    """Everything that the guards judge."""
    found = look.facts(cluster)
    pods, lists = look.pods(cluster), Lists(cluster)
    scalers = list(_scalers(lists))
    return but(
        found,
        pods=tuple(but(one, ours=_ours(pod)) for one, pod in _paired(found, pods)),
        workloads=tuple(_workload(kind, one, scalers) for kind, one in _workloads(lists)),
        namespaces={look.name_of(one): one["metadata"].get("labels") or {} for one in lists.read("/api/v1/namespaces")},
        others=(*_mesh(lists), *_litmus(lists), *_krkn(pods)),
        now=SYSTEM.wall_ns() / 1e9,
        clock_ahead=_clock_ahead(cluster),
        unread=tuple(lists.unread),
    )


class Lists:
    """Lists of one cluster; one that may not be read is noted: what is in it is not known, which is not the same as nothing."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.unread: list[str] = []

    def read(self, path: str) -> list[Object]:
        """All items; none where there is no such list."""
        try:
            return self.cluster.items(path)
        except Answered as answer:
            if answer.code not in (403, 404):
                raise
            self.unread += [_resource(path)] if answer.code == 403 else []
            return []


def _resource(path: str) -> str:
    """``deployments.apps`` for /apis/apps/v1/deployments, as kubectl takes it."""
    parts = path.strip("/").split("/")
    return parts[-1] + (f".{parts[1]}" if parts[0] == "apis" else "")


def delivered(cluster: Cluster, bounds: Iterable[Bound]) -> dict[str, str]:
    """Of each object that is changed, who keeps it as declared elsewhere: by its labels and annotations, and by managedFields."""
    subjects = dict.fromkeys(undo.subject for bound in bounds for undo in bound.undo if undo.subject.kind in fields.PATHS)
    objects = ((subject, cluster.find(fields.path_of(subject))) for subject in subjects)
    found = ((subject, deliverer(thing)) for subject, thing in objects if thing is not None)
    return {f"{subject.kind} {subject.namespace}/{subject.name}": who for subject, who in found if who}


def deliverer(thing: Object) -> str:
    """The GitOps controller of an object; empty where there is none."""
    metadata = thing["metadata"]
    carried = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    writers = [
        one.get("manager", "") for one in metadata.get("managedFields") or [] if {"f:spec", "f:data"} & set(one.get("fieldsV1") or {})
    ]
    named = [who for key, who in GITOPS.items() if key in carried] + [DELIVERING[one] for one in writers if one in DELIVERING]
    return named[0] if named else ""


def _paired(found: Facts, pods: Iterable[Object]) -> Iterator[tuple[PodFacts, Object]]:
    by_uid = {look.uid_of(pod): pod for pod in pods}
    return ((one, by_uid.get(one.target.uid, {"metadata": {}})) for one in found.pods)


def _workloads(lists: Lists) -> Iterator[tuple[str, Object]]:
    for kind in ("deployment", "statefulset"):
        yield from ((kind, one) for one in lists.read(f"/apis/apps/v1/{kind}s"))


def _workload(kind: str, one: Object, scalers: list[tuple[str, str]]) -> WorkloadFacts:
    status, wanted = one.get("status", {}), one["spec"].get("replicas", 1)
    name = f"{kind} {one['metadata']['namespace']}/{look.name_of(one)}"
    seen = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
    return WorkloadFacts(
        name=name,
        wanted=wanted,
        ready=status.get("readyReplicas", 0),
        rolling=not seen or status.get("updatedReplicas", 0) < _to_update(one, wanted) or status.get("replicas", 0) > wanted,
        labels=one["metadata"].get("labels") or {},
        scaled_by=next((scaler for scaler, scaled in scalers if scaled == name), ""),
    )


def _to_update(one: Object, wanted: int) -> int:
    """How many replicas its strategy brings up to date by itself: of a StatefulSet none on delete, and none below its partition."""
    strategy = one["spec"].get("updateStrategy") or {}
    partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
    return 0 if strategy.get("type") == "OnDelete" else max(0, wanted - int(partition))


def _scalers(lists: Lists) -> Iterator[tuple[str, str]]:
    """Autoscalers and what they scale."""
    for one in lists.read("/apis/autoscaling/v2/horizontalpodautoscalers"):
        of, namespace = one["spec"].get("scaleTargetRef") or {}, one["metadata"]["namespace"]
        yield f"HorizontalPodAutoscaler {namespace}/{look.name_of(one)}", f"{str(of.get('kind', '')).lower()} {namespace}/{of.get('name')}"


def _mesh(lists: Lists) -> Iterator[str]:
    """Chaos Mesh: everything that is not finished or paused. No CRDs: none."""
    for resource in _resources(lists.cluster, MESH, "v1alpha1"):
        if not resource.endswith("chaos") and resource not in MESH_ALSO:
            continue
        for one in lists.read(f"/apis/{MESH}/v1alpha1/{resource}"):
            if _is_on(one):
                yield f"Chaos Mesh {one.get('kind', resource)} {one['metadata'].get('namespace', '')}/{look.name_of(one)}"


def _is_on(chaos: Object) -> bool:
    """An experiment that is wanted to run, a workflow without an end, a schedule: none of them paused."""
    status = chaos.get("status") or {}
    is_wanted = (status.get("experiment") or {}).get("desiredPhase", "Run") == "Run" and not status.get("endTime")
    return is_wanted and (chaos["metadata"].get("annotations") or {}).get("experiment.chaos-mesh.org/pause") != "true"


def _litmus(lists: Lists) -> Iterator[str]:
    if "chaosengines" not in _resources(lists.cluster, LITMUS, "v1alpha1"):
        return
    for one in lists.read(f"/apis/{LITMUS}/v1alpha1/chaosengines"):
        active = one.get("spec", {}).get("engineState", "active") == "active"
        if active and (one.get("status") or {}).get("engineStatus", "initialized") not in ("completed", "stopped"):
            yield f"Litmus ChaosEngine {one['metadata'].get('namespace', '')}/{look.name_of(one)}"


def _krkn(pods: Iterable[Object]) -> Iterator[str]:
    for pod in pods:
        images = [str(one.get("image", "")) for one in pod["spec"].get("containers") or []]
        if not look.is_finished(pod) and any(part in image for part in KRKN for image in images):
            yield f"krkn in pod {pod['metadata']['namespace']}/{look.name_of(pod)}"


def _resources(cluster: Cluster, group: str, version: str) -> list[str]:
    """What a group serves, without subresources; nothing where there is no such group."""
    found = cluster.find(f"/apis/{group}/{version}") or {}
    return [str(one["name"]) for one in found.get("resources") or [] if "/" not in one["name"]]


def _ours(pod: Object) -> str:
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get(PART_OF) == "chaosfw":
        return REAPER if labels.get(COMPONENT) == "reaper" else "of chaosfw"
    here = (OWN_NAMESPACE.read_text(), os.environ.get("POD_NAME") or os.environ.get("HOSTNAME")) if OWN_NAMESPACE.exists() else None
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
