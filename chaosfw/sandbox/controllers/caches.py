"""One informer a resource, shared by all controllers of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chaosfw.sandbox.client.informer import Informer
from chaosfw.sandbox.client.verbs import Client


class Caches:
    """``caches["pods"]`` is the informer of the pods. Which resources there are is decided at the start."""

    def __init__(self, client: Client, resources: Iterable[str]) -> None:
        self.client = client
        self._informers = {resource: Informer(client, resource) for resource in resources}

    def __getitem__(self, resource: str) -> Informer:
        return self._informers[resource]

    def resources(self) -> Iterable[str]:
        return self._informers.keys()

    async def start(self) -> None:
        await asyncio.gather(*(informer.start() for informer in self._informers.values()))

    async def stop(self) -> None:
        await asyncio.gather(*(informer.stop() for informer in self._informers.values()))
