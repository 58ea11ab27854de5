"""
A node's HTTPS door: what an API server in another process asks a kubelet for. Logs, commands
in containers, and connections to pods.

Started by the control process for each node of a real control plane; the embedded one asks :mod:`.logs` directly. Whoever calls has to
show a certificate of the sandbox's authority, as a kubelet demands with ``--client-ca-file``.
"""

from __future__ import annotations

import functools
import ssl
from typing import Final

from aiohttp import web

from chaosfw.sandbox import channels, forwarding
from chaosfw.sandbox.client.verbs import ApiError
from chaosfw.sandbox.kubelet.inward import Inward
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.kubelet.node import PORT

_STOP_WITHIN: Final = 1.0


class NodeDoor:
    """The paths of a real kubelet's server (pkg/kubelet/server of Kubernetes 1.37)."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._inward = Inward([kubelet])
        self._runner: web.AppRunner | None = None

    async def start(self, address: str, *, ssl_context: ssl.SSLContext) -> None:
        app = web.Application()
        app.router.add_get("/healthz", _healthy)
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._container_logs)
        for method in ("GET", "POST"):
            app.router.add_route(method, "/exec/{namespace}/{pod}/{container}", self._exec)
            app.router.add_route(method, "/portForward/{namespace}/{pod}", self._forward)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_STOP_WITHIN)
        await self._runner.setup()
        await web.TCPSite(self._runner, address, PORT, ssl_context=ssl_context).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _container_logs(self, request: web.Request) -> web.StreamResponse:
        where, asked = request.match_info, request.query
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        lines = self._inward.logs(
            where["namespace"],
            where["pod"],
            where["container"],
            follow=asked.get("follow") == "true",
            previous=asked.get("previous") == "true",
            tail=int(asked["tailLines"]) if "tailLines" in asked else None,
            since_seconds=float(asked["sinceSeconds"]) if "sinceSeconds" in asked else None,
            timestamps=asked.get("timestamps") == "true",
        )
        try:
            async for line in lines:
                if not answer.prepared:
                    await answer.prepare(request)
                await answer.write(line)
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)
        if not answer.prepared:
            await answer.prepare(request)
        await answer.write_eof()
        return answer

    async def _exec(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        if not channels.speaks(request):
            return web.Response(status=400, text="only WebSocket here, v5.channel.k8s.io or v4")
        asked = channels.wanted(request, names=("input", "output", "error"))
        try:
            execution = await self._inward.execute(where["namespace"], where["pod"], where["container"], wanted=asked)
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)
        return await channels.carry(request, execution)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        where = request.match_info
        if not forwarding.speaks(request):
            return web.Response(status=400, text=f"only WebSocket here, {forwarding.TUNNEL} or {forwarding.CHANNELS}")
        try:
            return await forwarding.carry(request, functools.partial(self._inward.dial, where["namespace"], where["pod"]))
        except ApiError as error:
            return web.Response(status=error.code, text=error.message)


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")
