"""
Claims that belong to one pod and go with it: made from the ``ephemeral`` volumes of its spec (Kubernetes' pkg/controller/volume/ephemeral).

Started by the manager. Binding them is the work of :mod:`.volumes`, removing them of the garbage collector.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects.storage import CLAIMS, own_claim


class EphemeralVolumes:
    """Reconciles pods; woken by new ones, and by claims that go while their pod stays."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self.loop = Loop("ephemeral volumes", self.reconcile)

    def listen(self) -> None:
        self._caches["pods"].listen(self._on_pod)
        self._caches[CLAIMS].listen(self._on_claim)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is None and new is not None and any(_wanted(new)):
            self.loop.add(key_of(new))

    def _on_claim(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and (owner := objects.controller_of(old)) and owner["kind"] == "Pod":
            self.loop.add((old["metadata"]["namespace"], owner["name"]))

    async def reconcile(self, key: Key) -> None:
        pod = self._caches["pods"].get(*key)
        if pod is None or objects.is_going(pod):
            return
        for claim in _wanted(pod):
            await self._make(pod, claim)

    async def _make(self, pod: Object, claim: Object) -> None:
        name = claim["metadata"]["name"]
        known = self._caches[CLAIMS].get(pod["metadata"]["namespace"], name)
        if known is not None:
            if not objects.owned_by(known, pod):
                why = f'PVC "{pod["metadata"]["namespace"]}/{name}" was not created for pod "{"/".join(key_of(pod))}" (pod is not owner)'
                self._recorder.tell(pod, "FailedBinding", f"ephemeral volume: {why}", warning=True)
            return
        try:
            written = await self._client.create(CLAIMS, claim, namespace=pod["metadata"]["namespace"])
        except ApiError as error:
            if error.code == 422:  # it will not become right by being tried again
                self._recorder.tell(pod, "FailedBinding", f"ephemeral volume: {error.message}", warning=True)
                return
            raise
        await self._caches[CLAIMS].seen(written["metadata"]["resourceVersion"])


def _wanted(pod: Object) -> Iterator[Object]:
    for volume in pod["spec"].get("volumes") or ():
        if "ephemeral" in volume:
            template = volume["ephemeral"]["volumeClaimTemplate"]
            notes = {key: value for key in ("labels", "annotations") if (value := (template.get("metadata") or {}).get(key))}
            name = own_claim(pod["metadata"]["name"], volume["name"])
            owner = objects.owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})
            yield {"metadata": {"name": name, "ownerReferences": [owner], **notes}, "spec": template["spec"]}
