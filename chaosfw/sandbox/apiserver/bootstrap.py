"""What every cluster has from its first moment: the four namespaces, the system's priority classes, the service of the API itself."""

from __future__ import annotations

from chaosfw.sandbox.apiserver.verbs import Verbs
from chaosfw.sandbox.client.verbs import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


def lay_out(verbs: Verbs) -> None:
    for name in NAMESPACES:
        _create(verbs, "namespaces", "", {"metadata": {"name": name}})
    for name, value in PRIORITIES.items():
        _create(verbs, "priorityclasses.scheduling.k8s.io", "", {"metadata": {"name": name}, "value": value})
    _create(verbs, "services", "default", _own_service())


def _own_service() -> Object:
    return {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": 443}]},
    }


def _create(verbs: Verbs, resource: str, namespace: str, body: Object) -> None:
    row = verbs.registry.by_resource(resource)
    assert row is not None, f"no row for {resource}"
    verbs.create(row, namespace, body)
