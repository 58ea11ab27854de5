"""
The garbage collector of pods, as far as nodes are concerned: pods of a node that is not there any more are ended and removed, and those
that are ending on a lost node of which somebody says by a taint that it is out of service.

The real one looks at all nodes every 20 s and leaves a missing one 40 s to come back; this one waits the 40 s from when it is missed.
Neither is a setting of a real controller manager, so no profile changes it.
"""

from __future__ import annotations

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.timing import SYSTEM, Clock, seconds

QUARANTINE = 40.0
"""Seconds that a node has to come back: ``quarantineTime`` of Kubernetes' pkg/controller/podgc/gc_controller.go."""
PERIOD = 20.0
"""Seconds between two looks: ``gcCheckPeriod`` there."""
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
_ENDED = ("Succeeded", "Failed")


class Orphans:
    """Reconciles names of nodes; woken by nodes that go and by pods whose node is not known."""

    def __init__(self, caches: Caches, *, quarantine: float = QUARANTINE, clock: Clock = SYSTEM) -> None:
        self._caches, self._client, self._clock = caches, caches.client, clock
        self._quarantine = quarantine
        self._missed: dict[str, int] = {}
        """By name of a node that is not there: since when, monotonic ns. One that comes back and goes again has all its time again."""
        self.loop = Loop("pods of missing nodes", self.reconcile)

    def listen(self) -> None:
        self._caches["nodes"].listen(self._on_node)
        self._caches["pods"].listen(self._on_pod)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._missed.pop(new["metadata"]["name"], None)
            if _out_of_service(new):
                self.loop.later(("", new["metadata"]["name"]), PERIOD)
        elif old is not None:
            self._miss(old["metadata"]["name"])

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        name = new["spec"].get("nodeName", "") if new is not None else ""
        if name and self._caches["nodes"].get("", name) is None:
            self._miss(name)

    def _miss(self, name: str) -> None:
        self._missed.setdefault(name, self._clock.monotonic_ns())
        self.loop.add(("", name))

    async def reconcile(self, key: Key) -> None:
        _, name = key
        if (since := self._missed.get(name)) is None:
            await self._give_up(name)
            return
        left = self._quarantine - seconds(self._clock.monotonic_ns() - since)
        if left > 0:
            self.loop.later(key, left)
            return
        if await self._is_back(name):
            return
        for pod in self._caches["pods"].all():
            if pod["spec"].get("nodeName") == name:
                await self._end(pod, why="PodGC: node no longer exists")

    async def _give_up(self, name: str) -> None:
        """What is ending on a node that is out of service will never be told to be gone by its kubelet."""
        node = self._caches["nodes"].get("", name)
        if node is None or not _out_of_service(node):
            return
        for pod in self._caches["pods"].all():
            if pod["spec"].get("nodeName") == name and objects.is_going(pod):
                await self._end(pod, why="")
        self.loop.later(("", name), PERIOD)

    async def _is_back(self, name: str) -> bool:
        """Asked of the server itself: a cache may be late."""
        try:
            await self._client.get("nodes", name)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def _end(self, pod: Object, *, why: str) -> None:
        metadata = pod["metadata"]
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        try:
            if (pod.get("status") or {}).get("phase") not in _ENDED:
                condition = {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": "DeletionByPodGC",
                    "message": why,
                    "lastTransitionTime": objects.now(),
                }
                body = {"metadata": {"uid": uid}, "status": {"phase": "Failed", "conditions": [condition] if why else []}}
                await self._client.patch("pods", name, body, namespace=namespace, subresource="status", style="strategic")
            await self._client.delete("pods", name, namespace=namespace, uid=uid, grace=0)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _out_of_service(node: Object) -> bool:
    """Lost, and known to be: its pods' volumes may be given to others (KEP-2268)."""
    tainted = any(taint["key"] == OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())
    return tainted and (objects.condition(node, "Ready") or {}).get("status") != "True"
