"""
The garbage collector: what belongs to something that is gone goes too: in the background, before its owner, or not at all.

It keeps a graph of owners from all caches it is given and of all kinds that somebody defines, and asks the server before it believes that
an owner never existed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass

from chaosfw.sandbox.client.informer import Informer, key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.kinds.registry import BUILT_IN
from chaosfw.sandbox.kinds.row import Kind

DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
REMEMBERED = 1_000
FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_ROWS: dict[tuple[str, str], Kind] = {(row.api_version, row.kind): row for row in BUILT_IN}


@dataclass(frozen=True, slots=True)
class Node:
    """Where an object of the graph is to be found."""

    resource: str
    key: Key


class Garbage:
    """Works on uids: ``(uid, "")`` is the key of an object."""

    def __init__(self, caches: Caches, resources: tuple[str, ...]) -> None:
        self._caches, self._client, self._resources = caches, caches.client, resources
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}
        self._custom: dict[str, Informer] = {}
        """Of kinds that somebody has defined: they own as any other does."""
        self._seen_off: dict[str, None] = {}
        """Owners that were there and went, the latest: nobody has to be asked, and of a kind that went with them nobody could be."""
        self._starting: set[asyncio.Task[None]] = set()
        self.loop = Loop("garbage collector", self.reconcile)

    def listen(self) -> None:
        for resource in self._resources:
            self._caches[resource].listen(lambda old, new, resource=resource: self._on_change(resource, old, new))
        self._caches[DEFINITIONS].listen(self._on_definition)

    async def stop(self) -> None:
        await asyncio.gather(*self._starting, *(informer.stop() for informer in self._custom.values()), return_exceptions=True)

    def _on_definition(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            if old is not None and (gone := self._custom.pop(_resource(old), None)) is not None:
                self._soon(self._undefine(_resource(old), gone))
            return
        resource, established = _resource(new), objects.condition(new, "Established")
        if resource not in self._custom and established is not None and established["status"] == "True":
            informer = self._custom[resource] = Informer(self._client, resource)
            informer.listen(lambda old, new: self._on_change(resource, old, new))
            self._soon(informer.start())

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _undefine(self, resource: str, informer: Informer) -> None:
        await informer.stop()
        for obj in informer.all():
            self._on_change(resource, obj, None)

    def _on_change(self, resource: str, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._forget(old or {})
            return
        uid = new["metadata"]["uid"]
        if old is not None and old["metadata"]["uid"] != uid:
            self._forget(old)
        self._nodes[uid] = Node(resource, key_of(new))
        before, now = _owners(old), _owners(new)
        for gone in before - now:
            self._dependents.get(gone, set()).discard(uid)
        for owner in now:
            self._dependents.setdefault(owner, set()).add(uid)
        if now != before or (objects.is_going(new) and _waits_for_us(new)):
            self.loop.add((uid, ""))

    def _forget(self, old: Object) -> None:
        uid = old["metadata"]["uid"]
        self._nodes.pop(uid, None)
        for owner in _owners(old):
            dependents = self._dependents.get(owner, set())
            dependents.discard(uid)
            if owner in self._nodes:
                self.loop.add((owner, ""))  # it may have waited for this one
        dependents = self._dependents.pop(uid, set())
        if dependents:
            self._seen_off[uid] = None
            if len(self._seen_off) > REMEMBERED:
                del self._seen_off[next(iter(self._seen_off))]
        for dependent in dependents:
            self.loop.add((dependent, ""))

    async def reconcile(self, key: Key) -> None:
        obj = self._object(key[0])
        if obj is None:
            return
        if objects.is_going(obj):
            await self._finish(obj)
        elif _owners(obj):
            await self._judge(obj)

    def _object(self, uid: str) -> Object | None:
        node = self._nodes.get(uid)
        informer = (self._custom.get(node.resource) or self._caches[node.resource]) if node is not None else None
        found = informer.get(*node.key) if node is not None and informer is not None else None
        return found if found is not None and found["metadata"]["uid"] == uid else None

    # --- an owner on its way out

    async def _finish(self, owner: Object) -> None:
        uid, finalizers = owner["metadata"]["uid"], owner["metadata"].get("finalizers", ())
        dependents = [found for name in set(self._dependents.get(uid, ())) if (found := self._object(name)) is not None]
        if ORPHAN in finalizers:
            for dependent in dependents:
                await self._disown(dependent, {uid})
            await self._drop_finalizer(owner, ORPHAN)
        elif FOREGROUND in finalizers:
            if not any(_blocks(dependent, uid) for dependent in dependents):
                await self._drop_finalizer(owner, FOREGROUND)
            for dependent in dependents:
                if not objects.is_going(dependent):
                    self.loop.add((dependent["metadata"]["uid"], ""))

    async def _drop_finalizer(self, owner: Object, name: str) -> None:
        left = [known for known in owner["metadata"]["finalizers"] if known != name]
        await self._patch(owner, {"finalizers": left or None, "resourceVersion": owner["metadata"]["resourceVersion"]})

    # --- a dependent

    async def _judge(self, obj: Object) -> None:
        """Gone owners are struck off while one that stays is left; without one, the object goes."""
        solid: set[str] = set()
        waiting: set[str] = set()
        dangling: set[str] = set()
        for reference in obj["metadata"].get("ownerReferences", ()):
            state = await self._state_of(obj, reference)
            {"solid": solid, "waiting": waiting, "dangling": dangling}[state].add(reference["uid"])
        if not waiting and not dangling:
            return
        if solid:
            await self._disown(obj, waiting | dangling)
        else:
            foreground = bool(waiting) and bool(self._dependents.get(obj["metadata"]["uid"]))
            await self._delete(obj, "Foreground" if foreground else "Background")

    async def _state_of(self, obj: Object, reference: Object) -> str:
        owner = self._object(reference["uid"])
        if owner is None and reference["uid"] not in self._seen_off and await self._exists(obj, reference):
            return "solid"
        if owner is None:
            return "dangling"
        leaving = objects.is_going(owner) and FOREGROUND in owner["metadata"].get("finalizers", ())
        return "waiting" if leaving else "solid"

    async def _exists(self, obj: Object, reference: Object) -> bool:
        """Owners of kinds that are not watched here are asked for; an unknown kind is left alone."""
        row = _ROWS.get((reference["apiVersion"], reference["kind"]))
        resource, namespaced = (row.resource, row.namespaced) if row is not None else self._defined(reference)
        if not resource:
            return True
        try:
            namespace = obj["metadata"].get("namespace", "") if namespaced else ""
            found = await self._client.get(resource, reference["name"], namespace=namespace)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return bool(found["metadata"]["uid"] == reference["uid"])

    def _defined(self, reference: Object) -> tuple[str, bool]:
        """The resource of a kind that somebody has defined, and whether it is namespaced."""
        group = reference["apiVersion"].rpartition("/")[0]
        for one in self._caches[DEFINITIONS].all():
            if (one["spec"]["group"], one["spec"]["names"]["kind"]) == (group, reference["kind"]):
                return _resource(one), one["spec"]["scope"] == "Namespaced"
        return "", False

    async def _disown(self, obj: Object, owners: set[str]) -> None:
        left = [known for known in obj["metadata"].get("ownerReferences", ()) if known["uid"] not in owners]
        await self._patch(obj, {"ownerReferences": left or None, "uid": obj["metadata"]["uid"]})

    async def _patch(self, obj: Object, metadata: Object) -> None:
        node = self._nodes[obj["metadata"]["uid"]]
        try:
            await self._client.patch(node.resource, node.key[1], {"metadata": metadata}, namespace=node.key[0])
        except ApiError as error:
            if error.code != 404:
                raise

    async def _delete(self, obj: Object, propagation: str) -> None:
        node, uid = self._nodes[obj["metadata"]["uid"]], obj["metadata"]["uid"]
        if set(obj["metadata"].get("finalizers", ())) & {FOREGROUND, ORPHAN}:
            propagation = ""
        try:
            await self._client.delete(node.resource, node.key[1], namespace=node.key[0], uid=uid, propagation=propagation)
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _resource(definition: Object) -> str:
    return f"{definition['spec']['names']['plural']}.{definition['spec']['group']}"


def _owners(obj: Object | None) -> set[str]:
    return {reference["uid"] for reference in obj["metadata"].get("ownerReferences", ())} if obj else set()


def _waits_for_us(obj: Object) -> bool:
    return bool({FOREGROUND, ORPHAN} & set(obj["metadata"].get("finalizers", ())))


def _blocks(dependent: Object, owner: str) -> bool:
    references = dependent["metadata"].get("ownerReferences", ())
    return any(reference["uid"] == owner and reference.get("blockOwnerDeletion") for reference in references)
