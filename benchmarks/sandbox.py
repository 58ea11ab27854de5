"""
How long the embedded cluster takes: up to three ready pods of the shop, down to nothing, and from a killed pod to the first
request that its replacement answers. ``python -m benchmarks.sandbox [TIMES]``.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.table import Row, show
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.sandbox import public as sandbox

ROOT = Path(__file__).parents[1]
DEADLINE = 30.0


def spec() -> sandbox.SandboxSpec:
    return sandbox.SandboxSpec(manifests=tuple(sorted((ROOT / "deploy" / "shop").glob("*.yaml"))), workdir=ROOT)


def answering(url: str) -> str:
    with urllib.request.urlopen(url, timeout=2.0) as answer:
        return str(json.load(answer)["pod"])


def replaced(cluster: Cluster, url: str) -> float:
    """Seconds from the deletion of one pod without grace to an answer of a pod that was not there before."""
    path = "/api/v1/namespaces/shop/pods"
    pods = {one["metadata"]["name"] for one in cluster.items(path, labelSelector="app=myapp")}
    victim = min(pods)
    began = time.monotonic()
    cluster.delete(f"{path}/{victim}?" + urlencode({"gracePeriodSeconds": 0}))
    while time.monotonic() - began < DEADLINE:
        try:
            if answering(url) not in pods:
                return time.monotonic() - began
        except OSError:
            pass  # the victim was still routed to
        time.sleep(0.005)
    raise TimeoutError("no replacement ever answered")


def rows(times: int = 5) -> Iterator[Row]:
    up, down, back = [], [], []
    for _ in range(times):
        began = time.monotonic()
        started = sandbox.start(spec(), timeout=60.0)
        up.append(time.monotonic() - began)
        try:
            back.append(replaced(Cluster(str(started.kubeconfig)), started.endpoint("shop/myapp")))
        finally:
            began = time.monotonic()
            started.close()
            down.append(time.monotonic() - began)
    yield Row(name="sandbox: start to three ready pods, routed", values=up, goal=1.5)
    yield Row(name="sandbox: stop", values=down, goal=0.5)
    yield Row(name="sandbox: pod killed without grace to replacement serving", values=back)


if __name__ == "__main__":
    show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
