"""
The controller that ends pods whose node has a NoExecute taint which they do not tolerate, or no longer. It asks no disruption budget, as
the real one does not (kube-controller-manager's taint-eviction-controller).
"""

from __future__ import annotations

import math

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects.tolerations import patience
from chaosfw.timing import SYSTEM, Clock, seconds


class TaintEvictions:
    """Reconciles pods; woken by them and by the taints of nodes."""

    def __init__(self, caches: Caches, recorder: Recorder, *, clock: Clock = SYSTEM) -> None:
        self._caches, self._client, self._recorder, self._clock = caches, caches.client, recorder, clock
        self._since: dict[str, int] = {}
        """By uid of a pod that may stay for a while: since when its time runs, monotonic ns."""
        self.loop = Loop("pods on tainted nodes", self.reconcile)

    def listen(self) -> None:
        self._caches["nodes"].listen(self._on_node)
        self._caches["pods"].listen(self._on_pod)

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        if new is None or (old is not None and _taints(old) == _taints(new)):
            return
        for pod in self._caches["pods"].all():
            if pod["spec"].get("nodeName") == new["metadata"]["name"]:
                self.loop.add(key_of(pod))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._since.pop(old["metadata"]["uid"], None)
        elif new is not None and new["spec"].get("nodeName") and (old is None or old["spec"] != new["spec"]):
            self.loop.add(key_of(new))

    async def reconcile(self, key: Key) -> None:
        pod = self._caches["pods"].get(*key)
        if pod is None or objects.is_going(pod):
            return
        node = self._caches["nodes"].get("", pod["spec"].get("nodeName", ""))
        taints = _taints(node) if node is not None else []
        uid, left = pod["metadata"]["uid"], patience(pod, taints) if taints else math.inf
        if math.isinf(left):
            self._since.pop(uid, None)
            return
        now = self._clock.monotonic_ns()
        left -= seconds(now - self._since.setdefault(uid, now))
        if left > 0:
            self.loop.later(key, left)
        else:
            await self._evict(pod)

    async def _evict(self, pod: Object) -> None:
        metadata = pod["metadata"]
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": objects.now(),
        }
        body = {"metadata": {"uid": uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch("pods", name, body, namespace=namespace, subresource="status", style="strategic")
            await self._client.delete("pods", name, namespace=namespace, uid=uid)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return
        self._recorder.tell(pod, "TaintManagerEviction", f"Marking for deletion Pod {namespace}/{name}")


def _taints(node: Object) -> list[Object]:
    return [taint for taint in node["spec"].get("taints") or () if taint.get("effect") == "NoExecute"]
