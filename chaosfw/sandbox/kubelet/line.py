"""
A node's line to the API server, which can be cut: a client that waits, as one does to whom no packet comes any more.

Made by the control process around each kubelet's client. Nothing is lost in it and nothing refused: what was asked while it was cut is
asked when it is whole again, and an answer or an event that was on its way arrives then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from chaosfw.sandbox.client.verbs import ApiError, Client, Object, PatchStyle

_T = TypeVar("_T")


class Line:
    """A :class:`~chaosfw.sandbox.client.verbs.Client` over another one."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._whole = asyncio.Event()
        self._whole.set()

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    async def wait(self) -> None:
        """Until it is whole."""
        await self._whole.wait()

    async def get(self, resource: str, name: str, *, namespace: str = "") -> Object:
        return await self._pass(lambda: self._client.get(resource, name, namespace=namespace))

    async def list(self, resource: str, *, namespace: str = "", labels: str = "", fields: str = "") -> tuple[list[Object], str]:
        return await self._pass(lambda: self._client.list(resource, namespace=namespace, labels=labels, fields=fields))

    async def watch(
        self, resource: str, *, since: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        await self._whole.wait()
        async for event in self._client.watch(resource, since=since, namespace=namespace, labels=labels, fields=fields):
            await self._whole.wait()
            yield event

    async def create(self, resource: str, body: Object, *, namespace: str = "") -> Object:
        return await self._pass(lambda: self._client.create(resource, body, namespace=namespace))

    async def replace(self, resource: str, name: str, body: Object, *, namespace: str = "", subresource: str = "") -> Object:
        return await self._pass(lambda: self._client.replace(resource, name, body, namespace=namespace, subresource=subresource))

    async def patch(
        self, resource: str, name: str, body: Any, *, namespace: str = "", subresource: str = "", style: PatchStyle = "merge"
    ) -> Object:
        return await self._pass(lambda: self._client.patch(resource, name, body, namespace=namespace, subresource=subresource, style=style))

    async def delete(
        self, resource: str, name: str, *, namespace: str = "", uid: str = "", grace: int | None = None, propagation: str = ""
    ) -> Object:
        return await self._pass(
            lambda: self._client.delete(resource, name, namespace=namespace, uid=uid, grace=grace, propagation=propagation)
        )

    async def evict(self, name: str, *, namespace: str) -> Object:
        return await self._pass(lambda: self._client.evict(name, namespace=namespace))

    async def _pass(self, call: Callable[[], Awaitable[_T]]) -> _T:
        await self._whole.wait()
        try:
            answer = await call()
        except (ApiError, OSError):
            await self._whole.wait()
            raise
        await self._whole.wait()
        return answer
