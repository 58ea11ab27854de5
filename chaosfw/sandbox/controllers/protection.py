"""
Claims and volumes that are in use stay: who deletes one waits until no pod has the claim any more, or no claim the volume.

Kubernetes has a controller for each (pkg/controller/volume/pvcprotection and pvprotection). Started by the manager; takes finalizers away
that the API server has put there, and tells of each claim whether anybody uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.objects.storage import CLAIMS, VOLUMES, claims_of

CLAIM: Final = "kubernetes.io/pvc-protection"
VOLUME: Final = "kubernetes.io/pv-protection"
UNUSED: Final = "Unused"
_USED: Final = {"reason": "PodUsingPVC", "message": "A pod is currently referencing this PVC"}
_UNUSED: Final = {"reason": "NoPodsUsingPVC", "message": "No pods are currently referencing this PVC"}
_ENDED: Final = ("Succeeded", "Failed")


class Protection:
    """Reconciles claims by their key, and volumes by their name without a namespace."""

    def __init__(self, caches: Caches) -> None:
        self._caches, self._client = caches, caches.client
        self.loop = Loop("protected claims and volumes", self.reconcile)

    def listen(self) -> None:
        self._caches[CLAIMS].listen(self._on_change)
        self._caches[VOLUMES].listen(self._on_change)
        self._caches["pods"].listen(self._on_pod)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (objects.is_going(new) or (new["metadata"].get("namespace") and read(new, "status.phase") == "Bound")):
            self.loop.add((new["metadata"].get("namespace", ""), new["metadata"]["name"]))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for name in claims_of(new or old or {"spec": {}}):
            self.loop.add(((new or old or {})["metadata"]["namespace"], name))

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        found = self._caches[CLAIMS if namespace else VOLUMES].get(namespace, name)
        if found is None:
            return
        try:
            if objects.is_going(found):
                await self._let_go(found, *((CLAIMS, CLAIM) if namespace else (VOLUMES, VOLUME)))
            elif namespace and read(found, "status.phase") == "Bound":
                await self._tell_use(found)
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):  # else it has changed, and its event brings it here again
                raise

    async def _let_go(self, found: Object, resource: str, finalizer: str) -> None:
        namespace, name = key_of(found)
        if finalizer not in found["metadata"].get("finalizers", ()):
            return
        if self._is_used(namespace, name) if namespace else read(found, "status.phase") == "Bound":
            return
        left = [one for one in found["metadata"]["finalizers"] if one != finalizer]
        version = found["metadata"]["resourceVersion"]
        await self._client.patch(resource, name, {"metadata": {"finalizers": left, "resourceVersion": version}}, namespace=namespace)

    async def _tell_use(self, claim: Object) -> None:
        """A condition says since when no pod names it; one that runs nowhere yet counts."""
        namespace, name = key_of(claim)
        used = any(name in claims_of(pod) for pod in self._alive(namespace))
        known = objects.condition(claim, UNUSED)
        if known is not None and known["status"] == ("False" if used else "True"):
            return
        said = _USED if used else _UNUSED
        mine = {"type": UNUSED, "status": "False" if used else "True", **said, "lastTransitionTime": objects.now()}
        others = [one for one in objects.conditions(claim) if one["type"] != UNUSED]
        change = {"metadata": {"resourceVersion": claim["metadata"]["resourceVersion"]}, "status": {"conditions": [*others, mine]}}
        written = await self._client.patch(CLAIMS, name, change, namespace=namespace, subresource="status")
        await self._caches[CLAIMS].seen(written["metadata"]["resourceVersion"])

    def _alive(self, namespace: str) -> Iterator[Object]:
        return (pod for pod in self._caches["pods"].all(namespace=namespace) if read(pod, "status.phase") not in _ENDED)

    def _is_used(self, namespace: str, name: str) -> bool:
        return any(name in claims_of(pod) and read(pod, "spec.nodeName") for pod in self._alive(namespace))
