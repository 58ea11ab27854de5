"""
What the claims of a pod say of where it may run, and their part of giving it a node: volumes that wait for a first pod are asked for there.

Used by the scheduler (Kubernetes: the plugin VolumeBinding). It binds no claim to a volume; that is a controller's, for which it waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from chaosfw.sandbox.client.informer import Informer, key_of, started, stopped
from chaosfw.sandbox.client.verbs import Client, Object
from chaosfw.sandbox.objects import storage

CONFLICT: Final = "node(s) didn't match PersistentVolume's node affinity"
NOTHING: Final = "node(s) didn't find available persistent volumes to bind"
ABSENT: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
WAIT: Final = 600.0
"""Seconds for all of a pod's claims to be bound (VolumeBindingArgs.bindTimeoutSeconds)."""


class NotBound(Exception):
    """The volumes did not come, or for another node."""


class PodClaims:
    """Those of one pod, as they are now. ``trouble``: why it can be nowhere."""

    def __init__(self, pod: Object, claims: Informer, volumes: Informer, classes: Informer) -> None:
        self._pod, self._claims, self._volumes, self._classes = pod, claims, volumes, classes
        namespace, names = pod["metadata"]["namespace"], storage.claims_of(pod)
        found = {name: claims.get(namespace, name) for name in names}
        self._all = [claim for claim in found.values() if claim is not None]
        self.trouble = next((why for name, claim in found.items() if (why := self._hinders(name, claim))), "")

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def unbound(self) -> list[Object]:
        return [claim for claim in self._all if not storage.is_bound(claim)]

    def refusal(self, node: Object) -> str:
        """Why the pod can not be on that node; empty: it can."""
        return next((why for claim in self._all if (why := self._refuses(claim, node))), "")

    def volume_for(self, claim: Object, node: Object) -> Object | None:
        """One that is there and free."""
        return storage.best(claim, self._volumes.all(), node=node)

    def _hinders(self, name: str, claim: Object | None) -> str:
        if claim is None:
            return f'persistentvolumeclaim "{name}" not found'
        if (claim.get("status") or {}).get("phase") == "Lost":
            return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim["spec"].get("volumeName", "")}"'
        if claim["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{name}" is being deleted'
        named = claim["spec"].get("volumeName")
        waits = not named and storage.waits_for_pod(self._classes.get("", claim["spec"].get("storageClassName") or ""))
        return "" if storage.is_bound(claim) or waits else "pod has unbound immediate PersistentVolumeClaims"

    def _refuses(self, claim: Object, node: Object) -> str:
        if storage.is_bound(claim):
            volume = self._volumes.get("", claim["spec"]["volumeName"])
            if volume is None:
                return ABSENT
            return "" if storage.usable_from(volume, node) else CONFLICT
        chosen = (claim["metadata"].get("annotations") or {}).get(storage.SELECTED_NODE)
        if chosen and chosen != node["metadata"]["name"]:
            return CONFLICT  # its volume is on the way, for another node
        made = self._classes.get("", claim["spec"]["storageClassName"]) or {}
        makes = made.get("provisioner") != storage.NOBODY and storage.offered(made, node)
        return "" if makes or self.volume_for(claim, node) is not None else NOTHING


class Claims:
    """``changed`` is called when something was bound, made or removed that could let a waiting pod run."""

    def __init__(self, client: Client, *, changed: Callable[[], None]) -> None:
        self._client, self._changed = client, changed
        self._claims = Informer(client, storage.CLAIMS)
        self._volumes = Informer(client, storage.VOLUMES)
        self._classes = Informer(client, storage.CLASSES)
        self._waiting: set[asyncio.Event] = set()

    async def start(self) -> None:
        await started(self._claims, self._volumes, self._classes)
        for informer in (self._claims, self._volumes, self._classes):
            informer.listen(self._on_change)

    async def stop(self) -> None:
        await stopped(self._claims, self._volumes, self._classes)

    def of(self, pod: Object) -> PodClaims:
        return PodClaims(pod, self._claims, self._volumes, self._classes)

    async def prepare(self, pod: Object, node: Object, *, still: Callable[[], bool]) -> None:
        """
        Returns when all claims are bound to volumes that can be used from the node. NotBound: they are not within ``WAIT``, or the pod does
        not want them any more, which ``still`` says. ApiError: a claim or volume could not be written.
        """
        mine = self.of(pod)
        for claim in mine.unbound:
            volume = mine.volume_for(claim, node)
            if volume is not None and not volume["spec"].get("claimRef"):
                await self._reserve(volume, claim)
            elif volume is None:
                await self._choose(claim, node)
        news = asyncio.Event()
        self._waiting.add(news)
        try:
            async with asyncio.timeout(WAIT):
                while not self._settled(pod, node, still=still):
                    news.clear()
                    await news.wait()
        except TimeoutError:
            raise NotBound("timed out waiting for the condition") from None
        finally:
            self._waiting.discard(news)

    def _settled(self, pod: Object, node: Object, *, still: Callable[[], bool]) -> bool:
        mine = self.of(pod)
        if not still() or mine.trouble:
            raise NotBound(mine.trouble or "pod does not exist any more")
        if why := mine.refusal(node):
            raise NotBound(why)
        return not mine.unbound

    async def _reserve(self, volume: Object, claim: Object) -> None:
        change = {
            "metadata": {"resourceVersion": volume["metadata"]["resourceVersion"], "annotations": {storage.BY_CONTROLLER: "yes"}},
            "spec": {"claimRef": storage.reference(claim)},
        }
        written = await self._client.patch(storage.VOLUMES, volume["metadata"]["name"], change)
        await self._volumes.seen(written["metadata"]["resourceVersion"])

    async def _choose(self, claim: Object, node: Object) -> None:
        name = node["metadata"]["name"]
        if (claim["metadata"].get("annotations") or {}).get(storage.SELECTED_NODE) == name:
            return
        change = {"metadata": {"uid": claim["metadata"]["uid"], "annotations": {storage.SELECTED_NODE: name}}}
        namespace, claimed = key_of(claim)
        written = await self._client.patch(storage.CLAIMS, claimed, change, namespace=namespace)
        await self._claims.seen(written["metadata"]["resourceVersion"])

    def wake(self) -> None:
        """Who waits looks again: something has changed, or the pod has."""
        for news in self._waiting:
            news.set()

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        self.wake()
        self._changed()
