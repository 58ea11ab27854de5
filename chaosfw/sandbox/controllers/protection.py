"""
Claims and volumes that are in use stay: who deletes one waits until no pod has the claim any more, or no claim the volume.

Kubernetes has a controller for each (pkg/controller/volume/pvcprotection and pvprotection). Started by the manager; takes finalizers away
that the API server has put there, and does nothing else.
"""

from __future__ import annotations

from typing import Final

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.objects.storage import claims_of

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
CLAIM: Final = "kubernetes.io/pvc-protection"
VOLUME: Final = "kubernetes.io/pv-protection"
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
        if new is not None and objects.is_going(new):
            self.loop.add((new["metadata"].get("namespace", ""), new["metadata"]["name"]))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for name in claims_of(new or old or {"spec": {}}):
            self.loop.add(((new or old or {})["metadata"]["namespace"], name))

    async def reconcile(self, key: Key) -> None:
        namespace, name = key
        resource, finalizer = (CLAIMS, CLAIM) if namespace else (VOLUMES, VOLUME)
        found = self._caches[resource].get(namespace, name)
        if found is None or not objects.is_going(found) or finalizer not in found["metadata"].get("finalizers", ()):
            return
        if self._is_used(namespace, name) if namespace else read(found, "status.phase") == "Bound":
            return
        left = [one for one in found["metadata"]["finalizers"] if one != finalizer]
        version = found["metadata"]["resourceVersion"]
        try:
            await self._client.patch(resource, name, {"metadata": {"finalizers": left, "resourceVersion": version}}, namespace=namespace)
        except ApiError as error:
            if error.reason not in ("NotFound", "Conflict"):  # else it has changed, and its event brings it here again
                raise

    def _is_used(self, namespace: str, name: str) -> bool:
        pods = (pod for pod in self._caches["pods"].all() if pod["metadata"]["namespace"] == namespace)
        return any(name in claims_of(pod) and read(pod, "spec.nodeName") for pod in pods if read(pod, "status.phase") not in _ENDED)
