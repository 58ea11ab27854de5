"""
Makes volumes for claims and removes them: a directory each, in the sandbox's own. What an external provisioner is to Kubernetes.

Run by :mod:`chaosfw.sandbox.control` under both control planes; claims are bound by theirs. A volume belongs to one zone, as a disk of a
cloud does, and its pods cannot leave it; one that several nodes may have at once is in all zones, as a file system over the network is.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from pathlib import Path
from typing import Final

from chaosfw.sandbox.client.informer import Informer, key_of, started, stopped
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.objects import storage
from chaosfw.sandbox.objects.storage import CLAIMS, CLASSES, VOLUMES

NAME: Final = "chaosfw.dev/directory"
CLASS: Final = "standard"
ZONE: Final = "topology.kubernetes.io/zone"
_SHARED: Final = ("ReadWriteMany", "ReadOnlyMany")


class Provisioner:
    """``start`` returns when the default class is there and claims are followed."""

    def __init__(self, client: Client, *, directory: Path) -> None:
        self._client, self._directory = client, directory
        self._claims, self._volumes = Informer(client, CLAIMS), Informer(client, VOLUMES)
        self._classes, self._nodes = Informer(client, CLASSES), Informer(client, "nodes")
        self._recorder = Recorder(client, NAME)
        self._loop = Loop("provisioner", self._reconcile)

    async def start(self) -> None:
        await self._client.create(CLASSES, _default())
        await started(self._claims, self._volumes, self._classes, self._nodes)
        for informer in (self._claims, self._volumes):
            informer.listen(self._on_change)
        self._loop.start()

    async def stop(self) -> None:
        await self._loop.stop()
        await self._recorder.stop()
        await stopped(self._claims, self._volumes, self._classes, self._nodes)

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (_asks(new) or _is_left(new)):
            self._loop.add(key_of(new))

    async def _reconcile(self, key: Key) -> None:
        try:
            if key[0]:
                await self._make(self._claims.get(*key))
            else:
                await self._remove(self._volumes.get(*key))
        except ApiError as error:
            if error.code not in (404, 409):  # gone meanwhile, or made already
                raise

    async def _make(self, claim: Object | None) -> None:
        if claim is None or not _asks(claim):
            return
        made = self._classes.get("", claim["spec"].get("storageClassName") or "")
        if made is None or self._volumes.get("", _name(claim)) is not None:
            return
        if why := _cannot(claim):
            self._recorder.tell(claim, "ProvisioningFailed", why, warning=True)
            return
        chosen = (claim["metadata"].get("annotations") or {}).get(storage.SELECTED_NODE)
        if storage.waits_for_pod(made) and not chosen:
            return
        node = self._nodes.get("", chosen) if chosen else self._any_node(made)
        if node is None:
            await self._choose_again(claim)
            return
        place = storage.place_of(self._directory, _name(claim))
        await asyncio.get_running_loop().run_in_executor(None, lambda: place.mkdir(parents=True, exist_ok=True))
        written = await self._client.create(VOLUMES, _volume(claim, made, place=place, zone=_zone(node)))
        await self._volumes.seen(written["metadata"]["resourceVersion"])
        self._recorder.tell(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {_name(claim)}")

    def _any_node(self, made: Object) -> Object | None:
        """Of a class that does not wait for a pod: in the zone that has the fewest volumes."""
        filled = Counter(_zone_of_volume(volume) for volume in self._volumes.all())
        able = [node for node in self._nodes.all() if storage.offered(made, node)]
        return min(able, key=lambda node: (filled[_zone(node)], _zone(node), node["metadata"]["name"]), default=None)

    async def _choose_again(self, claim: Object) -> None:
        """The node is no more: the scheduler shall say another one."""
        metadata = claim["metadata"]
        change = {"metadata": {"uid": metadata["uid"], "annotations": {storage.SELECTED_NODE: None}}}
        self._recorder.tell(claim, "ProvisioningFailed", "no node is there for the volume", warning=True)
        await self._client.patch(CLAIMS, metadata["name"], change, namespace=metadata["namespace"])

    async def _remove(self, volume: Object | None) -> None:
        if volume is None or not _is_left(volume):
            return
        name = volume["metadata"]["name"]
        await self._client.delete(VOLUMES, name, uid=volume["metadata"]["uid"])
        place = storage.place_of(self._directory, name)
        await asyncio.get_running_loop().run_in_executor(None, lambda: shutil.rmtree(place, ignore_errors=True))


def _default() -> Object:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS, "annotations": {storage.DEFAULT: "true"}},
        "provisioner": NAME,
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _asks(claim: Object) -> bool:
    """A claim without a volume that was given to us by the controller that binds them."""
    asked = (claim["metadata"].get("annotations") or {}).get(storage.PROVISIONER) == NAME
    return asked and not read(claim, "spec.volumeName") and not claim["metadata"].get("deletionTimestamp")


def _is_left(volume: Object) -> bool:
    """One of ours whose claim has gone, and which shall go with it."""
    ours = (volume["metadata"].get("annotations") or {}).get(storage.MADE_BY) == NAME
    left = read(volume, "status.phase") == "Released" and not volume["metadata"].get("deletionTimestamp")
    return ours and left and read(volume, "spec.persistentVolumeReclaimPolicy") == "Delete"


def _cannot(claim: Object) -> str:
    if read(claim, "spec.volumeMode") == "Block":
        return "a block device was asked for, and there are directories only"
    if read(claim, "spec.dataSource") or read(claim, "spec.dataSourceRef"):
        return "a volume with content was asked for (spec.dataSource), and there are empty ones only"
    return ""


def _name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _zone(node: Object) -> str:
    return str((node["metadata"].get("labels") or {}).get(ZONE, ""))


def _zone_of_volume(volume: Object) -> str:
    terms = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    found = [value for term in terms for one in term.get("matchExpressions") or () if one["key"] == ZONE for value in one["values"]]
    return found[0] if found else ""


def _volume(claim: Object, made: Object, *, place: Path, zone: str) -> Object:
    spec = claim["spec"]
    body: Object = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _name(claim), "annotations": {storage.MADE_BY: NAME}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": made.get("reclaimPolicy", "Delete"),
            "storageClassName": made["metadata"]["name"],
            "volumeMode": "Filesystem",
            "hostPath": {"path": str(place), "type": "DirectoryOrCreate"},
            "claimRef": storage.reference(claim),
        },
    }
    if zone and not any(mode in _SHARED for mode in spec["accessModes"]):
        term = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": [zone]}]}
        body["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
    return body
