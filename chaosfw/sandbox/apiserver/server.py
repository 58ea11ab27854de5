"""
The API server of the embedded control plane: HTTPS in front, the verbs behind.

Started by the control process, which joins it with controllers, scheduler and kubelet on one event loop. What a caller in
the same process needs is :meth:`ApiServer.client`; everyone else speaks HTTPS with the bearer token.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import ssl
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from chaosfw.sandbox.apiserver import bootstrap, discovery, errors
from chaosfw.sandbox.apiserver.admission import Admission
from chaosfw.sandbox.apiserver.exchange import Exchange, refuse, reply
from chaosfw.sandbox.apiserver.inside import Inside
from chaosfw.sandbox.apiserver.openapi import Documents
from chaosfw.sandbox.apiserver.route import Target, resolve
from chaosfw.sandbox.apiserver.store import Store
from chaosfw.sandbox.apiserver.verbs import Verbs
from chaosfw.sandbox.client.local import LocalClient
from chaosfw.sandbox.client.verbs import ApiError, Client, Object, PodDoor
from chaosfw.sandbox.kinds.registry import Registry
from chaosfw.timing import SYSTEM, Clock

LOG = logging.getLogger("chaosfw.sandbox")
LARGEST_BODY = 3 * 1024 * 1024
KEEP_ALIVE = 3600.0
"""Seconds an idle connection stays open: longer than any client keeps one, so that only clients close them."""

STOP_WITHIN = 1.0
VERSION: Object = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.2+chaosfw",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_HEALTH = ("/healthz", "/livez", "/readyz")


class ApiServer:
    """
    One embedded API server. ``tokens`` maps bearer tokens to user names; ``pod_door`` answers for what runs in pods;
    ``toleration_seconds`` is how long a pod that does not say stays on a lost node; ``through``: the HTTP proxy that reaches pods.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        tokens: Mapping[str, str],
        pod_door: PodDoor,
        service_cidr: str = "10.96.0.0/16",
        toleration_seconds: int = 300,
        through: str = "",
        clock: Clock = SYSTEM,
    ) -> None:
        self._through = through
        self._ssl, self._tokens, self._door = ssl_context, dict(tokens), pod_door
        self._store = Store(clock=clock)
        self._registry = Registry()
        admission = Admission(self._store, service_cidr=service_cidr, toleration_seconds=toleration_seconds)
        self._verbs = Verbs(self._store, self._registry, admission)
        self._documents = Documents(self._registry)
        self._runner: web.ServerRunner | None = None
        self._address = ""
        bootstrap.lay_out(self._verbs, address=admission.first_address)

    def client(self, *, manager: str = "") -> Client:
        """The verbs without a socket; usable before ``start``. ``manager``: who owns what is changed through it."""
        return LocalClient(Inside(self._verbs, manager=manager))

    async def start(self, host: str, port: int = 0) -> int:
        """Listens, and returns the port."""
        server = web.Server(
            self._handle, request_factory=_request, handler_cancellation=True, access_log=None, keepalive_timeout=KEEP_ALIVE
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=STOP_WITHIN)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._ssl)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        self._address = f"{host}:{bound}"
        return bound

    async def stop(self) -> None:
        """Ends all watches first: nobody should wait for a server that goes."""
        self._store.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            return refuse(error)
        except web.HTTPException:
            raise
        except Exception as error:
            LOG.exception("%s %s failed", request.method, request.path_qs)
            return refuse(ApiError(500, "InternalError", f"Internal error occurred: {error}"))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path.rstrip("/") or "/"
        if path.startswith(_HEALTH):
            return reply(b"ok", content_type="text/plain; charset=utf-8")
        if path == "/version":
            return reply(_dump(VERSION))
        user = self._user(request)
        target = resolve(path, self._registry)
        if isinstance(target, Target):
            return await Exchange(request, target, self._verbs, self._door, user=user, through=self._through).answer()
        if target is not None:
            raise errors.no_such_resource()
        return self._document(path, request.headers.get("Accept", ""))

    def _user(self, request: web.BaseRequest) -> str:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            for known, user in self._tokens.items():
                if hmac.compare_digest(known.encode(), given.strip().encode()):
                    return user
        raise errors.unauthorized()

    def _document(self, path: str, accept: str) -> web.StreamResponse:
        parts = path.strip("/").split("/")
        if path in ("/api", "/apis"):
            return self._groups(core=path == "/api", accept=accept)
        if path == "/openapi/v3":
            return reply(_dump(self._documents.index()), content_type="text/plain; charset=utf-8")  # as a real one has it
        if path.startswith("/openapi/v3/"):
            content = self._documents.document("/".join(parts[2:]))
            return reply(content) if content else _nothing_here()
        found = self._legacy(parts)
        return reply(_dump(found)) if found else _nothing_here()

    def _groups(self, *, core: bool, accept: str) -> web.StreamResponse:
        if version := discovery.wants_aggregated(accept):
            body = discovery.aggregated(self._registry, core=core, version=version)
            answer = reply(_dump(body), content_type=discovery.AGGREGATED.format(version=version))
        else:
            answer = reply(_dump(discovery.core_versions(self._address) if core else discovery.group_list(self._registry)))
        answer.headers["Vary"] = "Accept"
        return answer

    def _legacy(self, parts: list[str]) -> Object | None:
        if parts[0] == "api" and len(parts) == 2:
            return discovery.resource_list(self._registry, "", parts[1])
        if parts[0] == "apis" and len(parts) == 2:
            return discovery.group(self._registry, parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return discovery.resource_list(self._registry, parts[1], parts[2])
        return None


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop(), client_max_size=LARGEST_BODY)


def _dump(value: Object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _nothing_here() -> web.Response:
    """As a real server says it for paths of groups it does not serve."""
    return web.Response(status=404, text="404 page not found\n")
