"""
Gives each pending pod a node, or says why there is none, and tries again when something changes that could matter.

One pod at a time, against a picture of the cluster that already counts what was decided a moment ago.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import Counter

from chaosfw.sandbox.client.informer import Informer, key_of
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.objects import moments
from chaosfw.sandbox.objects.names import hashed
from chaosfw.sandbox.scheduler import fit
from chaosfw.sandbox.scheduler.claims import Claims, NotBound, PodClaims
from chaosfw.sandbox.scheduler.picture import Picture
from chaosfw.sandbox.scheduler.spread import Spreading
from chaosfw.timing import SYSTEM

LOG = logging.getLogger("chaosfw.sandbox")
NAME = "default-scheduler"
RETRY_AFTER = 1.0
"""Seconds until a pod is tried again whose binding failed."""

ENOUGH = 100
"""Nodes that fit, before the best of them is taken: minFeasibleNodesToFind of Kubernetes' pkg/scheduler/schedule_one.go."""

Key = tuple[str, str]
Rank = tuple[int, str]


class Scheduler:
    """``start`` returns when the caches are filled and the loop runs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pods, self._nodes = Informer(client, "pods"), Informer(client, "nodes")
        self._claims = Claims(client, changed=self._retry_all)
        self._picture = Picture()
        self._waiting: set[Key] = set()
        self._queue: list[tuple[Rank, Key]] = []
        """A heap; what is not among the waiting any more is passed over."""
        self._next = 0
        self._retrying: asyncio.TimerHandle | None = None
        self._hopeless: set[Key] = set()
        self._assumed: dict[str, str] = {}
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._binding: set[asyncio.Task[None]] = set()
        """Pods whose volumes are on the way."""

    async def start(self) -> None:
        await asyncio.gather(self._pods.start(), self._nodes.start(), self._claims.start())
        self._pods.listen(self._on_pod)
        self._nodes.listen(self._on_node)
        self._task = asyncio.create_task(self._run(), name="scheduler")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            for task in self._binding:
                task.cancel()
            await asyncio.gather(self._task, *self._binding, return_exceptions=True)
        await asyncio.gather(self._pods.stop(), self._nodes.stop(), self._claims.stop())

    # --- what wakes it

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        self._draw(old, new)
        if new is None or new["spec"].get("nodeName"):
            pod = new or old or {}
            self._assumed.pop(pod["metadata"]["uid"], None)
            self._waiting.discard(key_of(pod))
            self._hopeless.discard(key_of(pod))
        if new is None or (old is not None and _frees_room(old, new)):
            self._retry_all()
        if new is None or new["metadata"].get("deletionTimestamp"):
            self._claims.wake()
        if new is not None and _is_ours(new) and not _only_told(old, new):
            self._add(key_of(new))

    def _draw(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._picture.drop((old or {})["metadata"]["uid"])
            return
        node = new["spec"].get("nodeName") or self._assumed.get(new["metadata"]["uid"])
        if node and (new.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            self._picture.put(new, node)
        else:
            self._picture.drop(new["metadata"]["uid"])

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or _offers(old) != _offers(new)):
            self._retry_all()

    def _retry_all(self) -> None:
        """At once, but where there are very many nodes: these change one after the other, and each pod would look through all of them."""
        if self._retrying is None:
            pause = 0.0 if sum(1 for _ in self._nodes.all()) <= ENOUGH else RETRY_AFTER
            self._retrying = asyncio.get_running_loop().call_later(pause, self._retry_now)

    def _retry_now(self) -> None:
        self._retrying = None
        for key in sorted(self._hopeless):
            self._add(key)
        self._hopeless.clear()

    def _add(self, key: Key) -> None:
        if key not in self._waiting:
            self._waiting.add(key)
            heapq.heappush(self._queue, (self._rank(key), key))
        self._something.set()

    # --- the loop

    async def _run(self) -> None:
        while True:
            while not self._waiting:
                self._something.clear()
                await self._something.wait()
            _, key = heapq.heappop(self._queue)
            if key not in self._waiting:
                continue
            self._waiting.remove(key)
            await asyncio.sleep(0)  # others have something to do as well, however many wait
            try:
                await self._place(key)
            except ApiError as error:
                if error.code not in (404, 409):
                    LOG.warning("scheduling %s: %s; trying again", "/".join(key), error)
                    asyncio.get_running_loop().call_later(RETRY_AFTER, self._add, key)
            except Exception:
                LOG.exception("scheduling %s failed; trying again", "/".join(key))
                asyncio.get_running_loop().call_later(RETRY_AFTER, self._add, key)

    def _rank(self, key: Key) -> Rank:
        pod = self._pods.get(*key)
        return (-pod["spec"].get("priority", 0), pod["metadata"]["creationTimestamp"]) if pod else (0, "")

    async def _place(self, key: Key) -> None:
        pod = self._pods.get(*key)
        if pod is None or not _is_ours(pod) or pod["metadata"]["uid"] in self._assumed:
            return
        nodes, claims = list(self._nodes.all()), self._claims.of(pod)
        if claims.trouble:
            self._hopeless.add(key)
            await self._give_up(pod, len(nodes), claims.trouble)
            return
        spreading, reasons = Spreading(pod, nodes, self._picture), Counter[str]()
        fitting = self._fitting(pod, nodes, spreading, claims, reasons)
        if fitting:
            await self._give(pod, spreading.best(fitting, among=nodes if len(nodes) > ENOUGH else None), claims)
        else:
            self._hopeless.add(key)
            await self._give_up(pod, len(nodes), ", ".join(sorted(f"{number} {reason}" for reason, number in reasons.items())))

    def _fitting(self, pod: Object, nodes: list[Object], spreading: Spreading, claims: PodClaims, reasons: Counter[str]) -> list[Object]:
        """All nodes that fit; of very many as many as are enough, each time from where the last search ended."""
        start = self._next % len(nodes) if len(nodes) > ENOUGH else 0
        found = []
        for number, node in enumerate((*nodes[start:], *nodes[:start]), start=1):
            if self._fits(pod, node, spreading, claims, reasons):
                found.append(node)
            if len(found) == ENOUGH:
                self._next = start + number
                break
        return found

    def _fits(self, pod: Object, node: Object, spreading: Spreading, claims: PodClaims, reasons: Counter[str]) -> bool:
        found = fit.refusals(pod, node, self._picture.tenants(node["metadata"]["name"]))
        if not found and spreading.violates(node):
            found = ["node(s) didn't match pod topology spread constraints"]
        if not found and claims and (why := claims.refusal(node)):
            found = [why]
        reasons.update(found)
        return not found

    async def _give(self, pod: Object, node: Object, claims: PodClaims) -> None:
        """From here on it counts as being there. Where volumes have to come first, others have their turn meanwhile."""
        name = node["metadata"]["name"]
        self._assumed[pod["metadata"]["uid"]] = name
        self._picture.put(pod, name)
        if not claims.unbound:
            await self._bind(pod, name)
            return
        task = asyncio.create_task(self._bind_with_volumes(pod, node), name=f"volumes of {'/'.join(key_of(pod))}")
        self._binding.add(task)
        task.add_done_callback(self._binding.discard)

    async def _bind_with_volumes(self, pod: Object, node: Object) -> None:
        key, uid = key_of(pod), pod["metadata"]["uid"]
        try:
            await self._claims.prepare(pod, node, still=lambda: self._waits_still(key, uid))
            await self._bind(pod, node["metadata"]["name"])
        except (NotBound, ApiError) as error:
            self._take_back(uid)
            if self._waits_still(key, uid):
                told = f'running PreBind plugin "VolumeBinding": binding volumes: {error}'
                await self._tell(pod, "FailedScheduling", told, warning=True)
                asyncio.get_running_loop().call_later(RETRY_AFTER, self._add, key)
        except Exception:
            LOG.exception("scheduling %s failed; trying again", "/".join(key))
            self._take_back(uid)
            asyncio.get_running_loop().call_later(RETRY_AFTER, self._add, key)

    def _waits_still(self, key: Key, uid: str) -> bool:
        pod = self._pods.get(*key)
        return pod is not None and pod["metadata"]["uid"] == uid and _is_ours(pod)

    def _take_back(self, uid: str) -> None:
        self._assumed.pop(uid, None)
        self._picture.drop(uid)

    async def _bind(self, pod: Object, node: str) -> None:
        metadata = pod["metadata"]
        body = {
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create("bindings", body, namespace=metadata["namespace"])
        except ApiError:
            self._take_back(metadata["uid"])
            raise
        told = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        await self._tell(pod, "Scheduled", told, warning=False)

    # --- saying so

    async def _give_up(self, pod: Object, count: int, told: str) -> None:
        message = f"0/{count} nodes are available: {told}." if count else "no nodes available to schedule pods"
        known = [found for found in (pod.get("status") or {}).get("conditions", ()) if found["type"] == "PodScheduled"]
        if known and known[0].get("message") == message:
            return
        at = moments.stamp(SYSTEM.wall_ns())
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": at}
        metadata = pod["metadata"]
        change = {"metadata": {"uid": metadata["uid"]}, "status": {"conditions": [condition]}}
        place = {"namespace": metadata["namespace"], "subresource": "status"}
        await self._client.patch("pods", metadata["name"], change, style="strategic", **place)
        await self._tell(pod, "FailedScheduling", message, warning=True)

    async def _tell(self, pod: Object, reason: str, message: str, *, warning: bool) -> None:
        metadata, at = pod["metadata"], moments.micro_stamp(SYSTEM.wall_ns())
        body = {
            "metadata": {"name": f"{metadata['name']}.{hashed(metadata['uid'] + at, 16)}"},
            "involvedObject": {
                "kind": "Pod",
                "apiVersion": "v1",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "eventTime": at,
            "reportingComponent": NAME,
            "reportingInstance": NAME,
            "action": "Scheduling" if warning else "Binding",
        }
        try:
            await self._client.create("events", body, namespace=metadata["namespace"])
        except ApiError as error:
            LOG.debug("event %s on %s not written: %s", reason, metadata["name"], error)


def _is_ours(pod: Object) -> bool:
    spec = pod["spec"]
    waits = not spec.get("nodeName") and not pod["metadata"].get("deletionTimestamp") and not spec.get("schedulingGates")
    return waits and spec.get("schedulerName", NAME) == NAME and (pod.get("status") or {}).get("phase", "Pending") == "Pending"


def _only_told(old: Object | None, new: Object) -> bool:
    """Our own condition came back: nothing that could change the answer."""
    return old is not None and old["spec"] == new["spec"] and old["metadata"].get("labels") == new["metadata"].get("labels")


def _frees_room(old: Object, new: Object) -> bool:
    ended = ("Succeeded", "Failed")
    return (new.get("status") or {}).get("phase") in ended and (old.get("status") or {}).get("phase") not in ended


def _offers(node: Object) -> tuple[object, ...]:
    """What of a node decides whether pods fit."""
    spec = node["spec"]
    return (node["metadata"].get("labels"), spec.get("taints"), spec.get("unschedulable"), (node.get("status") or {}).get("allocatable"))
