"""
The way into running pods: logs, commands beside what they run, connections to their ports. Implements
:class:`~chaosfw.sandbox.client.verbs.PodDoor` for the nodes that it is given.

Asked by the embedded API server for all nodes, and by each node's own door for that node.
"""

from __future__ import annotations

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Iterable
from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.client.verbs import ApiError, Execution, Wanted
from chaosfw.sandbox.kubelet.container import Container
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.kubelet.logs import logs
from chaosfw.sandbox.kubelet.node import PORT
from chaosfw.timing import SYSTEM, Clock

DIAL_TIMEOUT: Final = 30.0
"""Seconds after which an API server gives up to reach a kubelet."""


class Inward:
    """``kubelets`` may grow after this was made: the API server is started before them."""

    def __init__(self, kubelets: Iterable[Kubelet], *, clock: Clock = SYSTEM) -> None:
        self._kubelets = kubelets
        self._clock = clock

    async def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: int | None = None,
        since_seconds: float | None = None,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]:
        """Whole lines. Raises ApiError, with the first, when the container is unknown or has not run, or its node does not answer."""
        await self._reach(namespace, pod)
        async for line in logs(
            lambda: self._find(namespace, pod, container),
            pod=pod,
            clock=self._clock,
            follow=follow,
            previous=previous,
            tail=tail,
            since_seconds=since_seconds,
            timestamps=timestamps,
        ):
            yield line

    async def execute(self, namespace: str, pod: str, container: str, *, wanted: Wanted) -> Execution:
        """Raises ApiError when the container does not run, or the command is empty or can not be started."""
        await self._reach(namespace, pod)
        found = self._find(namespace, pod, container)
        if not found.running:
            raise ApiError(500, "InternalError", f'container not found ("{container}")')
        try:
            return await found.attach(wanted)
        except SandboxError as trouble:
            raise ApiError(500, "InternalError", trouble.message) from trouble

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[StreamReader, StreamWriter]:
        """A connection to a port of the pod, whatever services say. Raises ApiError with what ``kubectl port-forward`` is to show."""
        await self._reach(namespace, pod)
        found = next((worker for kubelet in self._kubelets if (worker := kubelet.worker(namespace, pod)) is not None), None)
        if found is None:
            raise ApiError(404, "NotFound", f"pod {namespace}/{pod} not found")
        back = found.back(port)
        try:
            return await asyncio.open_connection(back.host, back.port)
        except OSError as trouble:
            where, why = f"dial tcp4 {found.address.recorded.host}:{port}", os.strerror(trouble.errno or 0).lower()
            raise ApiError(500, "InternalError", f"error forwarding port {port} to pod {pod}, uid {found.uid}: {where}: {why}") from trouble

    async def _reach(self, namespace: str, pod: str) -> None:
        for kubelet in self._kubelets:
            if kubelet.worker(namespace, pod) is not None and not await kubelet.reachable(within=DIAL_TIMEOUT):
                raise ApiError(500, "InternalError", f"dial tcp {kubelet.node.name}:{PORT}: i/o timeout")

    def _find(self, namespace: str, pod: str, container: str) -> Container:
        for kubelet in self._kubelets:
            worker = kubelet.worker(namespace, pod)
            found = worker.container(container) if worker is not None else None
            if found is not None:
                return found
        raise ApiError(400, "BadRequest", f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')
