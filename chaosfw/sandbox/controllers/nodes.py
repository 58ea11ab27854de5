"""
The controller that finds out that a node is lost: nobody tells it, a kubelet falls silent.

A node whose lease was not renewed, and whose status was not sent, for the grace period has conditions Unknown, and its pods are not ready
(their containers' statuses stay as the kubelet left them). It is tainted: NoSchedule at once, NoExecute at the zone's eviction rate. From
there :mod:`.evictions` goes on. What comes back is clean after one look.

As Kubernetes' pkg/controller/nodelifecycle/node_lifecycle_controller.go, v1.37, with its settings from the profile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Final

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.disruptions import ZoneState, all_lost, eviction_rate, zone_state
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.profiles import Profile
from chaosfw.timing import SYSTEM, Clock, nanoseconds

LOG = logging.getLogger("chaosfw.sandbox")
LEASES: Final = "leases.coordination.k8s.io"
_LEASE_NAMESPACE: Final = "kube-node-lease"
STARTUP_GRACE: Final = 60.0
"""--node-startup-grace-period, seconds: for a node whose kubelet has never said a word."""
_TAINTING_PERIOD: Final = 0.1
"""Seconds, ``nodeEvictionPeriod``: how often it is looked whether the rate allows one more NoExecute taint."""
UNREACHABLE, NOT_READY = "node.kubernetes.io/unreachable", "node.kubernetes.io/not-ready"
_BY_READY: Final = {"Unknown": UNREACHABLE, "False": NOT_READY}
_PRESSURES: Final = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
}
_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
_OURS: Final = frozenset({UNREACHABLE, NOT_READY, _UNSCHEDULABLE, *_PRESSURES.values()})
_TOLD: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(slots=True)
class _Heard:
    """The last that was heard of a node: its lease's and its status' own times, and when *we* saw them change (monotonic ns)."""

    renewed: str
    reported: str
    at_ns: int


class Nodes:
    """Looks at all nodes each monitor period; reconciles a node's NoSchedule taints when it changes."""

    def __init__(self, caches: Caches, recorder: Recorder, *, profile: Profile, clock: Clock = SYSTEM) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self._profile, self._clock = profile, clock
        self._heard: dict[str, _Heard] = {}
        self._states: dict[str, ZoneState] = {}
        self._waiting: dict[str, dict[str, None]] = {}
        """By zone: nodes that are to get a NoExecute taint, in order."""
        self._next_ns: dict[str, int] = {}
        """By zone: from when on the rate allows the next one."""
        self._tasks: list[asyncio.Task[None]] = []
        self.loop = Loop("taints of nodes", self.reconcile)

    def listen(self) -> None:
        self._caches["nodes"].listen(self._on_node)

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._monitor(), name="node monitor"), loop.create_task(self._taint(), name="node tainting")]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(("", new["metadata"]["name"]))
            if old is None:
                name = new["metadata"]["name"]
                self._recorder.tell(new, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        elif old is not None:
            self._heard.pop(old["metadata"]["name"], None)

    # --- NoSchedule, as the conditions say

    async def reconcile(self, key: Key) -> None:
        node = self._caches["nodes"].get(*key)
        if node is None:
            return
        wanted = no_schedule(node)
        there = {taint["key"] for taint in _taints(node) if taint["effect"] == "NoSchedule" and taint["key"] in _OURS}
        if wanted == there:
            return
        kept = [taint for taint in _taints(node) if taint["effect"] != "NoSchedule" or taint["key"] not in there - wanted]
        await self._write_taints(node, [*kept, *(self._new_taint(key, "NoSchedule") for key in sorted(wanted - there))])

    # --- who is silent

    async def _monitor(self) -> None:
        while True:
            due = self._clock.monotonic_ns() + nanoseconds(self._profile.monitor_period)
            await asyncio.sleep(self._profile.monitor_period)
            self._excuse(self._clock.monotonic_ns() - due)
            try:
                await self._look()
            except Exception:  # whatever it was: without this task no node is ever lost again
                LOG.exception("node monitor failed; looking again")

    def _excuse(self, late: int) -> None:
        """Who sleeps hears nothing: while this process, or the whole machine, stood still for ``late`` nanoseconds, no node was silent."""
        if late > nanoseconds(self._profile.monitor_period):
            for heard in self._heard.values():
                heard.at_ns += late

    async def _look(self) -> None:
        nodes = list(self._caches["nodes"].all())
        for node in nodes:
            await _unless_changed(self._judge(node))
        await self._weigh(nodes)

    async def _judge(self, node: Object) -> None:
        before = _ready(node)
        if self._is_silent(node):
            node = await self._lose(node)
        status = _ready(node)
        if status == "True":
            await self._welcome(node)
        elif status:
            await self._mark(node, status)
        if before == "True" and status not in ("True", ""):
            self._recorder.tell(node, "NodeNotReady", f"Node {node['metadata']['name']} status is now: NodeNotReady")
            await self._unready_pods(node)

    def _is_silent(self, node: Object) -> bool:
        """For longer than the grace; counted from when a change was seen here, so that clocks of nodes do not matter."""
        name, now = node["metadata"]["name"], self._clock.monotonic_ns()
        lease = self._caches[LEASES].get(_LEASE_NAMESPACE, name)
        renewed = (lease["spec"].get("renewTime") or "") if lease is not None else ""
        reported = (objects.condition(node, "Ready") or {}).get("lastHeartbeatTime") or ""
        heard = self._heard.get(name)
        if heard is None:
            self._heard[name] = heard = _Heard(renewed, reported, now)
        elif renewed > heard.renewed or reported != heard.reported:
            heard.renewed, heard.reported, heard.at_ns = max(renewed, heard.renewed), reported, now
        grace = self._profile.monitor_grace if _ready(node) else STARTUP_GRACE
        return now > heard.at_ns + nanoseconds(grace)

    async def _lose(self, node: Object) -> Object:
        """Its conditions become Unknown; the node as it is then."""
        changed = [one for kind in _TOLD if (one := _unknown(node, kind)) is not None]
        if not changed:
            return node
        body = {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}, "status": {"conditions": changed}}
        found = await self._client.patch("nodes", node["metadata"]["name"], body, subresource="status", style="strategic")
        await self._caches["nodes"].seen(found["metadata"]["resourceVersion"])
        return found

    async def _unready_pods(self, node: Object) -> None:
        """The kubelet can not say it any more."""
        name = node["metadata"]["name"]
        for pod in list(self._caches["pods"].all()):
            if pod["spec"].get("nodeName") == name and objects.is_ready(pod):
                await self._unready(pod)

    async def _unready(self, pod: Object) -> None:
        metadata = pod["metadata"]
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": objects.now()}
        body = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(
                "pods", metadata["name"], body, namespace=metadata["namespace"], subresource="status", style="strategic"
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return
        self._recorder.tell(pod, "NodeNotReady", "Node is not ready", warning=True)

    # --- NoExecute, at a rate

    async def _mark(self, node: Object, status: str) -> None:
        """A lost node waits for its NoExecute taint; one that has the other one changes it at once."""
        name, wanted = node["metadata"]["name"], _BY_READY[status]
        there = {taint["key"] for taint in _taints(node) if taint["effect"] == "NoExecute"} & {UNREACHABLE, NOT_READY}
        if wanted in there:
            return
        if there:
            await self._swap(node, wanted)
        elif not all_lost(self._states):
            self._waiting.setdefault(_zone(node), {}).setdefault(name)

    async def _welcome(self, node: Object) -> None:
        for names in self._waiting.values():
            names.pop(node["metadata"]["name"], None)
        await self._swap(node, "")

    async def _swap(self, node: Object, wanted: str) -> None:
        """Of the two NoExecute taints the node has ``wanted`` afterwards, or none."""
        kept = [taint for taint in _taints(node) if taint["effect"] != "NoExecute" or taint["key"] not in (UNREACHABLE, NOT_READY)]
        if wanted:
            kept.append(self._new_taint(wanted, "NoExecute"))
        if wanted or len(kept) != len(_taints(node)):
            await self._write_taints(node, kept)

    async def _taint(self) -> None:
        while True:
            await asyncio.sleep(_TAINTING_PERIOD)
            for zone, names in list(self._waiting.items()):  # zones come while one is tainted
                try:
                    await self._taint_one(zone, names)
                except Exception as error:  # as above, and no taint
                    LOG.warning("tainting in zone %s: %s; trying again", zone, error)

    async def _taint_one(self, zone: str, names: dict[str, None]) -> None:
        """The first that waits, when the rate allows."""
        now = self._clock.monotonic_ns()
        if not names or now < self._next_ns.get(zone, 0) or not (rate := self._rate(zone)):
            return
        name = next(iter(names))
        node = self._caches["nodes"].get("", name)
        if node is not None and (status := _ready(node)) in _BY_READY:
            await self._swap(node, _BY_READY[status])
            self._next_ns[zone] = now + nanoseconds(1 / rate)
        names.pop(name, None)

    def _rate(self, zone: str) -> float:
        if all_lost(self._states):
            return 0.0
        nodes = sum(_zone(node) == zone for node in self._caches["nodes"].all())
        return eviction_rate(self._states.get(zone, ZoneState.NORMAL), nodes=nodes, profile=self._profile)

    # --- zones

    async def _weigh(self, nodes: Iterable[Object]) -> None:
        """What is lost of each zone. While all are, evictions stop and taints go; when one comes back, all others get their grace anew."""
        by_zone: dict[str, list[bool]] = {}
        for node in nodes:
            current = self._caches["nodes"].get("", node["metadata"]["name"]) or node
            by_zone.setdefault(_zone(node), []).append(_ready(current) == "True")
        before, self._states = self._states, {zone: zone_state(ready) for zone, ready in by_zone.items()}
        if all_lost(self._states):
            for node in self._caches["nodes"].all():
                await _unless_changed(self._welcome(node))
        elif all_lost(before) and not all_lost(self._states):
            for heard in self._heard.values():
                heard.at_ns = self._clock.monotonic_ns()

    # --- writing

    def _new_taint(self, key: str, effect: str) -> Object:
        return {"key": key, "effect": effect, "timeAdded": objects.now()}

    async def _write_taints(self, node: Object, taints: list[Object]) -> None:
        metadata = node["metadata"]
        body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": {"taints": taints or None}}
        found = await self._client.patch("nodes", metadata["name"], body)
        await self._caches["nodes"].seen(found["metadata"]["resourceVersion"])


async def _unless_changed(work: Awaitable[None]) -> None:
    """What is gone, or was changed under us, is seen again in a moment."""
    try:
        await work
    except ApiError as error:
        if error.code not in (404, 409):
            raise


def no_schedule(node: Object) -> set[str]:
    """The keys of the NoSchedule taints that its conditions and its spec ask for."""
    keys = {_PRESSURES[one["type"]] for one in objects.conditions(node) if one["type"] in _PRESSURES and one["status"] == "True"}
    if (key := _BY_READY.get(_ready(node))) is not None:
        keys.add(key)
    if node["spec"].get("unschedulable"):
        keys.add(_UNSCHEDULABLE)
    return keys


def _unknown(node: Object, kind: str) -> Object | None:
    """The condition as it is after silence; None where it is so already."""
    found = objects.condition(node, kind)
    if found is None:
        created = node["metadata"]["creationTimestamp"]
        told = {"reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status.", "lastHeartbeatTime": created}
    elif found["status"] == "Unknown":
        return None
    else:
        told = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    return {"type": kind, "status": "Unknown", "lastTransitionTime": objects.now(), **told}


def _ready(node: Object) -> str:
    """Status of its condition Ready; empty where nobody has ever set it."""
    return str((objects.condition(node, "Ready") or {}).get("status", ""))


def _taints(node: Object) -> list[Object]:
    return list(node["spec"].get("taints") or ())


def _zone(node: Object) -> str:
    labels = node["metadata"].get("labels") or {}
    return f"{labels.get('topology.kubernetes.io/region', '')}/{labels.get('topology.kubernetes.io/zone', '')}"
