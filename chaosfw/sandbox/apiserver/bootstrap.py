"""What every cluster has from its first moment: the four namespaces, the system's priority classes, the service of the API itself."""

from __future__ import annotations

from chaosfw.sandbox.apiserver.verbs import Verbs, WriteOptions
from chaosfw.sandbox.client.verbs import Object

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_CRITICAL = "Used for system critical pods that must "
PRIORITIES = {
    "system-cluster-critical": (2_000_000_000, "run in the cluster, but can be moved to another node if necessary."),
    "system-node-critical": (2_000_001_000, "not be moved from their current node."),
}


def lay_out(verbs: Verbs, *, address: str) -> None:
    """``address``: that of the API's own service."""
    for name in NAMESPACES:
        _create(verbs, "namespaces", "", {"metadata": {"name": name}})
    for name, (value, why) in PRIORITIES.items():
        body = {"metadata": {"name": name}, "value": value, "description": _CRITICAL + why}
        _create(verbs, "priorityclasses.scheduling.k8s.io", "", body)
    _create(verbs, "services", "default", _own_service(address))


def _own_service(address: str) -> Object:
    return {
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": address,
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "targetPort": 443}],
        },
    }


def _create(verbs: Verbs, resource: str, namespace: str, body: Object) -> None:
    row = verbs.registry.by_resource(resource)
    assert row is not None, f"no row for {resource}"
    verbs.create(row, namespace, body, WriteOptions(manager="kube-apiserver"))
