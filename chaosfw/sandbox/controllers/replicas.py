"""
The replica set controller: as many pods as asked for, replaced the moment one goes, and counted: what is ready, what is available.
"""

from __future__ import annotations

import copy
from collections import Counter

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.claims import Claims
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop

RESOURCE = "replicasets.apps"
BURST = 500
"""Pods created or deleted in one pass."""


class ReplicaSets:
    """Reconciles replica sets; woken by their own changes and by those of pods."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self.loop = Loop("replica sets", self.reconcile)
        self._claims = Claims(caches, resource=RESOURCE, kind="ReplicaSet", loop=self.loop)

    def listen(self) -> None:
        self._caches[RESOURCE].listen(self._on_set)
        self._claims.listen()

    def _on_set(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(key_of(new))

    async def reconcile(self, key: Key) -> None:
        found = self._caches[RESOURCE].get(*key)
        if found is None:
            return
        pods = await self._claims.claim(found)
        active = [pod for pod in pods if objects.is_active(pod)]
        trouble = None
        if not objects.is_going(found):
            trouble = await self._scale(found, active)
        await self._tell_status(found, trouble)

    # --- how many

    async def _scale(self, owner: Object, active: list[Object]) -> ApiError | None:
        missing = owner["spec"].get("replicas", 1) - len(active)
        if missing > 0:
            return await self._create(owner, min(missing, BURST))
        if missing == 0:
            return None
        crowds = Counter(pod["spec"].get("nodeName", "") for pod in active)
        for pod in sorted(active, key=lambda pod: objects.worth(pod, crowds=crowds))[: min(-missing, BURST)]:
            await self._delete(owner, pod)
        return None

    async def _create(self, owner: Object, count: int) -> ApiError | None:
        """Answers the refusal that stopped it, which becomes a condition; the next try comes with back-off."""
        namespace = owner["metadata"]["namespace"]
        written: Object | None = None
        for _ in range(count):
            try:
                written = await self._client.create("pods", pod_from(owner), namespace=namespace)
            except ApiError as error:
                self._recorder.tell(owner, "FailedCreate", f"Error creating: {error.message}", warning=True)
                self.loop.later(key_of(owner), 0.05 if error.code == 403 else 1.0)
                return error
            self._recorder.tell(owner, "SuccessfulCreate", f"Created pod: {written['metadata']['name']}")
        if written is not None:
            await self._caches["pods"].seen(written["metadata"]["resourceVersion"])
        return None

    async def _delete(self, owner: Object, pod: Object) -> None:
        if await self._claims.delete(pod):
            self._recorder.tell(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")

    # --- status

    async def _tell_status(self, owner: Object, trouble: ApiError | None) -> None:
        pods = self._claims.of(owner)
        status = self._status(owner, pods)
        kept = [found for found in objects.conditions(owner) if found["type"] != "ReplicaFailure"]
        if trouble is not None:
            kept.append(_failure(trouble, objects.condition(owner, "ReplicaFailure")))
        if kept:
            status["conditions"] = kept
        if status != owner.get("status"):
            body = {**owner, "status": status}
            metadata = owner["metadata"]
            written = await self._client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"], subresource="status")
            await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])

    def _status(self, owner: Object, pods: list[Object]) -> Object:
        active = [pod for pod in pods if objects.is_active(pod)]
        ready = [pod for pod in active if objects.is_ready(pod)]
        wanted = owner["spec"]["template"]["metadata"].get("labels") or {}
        labelled = [pod for pod in active if wanted.items() <= (pod["metadata"].get("labels") or {}).items()]
        counts = {
            "fullyLabeledReplicas": len(labelled),
            "readyReplicas": len(ready),
            "availableReplicas": self._available(owner, ready),
            "observedGeneration": owner["metadata"].get("generation", 0),
        }
        going = sum(objects.is_going(pod) for pod in pods)
        return {"replicas": len(active), "terminatingReplicas": going, **objects.without_zeros(counts)}

    def _available(self, owner: Object, ready: list[Object]) -> int:
        settle = owner["spec"].get("minReadySeconds", 0)
        if not settle:
            return len(ready)
        ages = [objects.now_seconds() - (objects.ready_since(pod) or 0.0) for pod in ready]
        young = [age for age in ages if age < settle]
        if young:
            self.loop.later(key_of(owner), max(0.05, settle - max(young)))
        return len(ages) - len(young)


def pod_from(owner: Object) -> Object:
    """A new pod of the owner's template."""
    template = copy.deepcopy(owner["spec"]["template"])
    metadata = template.get("metadata") or {}
    kept = {name: metadata[name] for name in ("labels", "annotations", "finalizers") if metadata.get(name)}
    return {
        "metadata": {
            "generateName": f"{owner['metadata']['name']}-",
            **kept,
            "ownerReferences": [objects.owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def _failure(error: ApiError, known: Object | None) -> Object:
    if known is not None and known.get("message") == error.message:
        return known
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": error.message,
        "lastTransitionTime": objects.now(),
    }
