"""
The least that plays kubelet: nodes exist, bound pods become ready with an address, deleted ones go. For tests of what is above it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping

from chaosfw.sandbox.client.informer import Informer
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.objects import moments
from chaosfw.timing import SYSTEM

LEASES = "leases.coordination.k8s.io"
BEAT = 1.0
"""Seconds, as in the profile ``fast``."""


class FakeKubelet:
    """
    All nodes of a test cluster. ``hold``: names of pods (by prefix) that never become ready. ``lets_go`` False: deleted pods stay.
    ``silent``: nodes of which nothing is heard any more.
    """

    def __init__(self, client: Client, *, nodes: Mapping[str, str], hold: tuple[str, ...] = ()) -> None:
        self.client, self.nodes, self.hold = client, nodes, hold
        self.silent: set[str] = set()
        self.lets_go = True
        self._pods = Informer(client, "pods")
        self._addresses = itertools.count(2)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        for name, zone in self.nodes.items():
            await self.client.create("nodes", node(name, zone))
            await self.client.create(LEASES, lease(name), namespace="kube-node-lease")
        await self._pods.start()
        self._pods.listen(self._on_pod)
        self._tasks.add(asyncio.create_task(self._beat()))

    async def stop(self) -> None:
        await self._pods.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def speak(self, name: str) -> None:
        """A silent node is heard of again: its status, its lease, and what became of its pods meanwhile."""
        self.silent.discard(name)
        change = {"status": {"conditions": node(name, "")["status"]["conditions"]}}
        await self.client.patch("nodes", name, change, subresource="status", style="strategic")
        for pod in self._pods.all():
            if pod["spec"].get("nodeName") == name:
                await self._act(pod)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            for name in self.nodes.keys() - self.silent:
                change = {"spec": {"renewTime": moments.micro_stamp(SYSTEM.wall_ns())}}
                await self.client.patch(LEASES, name, change, namespace="kube-node-lease")

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is None or new["spec"].get("nodeName") not in self.nodes.keys() - self.silent:
            return
        task = asyncio.get_running_loop().create_task(self._act(new))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, pod: Object) -> None:
        metadata = pod["metadata"]
        place = {"namespace": metadata["namespace"]}
        try:
            if metadata.get("deletionTimestamp"):
                if not self.lets_go:
                    return
                if metadata.get("finalizers") and pod["status"]["phase"] == "Running":
                    await self.client.patch("pods", metadata["name"], ended(pod, 143), subresource="status", style="strategic", **place)
                await self.client.delete("pods", metadata["name"], uid=metadata["uid"], grace=0, **place)
            elif pod["status"]["phase"] == "Pending":
                ready = not metadata["name"].startswith(self.hold) if self.hold else True
                change = {"status": running(pod, f"10.0.0.{next(self._addresses)}", ready=ready)}
                await self.client.patch("pods", metadata["name"], change, subresource="status", style="strategic", **place)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def ended(pod: Object, code: int) -> Object:
    """What to tell of a pod that has ended, with this exit code of each container."""
    at = moments.stamp(SYSTEM.wall_ns())
    end = {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": at, "finishedAt": at}
    containers = [
        {"name": one["name"], "image": one["image"], "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": end}}
        for one in pod["spec"]["containers"]
    ]
    unready = [{"type": kind, "status": "False", "lastTransitionTime": at} for kind in ("Ready", "ContainersReady")]
    return {"status": {"phase": "Failed" if code else "Succeeded", "conditions": unready, "containerStatuses": containers}}


def lease(name: str) -> Object:
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": moments.micro_stamp(SYSTEM.wall_ns())}
    return {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec}


def node(name: str, zone: str) -> Object:
    at = moments.stamp(SYSTEM.wall_ns())
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "", "lastHeartbeatTime": at, "lastTransitionTime": at}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}},
        "status": {
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.37.2"},
        },
    }


def running(pod: Object, address: str, *, ready: bool) -> Object:
    at = moments.stamp(SYSTEM.wall_ns())
    word = "True" if ready else "False"
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": at,
        "conditions": [{"type": kind, "status": word, "lastTransitionTime": at} for kind in ("Ready", "ContainersReady")],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": "",
                "ready": ready,
                "started": True,
                "restartCount": 0,
                "state": {"running": {"startedAt": at}},
            }
            for container in pod["spec"]["containers"]
        ],
    }
