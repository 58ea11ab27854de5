"""
Hollow nodes: records of nodes without a machine, for tests of what happens to many of them. What is put on one becomes ready, is ended
when it is deleted, and is nothing but a record: no process, and nobody who answers.

Started by the control process beside the real kubelets; one for all hollow nodes of a sandbox, over one client. Each node has a taint
(:data:`~chaosfw.sandbox.spec.HOLLOW`), so that only pods that tolerate it come here. Kubernetes has the same for its own scale tests, and
calls it kubemark.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from chaosfw.sandbox.client.informer import Informer, Key
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.kubelet.node import LEASE_NAMESPACE, LEASES, node_object
from chaosfw.sandbox.kubelet.site import NodeName
from chaosfw.sandbox.kubelet.status import TERMINAL, Observed, pod_status
from chaosfw.sandbox.objects.moments import micro_stamp, stamp
from chaosfw.sandbox.profiles import Profile
from chaosfw.sandbox.spec import HOLLOW
from chaosfw.timing import SYSTEM, Clock, seconds

MOST_PODS: Final = 250
_AT_ONCE: Final = 16
"""Requests; a real control plane is over a socket, and ten thousand pods want to be told of."""


class Hollow:
    """``nodes``: each one's zone. ``silence`` one and nothing is heard of it any more, until ``speak``."""

    def __init__(self, client: Client, *, nodes: Mapping[str, str], profile: Profile, clock: Clock = SYSTEM) -> None:
        self._client, self._profile, self._clock = client, profile, clock
        self.nodes = {name: NodeName(name, zone, index) for index, (name, zone) in enumerate(nodes.items())}
        self._silent: set[str] = set()
        self._pods, self._seen = Informer(client, "pods"), Informer(client, "nodes")
        self._wanted: asyncio.Queue[Key] = asyncio.Queue()
        self._queued: set[Key] = set()
        self._slots: dict[str, dict[str, int]] = {}
        """By node: which pod, by uid, has which address."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """When all nodes are registered."""
        names = list(self.nodes)
        await asyncio.gather(*(self._register(names[first::_AT_ONCE]) for first in range(_AT_ONCE)))
        await asyncio.gather(self._pods.start(), self._seen.start())
        self._pods.listen(self._on_pod)
        workers = [asyncio.create_task(self._work()) for _ in range(_AT_ONCE)]
        self._tasks += [*workers, asyncio.create_task(self._beat())]

    def silence(self, name: str) -> None:
        self._silent.add(name)

    def speak(self, name: str) -> None:
        """Its next beat says that it is there, and what became of its pods meanwhile is made good."""
        self._silent.discard(name)
        self._look_again(name)

    def _look_again(self, name: str) -> None:
        for pod in self._pods.all():
            if pod["spec"].get("nodeName") == name:
                self._on_pod(None, pod)

    # --- nodes

    async def _register(self, names: list[str]) -> None:
        for name in names:
            await self._client.create("nodes", self._node(name))
            await self._client.create(LEASES, self._lease(name), namespace=LEASE_NAMESPACE)

    def _node(self, name: str) -> Object:
        node = self.nodes[name]
        address, cidr = f"10.88.{node.index // 250}.{1 + node.index % 250}", f"{_network(node.index)}.0/24"
        found = node_object(node, address=address, pod_cidr=cidr, now=stamp(self._clock.wall_ns()))
        found["metadata"]["labels"][HOLLOW] = "true"
        found["spec"]["taints"] = [{"key": HOLLOW, "value": "true", "effect": "NoSchedule"}]
        room = {**found["status"]["capacity"], "cpu": "32", "memory": "256Gi", "pods": str(MOST_PODS)}
        found["status"] |= {"capacity": room, "allocatable": dict(room)}
        return found

    def _lease(self, name: str) -> Object:
        spec = {"holderIdentity": name, "leaseDurationSeconds": self._profile.lease_duration, "renewTime": self._micro()}
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}

    async def _beat(self) -> None:
        """Each node once in a period, spread over it; some at a time, so that a busy loop does not make them late."""
        names = list(self.nodes)
        while True:
            began = self._clock.monotonic_ns()
            for first in range(0, len(names), _AT_ONCE):
                some = names[first : first + _AT_ONCE]
                await asyncio.gather(*(self._renew(name) for name in some if name not in self._silent))
                due = self._profile.lease_renew * (first + len(some)) / len(names)
                if (early := due - seconds(self._clock.monotonic_ns() - began)) > 0:
                    await asyncio.sleep(early)

    async def _renew(self, name: str) -> None:
        """A server that does not answer is asked again at the next beat."""
        try:
            await self._client.patch(LEASES, name, {"spec": {"renewTime": self._micro()}}, namespace=LEASE_NAMESPACE)
            if not _is_ready(self._seen.get("", name)):
                status = self._node(name)["status"]
                await self._client.patch("nodes", name, {"status": status}, subresource="status", style="strategic")
        except (ApiError, OSError):
            return

    def _micro(self) -> str:
        return micro_stamp(self._clock.wall_ns())

    # --- pods

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._leaves(old or {})
            return
        key = (new["metadata"]["namespace"], new["metadata"]["name"])
        if new["spec"].get("nodeName") in self.nodes and _wants(new) and key not in self._queued:
            self._queued.add(key)
            self._wanted.put_nowait(key)

    def _leaves(self, pod: Object) -> None:
        node = pod["spec"].get("nodeName", "")
        taken = self._slots.get(node, {})
        was_full = len(taken) >= MOST_PODS
        taken.pop(pod["metadata"]["uid"], None)
        if was_full:
            self._look_again(node)

    async def _work(self) -> None:
        while True:
            key = await self._wanted.get()
            self._queued.discard(key)
            pod = self._pods.get(*key)
            if pod is None or not self._minds(pod):
                continue  # gone, or another of the same name by now
            try:
                await self._act(pod)
            except (ApiError, OSError):
                continue  # it has changed, and its event comes; or there is no server any more

    def _minds(self, pod: Object) -> bool:
        """A pod for which there is no address any more waits for one."""
        node = pod["spec"].get("nodeName")
        if node not in self.nodes or node in self._silent or not _wants(pod):
            return False
        taken = self._slots.get(node, {})
        return pod["metadata"]["uid"] in taken or len(taken) < MOST_PODS

    async def _act(self, pod: Object) -> None:
        metadata, phase = pod["metadata"], pod["status"].get("phase")
        place = {"namespace": metadata["namespace"]}
        if metadata.get("deletionTimestamp"):
            if phase not in TERMINAL:
                await self._tell(pod, ended=True)
            await self._client.delete("pods", metadata["name"], uid=metadata["uid"], grace=0, **place)
        else:
            await self._tell(pod, ended=False)

    async def _tell(self, pod: Object, *, ended: bool) -> None:
        at = stamp(self._clock.wall_ns())
        started = pod["status"].get("startTime") or at
        state = _state(started, at, ended=ended)
        containers = [_container(one, state, ready=not ended) for one in pod["spec"]["containers"]]
        observed = Observed(
            pod=pod,
            init=[],
            main=containers,
            initialized=True,
            sandbox_made=not ended,
            pod_ip=self._address(pod),
            host_ip="10.88.0.1",
            started_at=started,
            before=pod["status"].get("conditions") or (),
            now=at,
            final=ended,
        )
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": pod_status(observed)}
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        await self._client.patch("pods", name, body, namespace=namespace, subresource="status", style="strategic")

    def _address(self, pod: Object) -> str:
        node = pod["spec"]["nodeName"]
        taken = self._slots.setdefault(node, {})
        if pod["metadata"]["uid"] not in taken:
            used = set(taken.values())
            taken[pod["metadata"]["uid"]] = next(slot for slot in range(2, 4 + MOST_PODS) if slot not in used)
        return f"{_network(self.nodes[node].index)}.{taken[pod['metadata']['uid']]}"


def _network(index: int) -> str:
    """A node's pods are one /24 of 10.128.0.0/9: behind none of these addresses anybody listens."""
    return f"10.{128 + index // 256}.{index % 256}"


def _wants(pod: Object) -> bool:
    """To be started or ended; or somebody says of it that it is not ready, as of all pods of a node that was lost."""
    phase = pod["status"].get("phase")
    return bool(pod["metadata"].get("deletionTimestamp")) or phase == "Pending" or (phase == "Running" and not _is_ready(pod))


def _is_ready(found: Object | None) -> bool:
    """Of a node or a pod."""
    conditions = ((found or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _state(started: str, at: str, *, ended: bool) -> Object:
    over = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": at}
    return {"terminated": over} if ended else {"running": {"startedAt": started}}


def _container(container: Object, state: Object, *, ready: bool) -> Object:
    told = {"name": container["name"], "image": container.get("image", ""), "imageID": ""}
    return {**told, "ready": ready, "started": ready, "restartCount": 0, "state": state}
