"""
What each kind has to be allowed to do, to break and to put back, and which of it these credentials may not: asked of the API server
(SelfSubjectAccessReview) before anything is broken.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosfw.drivers.kubernetes import fields
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster
from chaosfw.model.fault import Bound, Undo

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Need = tuple[str, str, str]
"""Verb, API group, resource with its subresource."""

_NODE: tuple[Need, ...] = (("get", "", "nodes"), ("patch", "", "nodes"))
_EVICT: tuple[Need, ...] = (("create", "", "pods/eviction"),)
_APPS: tuple[Need, ...] = tuple((verb, "apps", kinds) for kinds in ("deployments", "statefulsets") for verb in ("get", "patch"))
_DELETABLE = (("", "services"), ("", "configmaps"), ("policy", "poddisruptionbudgets"), ("networking.k8s.io", "networkpolicies"))
NEEDS: dict[str, tuple[Need, ...]] = {
    "kubernetes.kill/1": (("delete", "", "pods"),),
    "kubernetes.cordon/1": _NODE,
    "kubernetes.taint/1": _NODE,
    "kubernetes.machine/1": _NODE,
    "kubernetes.drain/1": _NODE + _EVICT,
    "zone.drain/1": _NODE + _EVICT,
    "kubernetes.scale/1": _APPS,
    "kubernetes.image/1": _APPS,
    "kubernetes.rollout-restart/1": _APPS,
    "kubernetes.delete/1": tuple((verb, *one) for one in _DELETABLE for verb in ("get", "delete", "create", "patch")),
    "kubernetes.delete-node/1": (*_NODE, ("delete", "", "nodes"), ("create", "", "nodes")),
    "kubernetes.pause/1": (("get", "", "pods"), ("patch", "", "pods")),
    "kubernetes.selector/1": (("get", "", "services"), ("patch", "", "services")),
}
"""By kind of fault; asked in the namespaces of those targets that are of the resource."""


def lacking(cluster: Cluster, bounds: Iterable[Bound]) -> tuple[str, ...]:
    """What may not be done, in words, each once: ``patch nodes``, ``delete pods in shop``."""
    asked = dict.fromkeys(need for bound in bounds for need in _needs(bound))
    return tuple(words(*need) for need in asked if not may(cluster, *need))


def lacking_to_heal(cluster: Cluster, undos: Iterable[Undo]) -> tuple[str, ...]:
    """What of putting these back may not be done with these credentials."""
    asked = dict.fromkeys(need for undo in undos for need in _heals(undo))
    return tuple(words(*need) for need in asked if not may(cluster, *need))


def _heals(undo: Undo) -> Iterable[tuple[str, str, str, str]]:
    """Reading and patching the object, and making it where the fault deleted it."""
    group, resource = fields.resource_of(undo.subject.kind)
    for verb in ("get", "patch", *(["create"] if undo.fault.startswith("kubernetes.delete") else [])):
        yield verb, group, resource, undo.subject.namespace


def _needs(bound: Bound) -> Iterable[tuple[str, str, str, str]]:
    for verb, group, resource in NEEDS.get(bound.fault, ()):
        nouns = dict.fromkeys((target.kind, target.namespace) for target in bound.targets)
        for kind, namespace in nouns:
            if resource.partition("/")[0] in (f"{kind}s", f"{kind[:-1]}ies"):
                yield verb, group, resource, namespace


def may(cluster: Cluster, verb: str, group: str, resource: str, namespace: str) -> bool:
    name, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": name, "subresource": subresource, "namespace": namespace}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    try:
        return bool(cluster.post(REVIEWS, review).get("status", {}).get("allowed"))
    except Answered as answer:
        if answer.code == 404:
            return True  # a server without authorization allows everything
        raise


def words(verb: str, group: str, resource: str, namespace: str) -> str:
    return f"{verb} {resource}{f'.{group}' if group else ''}" + (f" in {namespace}" if namespace else "")
