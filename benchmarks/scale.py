"""
Large sandboxes, on either control plane: a hundred nodes with a thousand pods that are processes, and a thousand hollow nodes with ten
thousand pods that are records. ``python -m benchmarks.scale [processes | records] [embedded | kubernetes]``; all of it takes about twenty
minutes.

Seconds from nothing to nodes that are ready; until all pods of one Deployment are available, and how many a second that is; then, with
everybody in it, a pod is deleted, until as many are available again. Memory is the control plane's, as in ``benchmarks.planes``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.planes import memory
from benchmarks.table import machine
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES, HOLLOW

Object = dict[str, Any]
SIZES: Final = {"processes": (100, 1_000), "records": (1_000, 10_000)}
_MANY: Final = "/apis/apps/v1/namespaces/default/deployments/many"
_PODS: Final = "/api/v1/namespaces/default/pods"
_PATIENCE: Final = 900.0
_LOOK: Final = 0.5


def spec(kind: str, plane: str, nodes: int) -> SandboxSpec:
    """In the profile ``default``: lease renewals each ten seconds, as a cluster of that size has them."""
    count = {"nodes": nodes} if kind == "processes" else {"nodes": 1, "hollow_nodes": nodes}
    return SandboxSpec(control_plane=plane, profile="default", workdir=Path.cwd(), **count)  # type: ignore[arg-type]  # its own names


def deployment(kind: str, replicas: int) -> Object:
    probe = {"httpGet": {"port": 8000, "path": "/healthz"}, "periodSeconds": 30}
    container = {"name": "app", "image": "x", "ports": [{"containerPort": 8000}]}
    pod: Object = {
        "containers": [container | ({"readinessProbe": probe} if kind == "processes" else {})],
        "terminationGracePeriodSeconds": 1,
    }
    if kind == "records":
        pod |= {"nodeSelector": {HOLLOW: "true"}, "tolerations": [{"key": HOLLOW, "operator": "Exists"}]}
    template = {"metadata": {"labels": {"app": "many"}}, "spec": pod}
    made = {"replicas": replicas, "selector": {"matchLabels": {"app": "many"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many", "namespace": "default"}, "spec": made}


def until(holds: Callable[[], bool], what: str) -> float:
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > _PATIENCE:
            raise TimeoutError(f"{what}: not within {_PATIENCE:.0f} s")
        time.sleep(_LOOK)
    return time.monotonic() - began


def available(cluster: Cluster) -> int:
    return int(cluster.get(_MANY).get("status", {}).get("availableReplicas", 0))


def measured(kind: str, plane: str) -> dict[str, float]:
    nodes, pods = SIZES[kind]
    began = time.monotonic()
    with start(spec(kind, plane, nodes), timeout=_PATIENCE) as sandbox:
        cluster = Cluster(str(sandbox.kubeconfig))
        return {f"{nodes:,} nodes: seconds until they are there": time.monotonic() - began, **_filled(sandbox, cluster, kind, pods)}


def _filled(sandbox: Sandbox, cluster: Cluster, kind: str, pods: int) -> dict[str, float]:
    sandbox.apply([deployment(kind, pods)])
    took = until(lambda: available(cluster) == pods, f"{pods} pods available")
    held, began = memory(sandbox), time.monotonic()
    everybody = cluster.items(_PODS)
    listing = time.monotonic() - began
    victim = everybody[0]["metadata"]
    cluster.delete(f"{_PODS}/{victim['name']}")
    back = until(lambda: _replaced(cluster, victim["uid"]) and available(cluster) == pods, "a replacement")
    return {
        f"{pods:,} pods: seconds until all are available": took,
        f"{pods:,} pods: a second": pods / took,
        f"{pods:,} pods: seconds to list them": listing,
        f"{pods:,} pods: seconds until one is replaced": back,
        f"{pods:,} pods: memory, MB": held,
    }


def _replaced(cluster: Cluster, uid: str) -> bool:
    return all(pod["metadata"]["uid"] != uid for pod in cluster.items(_PODS))


def main() -> None:
    kinds = [word for word in sys.argv[1:] if word in SIZES] or list(SIZES)
    planes = [word for word in sys.argv[1:] if word in CONTROL_PLANES] or list(CONTROL_PLANES)
    print(f"{machine()}\n")
    for kind in kinds:
        found = {}
        for plane in planes:
            found[plane] = measured(kind, plane)
            print(f"{kind}, {plane}: done", file=sys.stderr, flush=True)
        print(f"{'':<52}" + "".join(f"{plane:>14}" for plane in found))
        for name in found[planes[0]]:
            print(f"{name:<52}" + "".join(f"{figures[name]:>14.2f}" for figures in found.values()), flush=True)


if __name__ == "__main__":
    main()
