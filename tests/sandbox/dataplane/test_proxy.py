"""The data plane against real sockets: what a client of a front sees when backends come, go, die and when links are broken."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chaosfw.sandbox.addresses import HostPort
from chaosfw.sandbox.dataplane.proxy import Proxy
from chaosfw.sandbox.dataplane.table import Backend, LinkFault, Place, Route
from chaosfw.timing import SYSTEM


def free_port(host: str = "127.0.0.1") -> HostPort:
    with socket.create_server((host, 0)) as sock:
        return HostPort(host, sock.getsockname()[1])


class Pod:
    """Answers each line with its own name; ``pause`` makes it hold its answers."""

    def __init__(self, name: str, *, zone: str = "a") -> None:
        self.backend = Backend(at=free_port(), uid=name, place=Place(pod=name, zone=zone))
        self.heard = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self.backend.at)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                self.heard.set()
                if line != b"silence\n":
                    writer.write(self.backend.uid.encode() + b"\n")
        except ConnectionError:
            pass
        writer.close()

    def stop(self) -> None:
        self._server.close()

    def reset(self) -> None:
        for writer in self._writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()


async def say(front: HostPort, line: bytes = b"hello\n") -> str:
    reader, writer = await asyncio.open_connection(*front)
    try:
        writer.write(line)
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


@asynccontextmanager
async def proxied(*pods: Pod) -> AsyncIterator[tuple[Proxy, HostPort]]:
    for pod in pods:
        await pod.start()
    proxy = Proxy(clock=SYSTEM, seed=7)
    front = free_port()
    await proxy.route([route(front, *pods)])
    try:
        yield proxy, front
    finally:
        proxy.close()
        for pod in pods:
            pod.stop()


def route(front: HostPort, *pods: Pod) -> Route:
    return Route(at=front, source=Place(node="outside"), backends=tuple(pod.backend for pod in pods))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def sync() -> None:
        asyncio.run(asyncio.wait_for(test(), timeout=20))

    sync.__name__, sync.__doc__ = test.__name__, test.__doc__
    return sync


@run
async def test_connections_are_spread_over_the_backends() -> None:
    """Each connection draws a backend, and the exposure knows which."""
    async with proxied(Pod("one"), Pod("two")) as (proxy, front):
        start = SYSTEM.monotonic_ns()

        answers = Counter([await say(front) for _ in range(60)])

        assert answers.keys() == {"one", "two"}
        assert min(answers.values()) > 15
        assert {row["name"]: row["new"] for row in proxy.exposure.since(start)} == dict(answers)


@run
async def test_a_service_without_backends_is_refused_by_the_kernel() -> None:
    pod = Pod("one")
    async with proxied(pod) as (proxy, front):
        await proxy.route([route(front)])

        with pytest.raises(ConnectionRefusedError):
            await say(front)

        await proxy.route([route(front, pod)])
        assert await say(front) == "one"


@run
async def test_a_removed_backend_keeps_its_open_connections() -> None:
    """As kube-proxy does for TCP: only new connections go elsewhere."""
    one, two = Pod("one"), Pod("two")
    async with proxied(one, two) as (proxy, front):
        await proxy.route([route(front, one)])
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"hello\n")
        assert await reader.readline() == b"one\n"

        await proxy.route([route(front, two)])
        writer.write(b"again\n")

        assert await reader.readline() == b"one\n"
        assert await say(front) == "two"
        writer.close()


@run
async def test_a_dead_backend_is_a_reset_for_the_client() -> None:
    pod = Pod("one")
    async with proxied(pod) as (proxy, front):
        pod.stop()

        with pytest.raises(ConnectionResetError):
            await say(front)
        assert proxy.exposure.totals()["unreachable"] == 1


@run
async def test_a_reset_comes_through_as_a_reset() -> None:
    pod = Pod("one")
    async with proxied(pod) as (_, front):
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"silence\n")
        await pod.heard.wait()

        pod.reset()

        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()


@run
async def test_a_half_close_comes_through() -> None:
    """A client that has said all still hears the answer."""
    async with proxied(Pod("one")) as (_, front):
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"hello\n")
        writer.write_eof()

        assert await reader.read() == b"one\n"
        writer.close()


@run
async def test_delay_is_added_both_ways() -> None:
    async with proxied(Pod("one")) as (proxy, front):
        await proxy.fault([LinkFault(kind="delay", seconds=0.05)])
        start = SYSTEM.monotonic_ns()

        assert await say(front) == "one"

        assert SYSTEM.monotonic_ns() - start >= 100_000_000


@run
async def test_a_fault_hits_only_the_places_it_names() -> None:
    async with proxied(Pod("one", zone="a"), Pod("two", zone="b")) as (proxy, front):
        await proxy.fault([LinkFault(kind="refuse", destination={"zone": "a"})])

        assert {await say(front) for _ in range(20)} == {"two"}


@run
async def test_refusing_every_backend_closes_the_listener() -> None:
    async with proxied(Pod("one")) as (proxy, front):
        await proxy.fault([LinkFault(kind="refuse", source={"node": "outside"})])

        with pytest.raises(ConnectionRefusedError):
            await say(front)

        await proxy.fault([])
        assert await say(front) == "one"


@run
async def test_reset_cuts_open_connections() -> None:
    async with proxied(Pod("one")) as (proxy, front):
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"hello\n")
        await reader.readline()

        await proxy.fault([LinkFault(kind="reset")])

        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()


@run
async def test_a_stalled_link_goes_on_when_the_fault_is_gone() -> None:
    pod = Pod("one")
    async with proxied(pod) as (proxy, front):
        await proxy.fault([LinkFault(kind="stall")])
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"hello\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), timeout=0.1)

        await proxy.fault([])

        assert await reader.readline() == b"one\n"
        writer.close()


@run
async def test_silence_drops_new_connections_and_stops_open_ones() -> None:
    """A zone without power sends nothing: neither FIN nor RST nor SYN-ACK."""
    async with proxied(Pod("one")) as (proxy, front):
        reader, writer = await asyncio.open_connection(*front)
        writer.write(b"hello\n")
        assert await reader.readline() == b"one\n"

        await proxy.fault([LinkFault(kind="silence")])

        writer.write(b"hello\n")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readline(), timeout=0.1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.open_connection(*front), timeout=0.1)

        await proxy.fault([])
        assert await reader.readline() == b"one\n"
        assert await say(front) == "one"
        writer.close()


@run
async def test_a_silent_zone_beside_a_living_one_is_heard_of_only_after_the_handshake() -> None:
    async with proxied(Pod("one", zone="a"), Pod("two", zone="b")) as (proxy, front):
        await proxy.fault([LinkFault(kind="silence", destination={"zone": "a"})])

        async def ask() -> str:
            try:
                return await asyncio.wait_for(say(front), timeout=0.1)
            except TimeoutError:
                return "silence"

        assert set(await asyncio.gather(*(ask() for _ in range(20)))) == {"two", "silence"}


@run
async def test_a_slow_reader_holds_its_sender_back() -> None:
    """Sixteen megabytes do not pile up in the proxy: they arrive whole when the client reads."""
    size = 16 * 1024 * 1024

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * size)
        writer.close()

    back, front = free_port(), free_port()
    server = await asyncio.start_server(pour, *back)
    proxy = Proxy(clock=SYSTEM, seed=7)
    await proxy.route([Route(at=front, source=Place(), backends=(Backend(at=back, uid="one", place=Place()),))])
    reader, writer = await asyncio.open_connection(*front)

    assert len(await reader.read(-1)) == size
    writer.close()
    proxy.close()
    server.close()


@run
async def test_routes_and_faults_that_come_at_once_open_a_front_once() -> None:
    """They come over two connections. The second one that opened it found its address taken, and that was the end of the routes."""
    proxy = Proxy(clock=SYSTEM, seed=7)
    fronts = [free_port() for _ in range(20)]
    routes = [Route(at=front, source=Place(), backends=(Backend(at=fronts[0], uid="one", place=Place()),)) for front in fronts]

    await asyncio.gather(proxy.route(routes), proxy.fault([], of="machines"), proxy.fault([], of="user"))

    for front in fronts:
        _, writer = await asyncio.open_connection(*front)
        writer.close()
    proxy.close()
