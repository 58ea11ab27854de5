"""
The client without a socket: calls the verbs of an API server in the same process, and follows its store.

For controllers, scheduler and kubelet that share the server's event loop. It knows the server only as :class:`Backend`, and
answers copies, so that nobody can change what is stored by holding on to an answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from chaosfw.sandbox.client.verbs import Object, PatchStyle


class Backend(Protocol):
    """What the API server offers callers in its own process. Resources are named as in :class:`~.verbs.Client`."""

    def get(self, resource: str, name: str, *, namespace: str) -> Object: ...

    def list(self, resource: str, *, namespace: str, labels: str, fields: str) -> tuple[list[Object], str]: ...

    def watch(self, resource: str, *, since: str, namespace: str, labels: str, fields: str) -> AsyncIterator[tuple[str, Object]]: ...

    def create(self, resource: str, body: Object, *, namespace: str) -> Object: ...

    def replace(self, resource: str, name: str, body: Object, *, namespace: str, subresource: str) -> Object: ...

    def patch(self, resource: str, name: str, body: Any, *, namespace: str, subresource: str, style: PatchStyle) -> Object: ...

    def delete(self, resource: str, name: str, *, namespace: str, uid: str, grace: int | None, propagation: str) -> Object: ...

    def evict(self, name: str, *, namespace: str) -> Object: ...


class LocalClient:
    """A :class:`~.verbs.Client` over a backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, resource: str, name: str, *, namespace: str = "") -> Object:
        return self._backend.get(resource, name, namespace=namespace)

    async def list(self, resource: str, *, namespace: str = "", labels: str = "", fields: str = "") -> tuple[list[Object], str]:
        return self._backend.list(resource, namespace=namespace, labels=labels, fields=fields)

    def watch(
        self, resource: str, *, since: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        return self._backend.watch(resource, since=since, namespace=namespace, labels=labels, fields=fields)

    async def create(self, resource: str, body: Object, *, namespace: str = "") -> Object:
        return self._backend.create(resource, body, namespace=namespace)

    async def replace(self, resource: str, name: str, body: Object, *, namespace: str = "", subresource: str = "") -> Object:
        return self._backend.replace(resource, name, body, namespace=namespace, subresource=subresource)

    async def patch(
        self, resource: str, name: str, body: Any, *, namespace: str = "", subresource: str = "", style: PatchStyle = "merge"
    ) -> Object:
        return self._backend.patch(resource, name, body, namespace=namespace, subresource=subresource, style=style)

    async def delete(
        self, resource: str, name: str, *, namespace: str = "", uid: str = "", grace: int | None = None, propagation: str = ""
    ) -> Object:
        return self._backend.delete(resource, name, namespace=namespace, uid=uid, grace=grace, propagation=propagation)

    async def evict(self, name: str, *, namespace: str) -> Object:
        return self._backend.evict(name, namespace=namespace)
