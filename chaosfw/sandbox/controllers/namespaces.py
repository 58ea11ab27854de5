"""
The namespace controller: what every namespace gets, and the emptying of one that is deleted.

A namespace is gone when nothing is left in it; pods take their grace, so it looks again each time one goes.
"""

from __future__ import annotations

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.kinds.custom import DEFINITION
from chaosfw.sandbox.kinds.registry import BUILT_IN

ROOT_CA = "kube-root-ca.crt"
LOOK_AGAIN = 0.1
"""Seconds between looks at a namespace that still has something in it: other kinds' deletions wake nobody here."""


class Namespaces:
    """Reconciles namespaces; woken by them, by lost defaults, and by vanished pods."""

    def __init__(self, caches: Caches, *, root_ca: str) -> None:
        self._caches, self._client, self._root_ca = caches, caches.client, root_ca
        self.loop = Loop("namespaces", self.reconcile)

    def listen(self) -> None:
        self._caches["namespaces"].listen(self._on_namespace)
        for resource in ("serviceaccounts", "configmaps", "pods"):
            self._caches[resource].listen(self._on_content)

    def _on_namespace(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(("", new["metadata"]["name"]))

    def _on_content(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is None:
            self.loop.add(("", old["metadata"]["namespace"]))

    async def reconcile(self, key: Key) -> None:
        namespace = self._caches["namespaces"].get(*key)
        if namespace is None:
            return
        if objects.is_going(namespace):
            await self._empty(namespace)
        else:
            await self._furnish(key[1])

    async def _furnish(self, name: str) -> None:
        if self._caches["serviceaccounts"].get(name, "default") is None:
            await self._create("serviceaccounts", {"metadata": {"name": "default"}}, name)
        if self._caches["configmaps"].get(name, ROOT_CA) is None:
            told = {"kubernetes.io/description": "Contains the certificate authority of this sandbox's API server."}
            body = {"metadata": {"name": ROOT_CA, "annotations": told}, "data": {"ca.crt": self._root_ca}}
            await self._create("configmaps", body, name)

    async def _create(self, resource: str, body: Object, namespace: str) -> None:
        try:
            written = await self._client.create(resource, body, namespace=namespace)
        except ApiError as error:
            if error.reason not in ("AlreadyExists", "Forbidden", "NotFound"):
                raise
            return
        await self._caches[resource].seen(written["metadata"]["resourceVersion"])

    async def _empty(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        left = 0
        for resource in await self._resources():
            left += await self._delete_all(resource, name)
        if left:
            self.loop.later(("", name), LOOK_AGAIN)
        elif namespace["spec"].get("finalizers"):
            body = {**namespace, "spec": {**namespace["spec"], "finalizers": []}}
            await self._client.replace("namespaces", name, body, subresource="finalize")

    async def _resources(self) -> list[str]:
        built_in = [row.resource for row in BUILT_IN if row.namespaced and "list" in row.verbs and row.view is None]
        definitions, _ = await self._client.list(DEFINITION.resource)
        own = [found["metadata"]["name"] for found in definitions if found["spec"].get("scope") == "Namespaced"]
        return [*built_in, *own]

    async def _delete_all(self, resource: str, namespace: str) -> int:
        """How many are still there."""
        found, _ = await self._client.list(resource, namespace=namespace)
        for obj in found:
            if not objects.is_going(obj):
                try:
                    await self._client.delete(resource, obj["metadata"]["name"], namespace=namespace, uid=obj["metadata"]["uid"])
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise
        if not found:
            return 0
        rest, _ = await self._client.list(resource, namespace=namespace)
        return len(rest)
