"""
Binds claims to volumes, and says of volumes whether somebody has them (Kubernetes' pkg/controller/volume/persistentvolume).

Started by the manager. It makes and removes no volumes: those come from people, or from who is named in a claim's class and sees a claim
that waits for one. Which node a claim's first pod gets is the scheduler's to say.
"""

from __future__ import annotations

from typing import Any, Final

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.objects import storage
from chaosfw.sandbox.objects.storage import BOUND, BY_CONTROLLER, CLAIMS, CLASSES, VOLUMES

_FIRST: Final = "waiting for first consumer to be created before binding"
_LOST: Final = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
_TWICE: Final = "Two claims are bound to the same volume, this one is bound incorrectly"
_NO_NAME: Final = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
_NOBODY: Final = "no persistent volumes available for this claim and no storage class is set"


class Volumes:
    """Reconciles claims by their key, and volumes by their name without a namespace."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self.loop = Loop("claims and volumes", self.reconcile)

    def listen(self) -> None:
        self._caches[VOLUMES].listen(self._on_volume)
        self._caches[CLAIMS].listen(self._on_claim)
        self._caches[CLASSES].listen(self._on_class)

    def _on_claim(self, old: Object | None, new: Object | None) -> None:
        claim = new or old or {}
        if new is not None:
            self.loop.add(key_of(claim))
        if name := read(claim, "spec.volumeName"):
            self.loop.add(("", name))

    def _on_volume(self, old: Object | None, new: Object | None) -> None:
        volume = new or old or {}
        if new is not None:
            self.loop.add(key_of(volume))
        if ref := read(volume, "spec.claimRef"):
            self.loop.add((ref.get("namespace", ""), ref["name"]))
        else:
            self._wake()

    def _on_class(self, old: Object | None, new: Object | None) -> None:
        if new is not None and old is None:
            self._wake()

    def _wake(self) -> None:
        for claim in self._caches[CLAIMS].all():
            if read(claim, "status.phase") == "Pending":
                self.loop.add(key_of(claim))

    async def reconcile(self, key: Key) -> None:
        try:
            if key[0]:
                await self._claim(self._caches[CLAIMS].get(*key))
            else:
                await self._volume(self._caches[VOLUMES].get(*key))
        except ApiError as error:
            if error.code != 404:  # it has gone meanwhile, and its event tells whom that concerns
                raise

    # --- claims

    async def _claim(self, claim: Object | None) -> None:
        if claim is None or objects.is_going(claim):
            return
        name = read(claim, "spec.volumeName")
        if BOUND in (claim["metadata"].get("annotations") or {}):
            await self._still_bound(claim, name)
        elif name:
            await self._named(claim, self._caches[VOLUMES].get("", name))
        else:
            await self._unbound(claim)

    async def _unbound(self, claim: Object) -> None:
        classes = list(self._caches[CLASSES].all())
        default = storage.default_class(classes)
        if read(claim, "spec.storageClassName") is None and default:
            await self._write(CLAIMS, claim, {"spec": {"storageClassName": default}})
            return
        name = read(claim, "spec.storageClassName") or ""
        found = self._caches[CLASSES].get("", name)
        waits = storage.waits_for_pod(found) and storage.SELECTED_NODE not in (claim["metadata"].get("annotations") or {})
        volume = storage.best(claim, self._caches[VOLUMES].all(), only_its_own=waits)
        if volume is not None:
            await self._bind(volume, claim)
        elif waits:
            self._recorder.tell(claim, *self._whom(claim))
        elif not name:
            self._recorder.tell(claim, "FailedBinding", _NOBODY)
        elif found is None:
            self._recorder.tell(claim, "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found', warning=True)
        else:
            await self._ask(claim, found["provisioner"])

    def _whom(self, claim: Object) -> tuple[str, str]:
        """For whom it waits: why, and in words."""
        namespace, name = key_of(claim)
        pods = self._caches["pods"].all(namespace=namespace)
        names = sorted(pod["metadata"]["name"] for pod in pods if not pod["spec"].get("nodeName") and name in storage.claims_of(pod))
        if not names:
            return "WaitForFirstConsumer", _FIRST
        return "WaitForPodScheduled", f"waiting for pod{'s' if len(names) > 1 else ''} {','.join(names)} to be scheduled"

    async def _ask(self, claim: Object, provisioner: str) -> None:
        """Whoever provisions sees the claim by these; then it is their turn."""
        if provisioner == storage.NOBODY:
            self._recorder.tell(claim, "FailedBinding", "no persistent volumes available for this claim and its class makes none")
            return
        wanted = {storage.PROVISIONER: provisioner, storage.PROVISIONER_BETA: provisioner}
        if not wanted.items() <= (claim["metadata"].get("annotations") or {}).items():
            await self._write(CLAIMS, claim, {"metadata": {"annotations": wanted}})
        told = f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system"
        hint = "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
        self._recorder.tell(claim, "ExternalProvisioning", f"{told} {hint}")

    async def _named(self, claim: Object, volume: Object | None) -> None:
        """The user says which. Until it is there and free, the claim waits."""
        if volume is None:
            return
        if not volume["spec"].get("claimRef"):
            if why := storage.unfit(volume, claim):
                told = f'Cannot bind to requested volume "{volume["metadata"]["name"]}": {why}'
                self._recorder.tell(claim, "VolumeMismatch", told, warning=True)
                return
            await self._bind(volume, claim)
        elif storage.is_for(volume, claim):
            await self._bind(volume, claim)
        else:
            told = f'volume "{volume["metadata"]["name"]}" already bound to a different claim.'
            self._recorder.tell(claim, "FailedBinding", told, warning=True)

    async def _still_bound(self, claim: Object, name: str | None) -> None:
        volume = self._caches[VOLUMES].get("", name or "")
        if not name:
            await self._lose(claim, "ClaimLost", _NO_NAME)
        elif volume is None:
            await self._lose(claim, "ClaimLost", _LOST)
        elif not volume["spec"].get("claimRef") or storage.is_for(volume, claim):
            await self._bind(volume, claim)
        else:
            await self._lose(claim, "ClaimMisbound", _TWICE)

    async def _lose(self, claim: Object, reason: str, told: str) -> None:
        if read(claim, "status.phase") != "Lost":
            await self._write(CLAIMS, claim, {"status": {"phase": "Lost", "accessModes": None, "capacity": None}}, status=True)
            self._recorder.tell(claim, reason, told, warning=True)

    async def _bind(self, volume: Object, claim: Object) -> None:
        """The volume first: who has it is decided there. Each step only where it has not been taken; so it goes on where it had stopped."""
        volume = await self._give(volume, claim)
        volume = await self._phase(volume, "Bound")
        name = volume["metadata"]["name"]
        notes = {BOUND: "yes"} if read(claim, "spec.volumeName") == name else {BOUND: "yes", BY_CONTROLLER: "yes"}
        if read(claim, "spec.volumeName") != name or BOUND not in (claim["metadata"].get("annotations") or {}):
            claim = await self._write(CLAIMS, claim, {"metadata": {"annotations": notes}, "spec": {"volumeName": name}})
        status = {"phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"]}
        if {key: read(claim, f"status.{key}") for key in status} != status:
            await self._write(CLAIMS, claim, {"status": status}, status=True)

    async def _give(self, volume: Object, claim: Object) -> Object:
        ref = volume["spec"].get("claimRef") or {}
        if ref.get("uid") == claim["metadata"]["uid"]:
            return volume
        change: Object = {"spec": {"claimRef": storage.reference(claim)}}
        if not ref:
            change["metadata"] = {"annotations": {BY_CONTROLLER: "yes"}}
        return await self._write(VOLUMES, volume, change)

    # --- volumes

    async def _volume(self, volume: Object | None) -> None:
        if volume is None or objects.is_going(volume):
            return
        ref = volume["spec"].get("claimRef")
        if not ref or not ref.get("uid"):
            await self._phase(volume, "Available")
            return
        claim = await self._claimed(ref)
        if claim is None:
            if read(volume, "status.phase") not in ("Released", "Failed"):
                await self._phase(volume, "Released")
        elif read(claim, "spec.volumeName") == volume["metadata"]["name"]:
            await self._phase(volume, "Bound")
        elif read(claim, "spec.volumeName"):
            await self._let_go(volume)

    async def _claimed(self, ref: Object) -> Object | None:
        """Asked for where the copies do not know it: to call a volume free whose claim is only new would be the end of its data."""
        known = self._caches[CLAIMS].get(ref.get("namespace", ""), ref["name"])
        if known is None:
            try:
                known = await self._client.get(CLAIMS, ref["name"], namespace=ref.get("namespace", ""))
            except ApiError as error:
                if error.code != 404:
                    raise
        return known if known is not None and known["metadata"]["uid"] == ref["uid"] else None

    async def _let_go(self, volume: Object) -> None:
        """Its claim has got another one: what was made for the claim can go, what people made is free again."""
        notes = volume["metadata"].get("annotations") or {}
        if storage.MADE_BY in notes and read(volume, "spec.persistentVolumeReclaimPolicy") == "Delete":
            await self._phase(volume, "Released")
        elif BY_CONTROLLER in notes:
            await self._write(VOLUMES, volume, {"metadata": {"annotations": {BY_CONTROLLER: None}}, "spec": {"claimRef": None}})

    async def _phase(self, volume: Object, phase: str) -> Object:
        if read(volume, "status.phase") == phase:
            return volume
        return await self._write(VOLUMES, volume, {"status": {"phase": phase, "message": None, "reason": None}}, status=True)

    async def _write(self, resource: str, obj: Object, change: dict[str, Any], *, status: bool = False) -> Object:
        """As it was when it was looked at, or not at all: of two claims for one volume one hears a conflict, and looks again."""
        metadata = obj["metadata"]
        guarded = {**change, "metadata": {**change.get("metadata", {}), "resourceVersion": metadata["resourceVersion"]}}
        place = {"namespace": metadata.get("namespace", ""), "subresource": "status" if status else ""}
        written = await self._client.patch(resource, metadata["name"], guarded, **place)
        await self._caches[resource].seen(written["metadata"]["resourceVersion"])
        return written
