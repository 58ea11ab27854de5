"""
The kubelet's voice in ``kubectl describe``: Events, repeated ones counted.

Recording never waits and never fails its caller; a refused event is dropped, as the real recorder does.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Literal

from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.objects.moments import stamp
from chaosfw.timing import Clock


class Recorder:
    def __init__(self, client: Client, *, node: str, clock: Clock) -> None:
        self._client = client
        self._node = node
        self._clock = clock
        self._numbers = itertools.count(clock.wall_ns())
        self._known: dict[tuple[str, str, str], Object] = {}
        self._queue: asyncio.Queue[tuple[str, Object]] = asyncio.Queue()

    async def run(self) -> None:
        """Writes what was recorded, until cancelled."""
        while True:
            namespace, event = await self._queue.get()
            try:
                await self._write(namespace, event)
            except ApiError:
                pass  # the namespace is going away, or the event expired

    def pod(self, pod: Object, kind: Literal["Normal", "Warning"], reason: str, message: str, *, container: str = "") -> None:
        meta = pod["metadata"]
        about = {
            "kind": "Pod",
            "apiVersion": "v1",
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
            "resourceVersion": meta.get("resourceVersion", ""),
        }
        if container:
            about["fieldPath"] = f"spec.containers{{{container}}}"
        self._record(meta["namespace"], about, kind, reason, message)

    def node(self, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._record("default", {"kind": "Node", "apiVersion": "v1", "name": self._node, "uid": self._node}, kind, reason, message)

    def _record(self, namespace: str, about: Object, kind: str, reason: str, message: str) -> None:
        now = stamp(self._clock.wall_ns())
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{about['name']}.{next(self._numbers):x}", "namespace": namespace},
            "involvedObject": about,
            "reason": reason,
            "message": message,
            "type": kind,
            "source": {"component": "kubelet", "host": self._node},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        self._queue.put_nowait((namespace, event))

    async def _write(self, namespace: str, event: Object) -> None:
        key = (event["involvedObject"]["uid"] + event["involvedObject"].get("fieldPath", ""), event["reason"], event["message"])
        known = self._known.get(key)
        if known is None:
            self._known[key] = event
            await self._client.create("events", event, namespace=namespace)
            return
        known["count"] += 1
        change = {"count": known["count"], "lastTimestamp": event["lastTimestamp"]}
        try:
            await self._client.patch("events", known["metadata"]["name"], change, namespace=namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            self._known[key] = event  # it has gone by its age, and begins anew
            await self._client.create("events", event, namespace=namespace)

    def forget(self, uid: str) -> None:
        """A pod that is gone repeats nothing."""
        for key in [key for key in self._known if key[0].startswith(uid)]:
            del self._known[key]
