"""
Events for people: what a controller did, on the object it did it to. Repeats of the same words only raise a count.

Never in anyone's way: an event that cannot be written is dropped with a debug line.
"""

from __future__ import annotations

import asyncio
import logging

from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.controllers.objects import now
from chaosfw.sandbox.objects.names import hashed

LOG = logging.getLogger("chaosfw.sandbox")


class Recorder:
    """Writes events in the name of one component."""

    def __init__(self, client: Client, component: str) -> None:
        self._client, self._component = client, component
        self._counts: dict[str, int] = {}
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
        self._counts[name] = self._counts.get(name, 0) + 1
        try:
            if self._counts[name] > 1:
                change = {"count": self._counts[name], "lastTimestamp": now()}
                await self._client.patch("events", name, change, namespace=namespace)
            else:
                await self._client.create("events", self._event(about, name, namespace, reason, message, kind), namespace=namespace)
        except ApiError as error:
            LOG.debug("event %s on %s not written: %s", reason, name, error)

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
