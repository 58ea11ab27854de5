"""
The node object and its heartbeat.

Used by :mod:`.kubelet`. Status is sent when it changes, the lease is renewed all the time; a node whose lease is not renewed is lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import uuid
from typing import Final

from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.kubelet.site import NodeName, Site
from chaosfw.sandbox.objects.moments import micro_stamp, stamp
from chaosfw.timing import boot_id

VERSION: Final = "v1.37.2"
PORT: Final = 10250
"""Where a kubelet answers, on its node's address."""
WEBSOCKETS: Final = "ExtendWebSocketsToKubelet"
"""What the API server has to know to pass a WebSocket on as it is, and not as SPDY."""
REGION: Final = "sandbox"
_CAPACITY: Final = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"}
LEASES: Final = "leases.coordination.k8s.io"
LEASE_NAMESPACE: Final = "kube-node-lease"
_HEALTHY: Final = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def node_object(node: NodeName, *, address: str, pod_cidr: str, now: str, boots: int = 0) -> Object:
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": node.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "beta.kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": arch,
        "topology.kubernetes.io/zone": node.zone,
        "topology.kubernetes.io/region": REGION,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels, "annotations": {"node.alpha.kubernetes.io/ttl": "0"}},
        "spec": {"podCIDR": pod_cidr, "podCIDRs": [pod_cidr], "providerID": f"chaosfw://{node.zone}/{node.name}"},
        "status": node_status(node, address=address, now=now, arch=arch, boots=boots),
    }


def node_status(node: NodeName, *, address: str, now: str, arch: str, boots: int) -> Object:
    """``boots``: how often the machine came up again since the sandbox was started."""
    identity = hashlib.sha256(node.name.encode()).hexdigest()[:32]
    boot = boot_id() or identity
    return {
        "capacity": dict(_CAPACITY),
        "allocatable": dict(_CAPACITY),
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": node.name}],
        "conditions": [
            {"type": kind, "status": status, "reason": reason, "message": message, "lastHeartbeatTime": now, "lastTransitionTime": now}
            for kind, status, reason, message in _HEALTHY
        ],
        "declaredFeatures": [WEBSOCKETS],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": PORT}},
        "images": [],
        "nodeInfo": {
            "machineID": identity,
            "systemUUID": identity,
            "bootID": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{boot} {node.name} {boots}")) if boots else boot,
            "kernelVersion": platform.release(),
            "osImage": platform.platform(terse=True),
            "containerRuntimeVersion": "chaosfw://1.0.0",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": VERSION,
            "operatingSystem": "linux",
            "architecture": arch,
        },
    }


class Heartbeat:
    """Registers a node and keeps its lease."""

    def __init__(self, node: NodeName, site: Site) -> None:
        self._node = node
        self._site = site
        self._client: Client = site.client
        self._boots = 0

    def rebooted(self) -> None:
        """The machine came up again: from the next report on it has another boot id."""
        self._boots += 1

    async def register(self) -> None:
        """A node that is there already, as after a restart, gets its status anew."""
        body = self._object()
        try:
            await self._client.create("nodes", body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        await self._client.patch("nodes", self._node.name, {"status": body["status"]}, subresource="status", style="strategic")
        await self._take_lease()

    async def run(self) -> None:
        """Until cancelled. A server that does not answer is asked again at the next beat."""
        while True:
            await asyncio.sleep(self._site.profile.lease_renew)
            try:
                await self._renew()
                await self._report_again()
            except (ApiError, OSError):
                continue

    async def _report_again(self) -> None:
        """Its status, where it is not there, because somebody has made the node object anew, or where somebody says that we are lost."""
        try:
            found = await self._client.get("nodes", self._node.name)
        except ApiError as error:
            if error.code == 404:
                return
            raise
        conditions = (found.get("status") or {}).get("conditions") or ()
        if not any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            status = self._object()["status"]
            await self._client.patch("nodes", self._node.name, {"status": status}, subresource="status", style="strategic")

    def _object(self) -> Object:
        site, node = self._site, self._node
        address, cidr = site.network.node(node.index), site.network.pod_cidr(node.index)
        return node_object(node, address=address, pod_cidr=cidr, now=self._now(), boots=self._boots)

    async def _take_lease(self) -> None:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._node.name, "namespace": LEASE_NAMESPACE},
            "spec": {
                "holderIdentity": self._node.name,
                "leaseDurationSeconds": self._site.profile.lease_duration,
                "renewTime": self._micro(),
            },
        }
        try:
            await self._client.create(LEASES, lease, namespace=LEASE_NAMESPACE)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            await self._renew()

    async def _renew(self) -> None:
        try:
            await self._client.patch(LEASES, self._node.name, {"spec": {"renewTime": self._micro()}}, namespace=LEASE_NAMESPACE)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._take_lease()

    def _now(self) -> str:
        return stamp(self._site.clock.wall_ns())

    def _micro(self) -> str:
        return micro_stamp(self._site.clock.wall_ns())
