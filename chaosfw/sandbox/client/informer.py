"""
A kept copy of one resource: list, then watch, again from the start when the server says the version is too old.

Used by controllers, scheduler and kubelet. Objects in the cache are shared: readers must not change them. Callbacks run on
the event loop, in order, after the cache has changed; they must be quick and must not raise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Protocol

from chaosfw.sandbox.client.verbs import ApiError, Client, Object

LOG = logging.getLogger("chaosfw.sandbox")
RETRY_AFTER = 0.2
"""Seconds before a broken list or watch is tried again: the server is on this machine, so soon."""

Key = tuple[str, str]
"""(namespace, name)."""


class Listener(Protocol):
    """Told of every change. ``old`` is None for a new object, ``new`` for a deleted one."""

    def __call__(self, old: Object | None, new: Object | None, /) -> None: ...


def key_of(obj: Object) -> Key:
    return (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])


class Informer:
    """
    ``start`` returns once the first list is in the cache. ``seen`` waits until the cache has caught up with a write of ours,
    which is how a reconciler reads its own writes.
    """

    def __init__(self, client: Client, resource: str, *, namespace: str = "", labels: str = "", fields: str = "") -> None:
        self.resource = resource
        self._client = client
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._objects: dict[Key, Object] = {}
        self._listeners: list[Listener] = []
        self._version = 0
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._synced = asyncio.Event()

    # --- reading

    def get(self, namespace: str, name: str) -> Object | None:
        return self._objects.get((namespace, name))

    def all(self, *, namespace: str = "") -> Iterator[Object]:
        """A snapshot: the cache may change while the caller goes through it."""
        for key, obj in list(self._objects.items()):
            if not namespace or key[0] == namespace:
                yield obj

    def __len__(self) -> int:
        return len(self._objects)

    # --- following

    def listen(self, listener: Listener) -> None:
        """Objects already in the cache are told at once, as new."""
        self._listeners.append(listener)
        for obj in list(self._objects.values()):
            listener(None, obj)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"informer {self.resource}")
        await self._synced.wait()

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def seen(self, version: str, *, timeout: float = 5.0) -> None:
        """Until the cache holds everything up to ``version``; after ``timeout`` it returns all the same."""
        wanted = int(version)
        if self._version >= wanted:
            return
        caught_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, caught_up))
        await asyncio.wait([caught_up], timeout=timeout)

    # --- the loop

    async def _run(self) -> None:
        while True:
            try:
                await self._follow(await self._relist())
            except ApiError as error:
                if error.code == 410:
                    continue
                LOG.warning("informer of %s: %s; trying again", self.resource, error)
            except (TimeoutError, OSError) as error:
                LOG.warning("informer of %s: %s; trying again", self.resource, error)
            except Exception:
                LOG.exception("informer of %s failed; trying again", self.resource)
            await asyncio.sleep(RETRY_AFTER)

    async def _relist(self) -> str:
        found, version = await self._client.list(self.resource, namespace=self._namespace, labels=self._labels, fields=self._fields)
        fresh = {key_of(obj): obj for obj in found}
        for key in [key for key in self._objects if key not in fresh]:
            self._apply(key, None)
        for key, obj in fresh.items():
            known = self._objects.get(key)
            if known is None or known["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
                self._apply(key, obj)
        self._advance(version)
        self._synced.set()
        return version

    async def _follow(self, since: str) -> None:
        watch = self._client.watch(self.resource, since=since, namespace=self._namespace, labels=self._labels, fields=self._fields)
        async for event, obj in watch:
            if event != "BOOKMARK":
                self._apply(key_of(obj), None if event == "DELETED" else obj, last=obj)
            self._advance(obj["metadata"]["resourceVersion"])

    def _apply(self, key: Key, new: Object | None, *, last: Object | None = None) -> None:
        old = self._objects.get(key)
        if new is None:
            self._objects.pop(key, None)
            old = last or old
        else:
            self._objects[key] = new
        for listener in self._listeners:
            try:
                listener(old, new)
            except Exception:
                LOG.exception("a listener of %s failed on %s", self.resource, key)

    def _advance(self, version: str) -> None:
        self._version = max(self._version, int(version))
        still = []
        for wanted, caught_up in self._waiting:
            if wanted > self._version:
                still.append((wanted, caught_up))
            elif not caught_up.done():
                caught_up.set_result(None)
        self._waiting = still


async def started(*informers: Informer) -> None:
    """Starts them together."""
    await asyncio.gather(*(informer.start() for informer in informers))


async def stopped(*informers: Informer) -> None:
    await asyncio.gather(*(informer.stop() for informer in informers))
