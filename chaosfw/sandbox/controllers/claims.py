"""
Whose pods: a controller adopts those that match its owner's selector and have no owner, and lets go of its own that match no longer.

Used by every controller that makes pods itself: it knows whose they are and which are available; what to make and delete it is told.
"""

from __future__ import annotations

from collections.abc import Callable

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Loop
from chaosfw.sandbox.objects import selectors


class Claims:
    """
    The pods of one kind of owner, whose ``loop`` gets the keys of owners that a change of a pod, or the time, concerns. ``finalizer``: one
    that each of them has while it is claimed.
    """

    def __init__(self, caches: Caches, *, resource: str, kind: str, loop: Loop, finalizer: str = "") -> None:
        self._caches, self._client = caches, caches.client
        self._resource, self._kind, self._loop, self._finalizer = resource, kind, loop, finalizer

    def listen(self) -> None:
        self._caches["pods"].listen(self._on_pod)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for pod in filter(None, (old, new)):
            owner = objects.controller_of(pod)
            if owner is not None and owner["kind"] == self._kind:
                self._loop.add((pod["metadata"]["namespace"], owner["name"]))
        if new is not None and objects.controller_of(new) is None:
            self._wake_adopters(new)

    def _wake_adopters(self, pod: Object) -> None:
        for candidate in self._caches[self._resource].all(namespace=pod["metadata"]["namespace"]):
            selector = selectors.of_object(candidate["spec"].get("selector"))
            if selector and selector.matches(pod["metadata"].get("labels")):
                self._loop.add(key_of(candidate))

    def of(self, owner: Object) -> list[Object]:
        """Those that it has."""
        return [pod for pod in self._caches["pods"].all(namespace=owner["metadata"]["namespace"]) if objects.owned_by(pod, owner)]

    def available(self, owner: Object, pod: Object) -> bool:
        """Ready for as long as its owner asks; one that is not yet is looked at again when it will be."""
        since = objects.ready_since(pod)
        if since is None:
            return False
        settle = owner["spec"].get("minReadySeconds", 0)
        left = settle - (objects.now_seconds() - since)
        if settle and left > 0:
            self._loop.later(key_of(owner), max(0.05, left))
            return False
        return True

    async def claim(self, owner: Object, *, takes: Callable[[Object], bool] = lambda pod: True) -> list[Object]:
        """Those that it has from now on. ``takes`` False: matches, and is none of its own all the same."""
        selector = selectors.of_object(owner["spec"].get("selector"))
        mine = []
        for pod in self._caches["pods"].all(namespace=owner["metadata"]["namespace"]):
            matches = bool(selector) and selector is not None and selector.matches(pod["metadata"].get("labels")) and takes(pod)
            if objects.owned_by(pod, owner):
                if matches:
                    mine.append(pod)
                else:
                    await self._release(pod, owner)
            elif matches and objects.controller_of(pod) is None and objects.is_active(pod) and not objects.is_going(owner):
                await self._adopt(pod, owner)
                mine.append(pod)
        return mine

    async def _adopt(self, pod: Object, owner: Object) -> None:
        references = [*pod["metadata"].get("ownerReferences", ()), objects.owner_reference(owner)]
        await self._own(pod, references, {self._finalizer})

    async def _release(self, pod: Object, owner: Object) -> None:
        references = [known for known in pod["metadata"]["ownerReferences"] if known["uid"] != owner["metadata"]["uid"]]
        await self._own(pod, references, set())

    async def _own(self, pod: Object, references: list[Object], finalizers: set[str]) -> None:
        change = {"metadata": {"uid": pod["metadata"]["uid"], "ownerReferences": references or None}}
        if self._finalizer:
            others = [known for known in pod["metadata"].get("finalizers", ()) if known != self._finalizer]
            change["metadata"]["finalizers"] = [*others, *finalizers] or None
        try:
            written = await self._client.patch("pods", pod["metadata"]["name"], change, namespace=pod["metadata"]["namespace"])
        except ApiError as error:
            if error.code != 404:
                raise
        else:
            await self._caches["pods"].seen(written["metadata"]["resourceVersion"])

    async def create(self, pod: Object, owner: Object) -> Object:
        """Made, and seen."""
        written = await self._client.create("pods", pod, namespace=owner["metadata"]["namespace"])
        await self._caches["pods"].seen(written["metadata"]["resourceVersion"])
        return written

    async def delete(self, pod: Object) -> bool:
        """False: it was gone already."""
        metadata = pod["metadata"]
        try:
            gone = await self._client.delete("pods", metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            return False
        if version := gone["metadata"].get("resourceVersion"):  # of one that is gone at once there is a word only, and its event
            await self._caches["pods"].seen(version)
        return True
