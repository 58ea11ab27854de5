"""
Events for people: what a controller did, on the object it did it to. Repeats of the same words only raise a count.

Never in anyone's way: an event that cannot be written is dropped with a debug line.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict

from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.controllers.objects import now
from chaosfw.sandbox.objects.names import hashed

LOG = logging.getLogger("chaosfw.sandbox")
REMEMBERED = 4096
"""Events whose repeats are counted: maxLruCacheEntries of client-go's tools/record."""


class Recorder:
    """Writes events in the name of one component."""

    def __init__(self, client: Client, component: str) -> None:
        self._client, self._component = client, component
        self._counts: OrderedDict[str, int] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Returns at once."""
        task = asyncio.get_running_loop().create_task(self._write(about, reason, message, "Warning" if warning else "Normal"))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _write(self, about: Object, reason: str, message: str, kind: str) -> None:
        namespace = about["metadata"].get("namespace") or "default"
        ending = hashed(f"{about['metadata']['uid']} {reason} {message}", 16)
        name = f"{about['metadata']['name'][:200]}.{ending}"
        self._counts[name] = count = self._counts.pop(name, 0) + 1
        if len(self._counts) > REMEMBERED:
            self._counts.popitem(last=False)
        event = self._event(about, name, namespace, reason, message, kind)
        try:
            if count > 1 and await self._raised(name, namespace, count):
                return
            await self._client.create("events", event, namespace=namespace)
        except ApiError as error:
            LOG.debug("event %s on %s not written: %s", reason, name, error)

    async def _raised(self, name: str, namespace: str, count: int) -> bool:
        """False: it has gone by its age meanwhile, and begins anew."""
        try:
            await self._client.patch("events", name, {"count": count, "lastTimestamp": now()}, namespace=namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            self._counts[name] = 1
            return False
        return True

    def _event(self, about: Object, name: str, namespace: str, reason: str, message: str, kind: str) -> Object:
        metadata, at = about["metadata"], now()
        involved = {
            "kind": about["kind"],
            "apiVersion": about["apiVersion"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        if metadata.get("namespace"):
            involved["namespace"] = metadata["namespace"]
        return {
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
