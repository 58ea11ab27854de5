"""
A day in the life of the embedded cluster, without its pauses: does anything grow? ``python -m benchmarks.endurance [HOURS]``; about
five minutes.

One "hour" is what a busy cluster does in one: a rollout, scaling up and down, pods that are killed, a job, a namespace that comes and
goes, a thousand writes by others with watches that open and close; every sixth hour a machine is switched off and on again. Events are
deleted at its end, as their age would have it. Printed are memory (PSS), open files and threads of all processes of the sandbox but the
pods, and the objects that the API has, by the hour; the last quarter of the day must not have more than the second.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from benchmarks.planes import pss
from benchmarks.table import machine
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.sandbox.client.http import HttpClient
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start

Object = dict[str, Any]
HOURS: Final = 24
WRITES: Final = 1_000
_DEPLOYMENT: Final = "/apis/apps/v1/namespaces/default/deployments/life"
_PODS: Final = "/api/v1/namespaces/default/pods"
_JOBS: Final = "/apis/batch/v1/namespaces/default/jobs"
_PATIENCE: Final = 120.0
_COUNTED: Final = (
    "/api/v1/pods",
    "/api/v1/configmaps",
    "/api/v1/services",
    "/api/v1/namespaces",
    "/apis/apps/v1/replicasets",
    "/apis/batch/v1/jobs",
    "/apis/discovery.k8s.io/v1/endpointslices",
)


def life() -> list[Object]:
    container = {"name": "app", "image": "x", "ports": [{"name": "http", "containerPort": 8000}]}
    template = {"metadata": {"labels": {"app": "life"}}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    spec = {"replicas": 6, "selector": {"matchLabels": {"app": "life"}}, "template": template, "revisionHistoryLimit": 3}
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "life", "namespace": "default"}, "spec": spec}
    ports = {"selector": {"app": "life"}, "ports": [{"port": 80, "targetPort": "http"}]}
    return [deployment, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "life", "namespace": "default"}, "spec": ports}]


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster does not come to rest")
        time.sleep(0.05)


class Life:
    """One sandbox and what is done with it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox, self._cluster = sandbox, Cluster(str(sandbox.kubeconfig))

    def hour(self, number: int) -> None:
        self._roll(number)
        self._scale(9)
        self._scale(6)
        for pod in self._cluster.items(_PODS, labelSelector="app=life")[:3]:
            self._cluster.delete(f"{_PODS}/{pod['metadata']['name']}")
        self._at_rest(6)
        self._job(number)
        asyncio.run(self._others(number))
        if number % 6 == 5:
            self._sandbox.machine("node-2", "off")
            time.sleep(8.0)  # longer than the grace of the profile: it is lost, and found again
            self._sandbox.machine("node-2", "on")
            self._at_rest(6)
        for event in self._cluster.items("/api/v1/events"):  # an hour is over in seconds here, and events live for one
            self._cluster.delete(f"/api/v1/namespaces/{event['metadata']['namespace']}/events/{event['metadata']['name']}")

    def _roll(self, number: int) -> None:
        notes = {"metadata": {"annotations": {"hour": str(number)}}}
        self._cluster.patch(_DEPLOYMENT, {"spec": {"template": notes}})
        self._at_rest(6)

    def _scale(self, replicas: int) -> None:
        self._cluster.patch(_DEPLOYMENT, {"spec": {"replicas": replicas}})
        self._at_rest(replicas)

    def _at_rest(self, replicas: int) -> None:
        def rests() -> bool:
            found = self._cluster.get(_DEPLOYMENT)
            status = found.get("status", {})
            counts = {status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")}
            return counts == {replicas} and status.get("observedGeneration") == found["metadata"]["generation"]

        until(rests)
        until(lambda: len(self._cluster.items(_PODS, labelSelector="app=life")) == replicas)

    def _job(self, number: int) -> None:
        pod = {"containers": [{"name": "j", "image": "x", "command": ["true"]}], "restartPolicy": "Never"}
        body = {"metadata": {"name": f"job-{number}"}, "spec": {"template": {"spec": pod}, "ttlSecondsAfterFinished": 0}}
        self._cluster.post(_JOBS, body)
        until(lambda: not self._cluster.items(_JOBS))

    async def _others(self, number: int) -> None:
        """Somebody else's namespace, writes and watches."""
        context, space = ssl.create_default_context(cafile=str(self._sandbox.ca)), f"space-{number}"
        async with HttpClient(self._sandbox.server, ssl_context=context, token=self._sandbox.token) as client:
            await client.create("namespaces", {"metadata": {"name": space}})
            await client.create("configmaps", {"metadata": {"name": "a"}}, namespace=space)
            _, since = await client.list("configmaps", namespace=space)
            for write in range(WRITES):
                await client.patch("configmaps", "a", {"data": {"n": str(write)}}, namespace=space)
                if write % 100 == 0:
                    async for _ in client.watch("configmaps", since=since, namespace=space):
                        break
            await client.delete("namespaces", space)
        until(lambda: space not in {one["metadata"]["name"] for one in self._cluster.items("/api/v1/namespaces")})

    def figures(self) -> dict[str, float]:
        pids = [one.pid for one in self._sandbox.processes() if not one.name.startswith("pod")]
        return {
            "memory, MB": sum(map(pss, pids)) / 1024,
            "files": sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            "threads": sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids),
            "objects": sum(len(self._cluster.items(path)) for path in _COUNTED),
            "events": len(self._cluster.items("/api/v1/events")),
        }


def main() -> None:
    hours = int(sys.argv[1]) if len(sys.argv) > 1 else HOURS
    print(f"{machine()}\n")
    with start(SandboxSpec(), timeout=_PATIENCE) as sandbox:
        sandbox.apply(life())
        sandbox.settle(timeout=_PATIENCE)
        lived, rows = Life(sandbox), []
        for number in range(hours):
            lived.hour(number)
            rows.append(lived.figures())
            if number == 0:
                print("hour  " + "".join(f"{name:>14}" for name in rows[0]))
            print(f"{number + 1:>4}  " + "".join(f"{value:>14,.1f}" for value in rows[-1].values()), flush=True)
    quarter = max(1, hours // 4)
    for name in ("memory, MB", "files", "threads", "objects"):
        second, last = (max(row[name] for row in part) for part in (rows[quarter : 2 * quarter], rows[-quarter:]))
        print(f"{name}: at most {second:,.1f} in the second quarter of the day, {last:,.1f} in the last")


if __name__ == "__main__":
    main()
