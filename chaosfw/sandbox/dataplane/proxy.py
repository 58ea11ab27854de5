"""
The listeners and what happens to a new connection: a backend is drawn, faults are asked, a :class:`~.link.Link` is made.

Called by the main of this process. Runs on one event loop; every method returns at once except :meth:`Proxy.route`. As kube-proxy does, it
leaves open connections to a removed backend alone. Its seams: the table it is told and the sockets.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Iterable
from typing import Final

from chaosfw.sandbox.addresses import HostPort
from chaosfw.sandbox.dataplane.exposure import Carried, Exposure
from chaosfw.sandbox.dataplane.hole import Hole
from chaosfw.sandbox.dataplane.link import Link, reset_on_close
from chaosfw.sandbox.dataplane.table import Backend, LinkFault, Route
from chaosfw.timing import Clock

_BACKLOG: Final = 1024


class Proxy:
    def __init__(self, *, clock: Clock, seed: int) -> None:
        self.exposure = Exposure()
        self._clock = clock
        self._random = random.Random(seed)
        self._routes: dict[HostPort, Route] = {}
        self._servers: dict[HostPort, asyncio.Server] = {}
        self._holes: dict[HostPort, Hole] = {}
        self._faults: tuple[LinkFault, ...] = ()
        self._faults_of: dict[str, tuple[LinkFault, ...]] = {}
        self._links: dict[Link, Carried] = {}
        self._connecting: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        """Routes and faults come from different askers; two that open the same front at once would find it taken."""

    async def route(self, routes: Iterable[Route]) -> None:
        """Makes the listeners match ``routes``, all of them."""
        self._routes = {route.at: route for route in routes}
        await self._listen()

    async def fault(self, faults: Iterable[LinkFault], *, of: str = "") -> None:
        """Makes the faults that ``of`` has set be ``faults``, on open connections too. Those of others stay."""
        self._faults_of[of] = tuple(faults)
        self._faults = tuple(fault for some in self._faults_of.values() for fault in some)
        for link in list(self._links):
            self._afflict(link)
        await self._listen()

    def close(self) -> None:
        for server in self._servers.values():
            server.close()
        for hole in self._holes.values():
            hole.close()
        for link in list(self._links):
            link.reset()

    async def _listen(self) -> None:
        async with self._turn:
            await self._match()

    async def _match(self) -> None:
        wanted = {at for at, route in self._routes.items() if self._reachable(route)}
        silent = {at for at in wanted if self._is_silent(self._routes[at])}
        for at in self._holes.keys() - silent:
            self._holes.pop(at).close()
        for at in self._servers.keys() - (wanted - silent):
            self._servers.pop(at).close()  # from here on the kernel refuses
        for at in silent - self._holes.keys():
            self._holes[at] = Hole(at)
        for at in wanted - silent - self._servers.keys():
            self._servers[at] = await self._server(at)

    def _is_silent(self, route: Route) -> bool:
        faults = [fault for fault in self._faults if fault.kind == "silence"]
        return bool(faults) and all(any(fault.hits(route.source, b.place) for fault in faults) for b in route.backends)

    async def _server(self, at: HostPort) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        sock = socket.create_server(at, backlog=_BACKLOG)
        sock.setblocking(False)
        return await loop.create_server(lambda: _Newcomer(self, at), sock=sock, backlog=_BACKLOG)

    def accept(self, at: HostPort, transport: asyncio.Transport) -> None:
        """A client has connected to the front ``at``."""
        route = self._routes.get(at)
        candidates = self._reachable(route) if route is not None else ()
        if route is None or not candidates:
            self.exposure.count("refused")  # it slipped in between the change of the table and the closing of the listener
            reset_on_close(transport.get_extra_info("socket"))
            transport.abort()
            return
        link = Link(source=route.source, backend=self._random.choice(candidates), on_end=self._ended)
        transport.set_protocol(link.client)
        link.client.connection_made(transport)
        self._links[link] = self.exposure.opened(link.backend, at_ns=self._clock.monotonic_ns())
        self._afflict(link)
        task = asyncio.get_running_loop().create_task(self._connect(link))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, link: Link) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: link.pod, link.backend.at.host, link.backend.at.port)
        except OSError:
            self.exposure.count("unreachable")
            link.unreachable()
            return
        if link not in self._links:
            link.pod.reset()  # the client left while we were connecting

    def _ended(self, link: Link) -> None:
        carried = self._links.pop(link, None)
        if carried is not None:
            self.exposure.closed(carried, at_ns=self._clock.monotonic_ns())

    def _reachable(self, route: Route) -> tuple[Backend, ...]:
        refusals = [fault for fault in self._faults if fault.kind == "refuse"]
        if not refusals:
            return route.backends
        return tuple(b for b in route.backends if not any(fault.hits(route.source, b.place) for fault in refusals))

    def _afflict(self, link: Link) -> None:
        faults = [fault for fault in self._faults if fault.hits(link.source, link.backend.place)]
        link.delay = sum(fault.seconds for fault in faults if fault.kind == "delay")
        link.stall(any(fault.kind in ("stall", "silence") for fault in faults))
        if any(fault.kind == "reset" for fault in faults):
            self.exposure.count("reset")
            link.reset()


class _Newcomer(asyncio.Protocol):
    """Stands in until the proxy has chosen a backend, which is at once."""

    def __init__(self, proxy: Proxy, at: HostPort) -> None:
        self._proxy = proxy
        self._at = at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._proxy.accept(self._at, transport)
