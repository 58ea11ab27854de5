"""
What the data plane costs: requests a second and latency through it, beside a direct connection to the same stand-in app.

``python benchmarks/dataplane.py [SECONDS]``. App, data plane and this client are three processes; direct and proxied rounds alternate, so
that a busy machine hits both. The client is closed-loop: these are ceilings, not a load test.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from chaosfw.sandbox.addresses import HostPort, Network, claim
from chaosfw.sandbox.app.character import VARIABLE, Character, to_text
from chaosfw.sandbox.dataplane.table import Backend, Place, Route, route_to_json
from chaosfw.sandbox.lines import ask, read_line
from chaosfw.timing import SYSTEM, seconds

CONNECTIONS = 32
ROUNDS = 3
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Round:
    rate: float
    p50: float
    p99: float


class Client(asyncio.Protocol):
    """Asks, waits for the whole answer, asks again; on the same connection or on a new one."""

    def __init__(self, took: list[int], *, keep: bool) -> None:
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.stopped = False
        self._took = took
        self._keep = keep

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._sent = SYSTEM.monotonic_ns()
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._took.append(SYSTEM.monotonic_ns() - self._sent)
        if self._keep and not self.stopped:
            self._ask()
            return
        self._transport.abort()
        if not self.answered.done():
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result(None)


async def keep_alive(at: HostPort, *, lasts: float) -> list[int]:
    loop = asyncio.get_running_loop()
    took: list[int] = []
    clients = [(await loop.create_connection(lambda: Client(took, keep=True), *at))[1] for _ in range(CONNECTIONS)]
    await asyncio.sleep(lasts)
    for client in clients:
        client.stopped = True
    await asyncio.gather(*(client.answered for client in clients))
    return took


async def new_connections(at: HostPort, *, lasts: float) -> list[int]:
    loop = asyncio.get_running_loop()
    took: list[int] = []
    end = loop.time() + lasts

    async def one_after_the_other() -> None:
        while loop.time() < end:
            start = SYSTEM.monotonic_ns()
            _, client = await loop.create_connection(lambda: Client([], keep=False), *at)
            await client.answered
            took.append(SYSTEM.monotonic_ns() - start)

    await asyncio.gather(*(one_after_the_other() for _ in range(CONNECTIONS)))
    return took


@contextmanager
def bench() -> Iterator[tuple[HostPort, HostPort]]:
    """An app and a data plane in front of it: the direct address and the proxied one."""
    with tempfile.TemporaryDirectory() as directory:
        claimed = claim(Path(directory, "networks"))
        network = claimed.network
        back, front = _addresses(network)
        character = Character(pod="bench", node="", zone="", host=back.host, ports=(back.port,))
        app = subprocess.Popen(
            [sys.executable, "-m", "chaosfw.sandbox.app"], env={**os.environ, VARIABLE: to_text(character)}, stdout=subprocess.DEVNULL
        )
        ours, theirs = socket.socketpair()
        path = Path(directory, "dataplane.sock")
        command = [sys.executable, "-m", "chaosfw.sandbox.dataplane", str(path), str(theirs.fileno()), "7"]
        proxy = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        read_line(ours)
        backend = Backend(at=back, uid="bench", place=Place(pod="bench"))
        ask(path, {"do": "route", "routes": [route_to_json(Route(at=front, source=Place(), backends=(backend,)))]})
        _await(back)
        try:
            yield back, front
            print(f"data plane lateness, ms: {ask(path, {'do': 'lateness'})['lateness']}")
        finally:
            ours.close()
            app.terminate()
            app.wait()
            proxy.wait()
            claimed.release()


def _addresses(network: Network) -> tuple[HostPort, HostPort]:
    back = network.pod(0, 0, port=8000).back
    front = network.service("10.96.0.10", slot=0, source=0, port=80).front
    assert back is not None and front is not None
    return back, front


def _await(at: HostPort) -> None:
    while True:
        try:
            socket.create_connection(at).close()
            return
        except ConnectionRefusedError:
            SYSTEM.sleep(0.01)


def _round(took: list[int], lasts: float) -> Round:
    ordered = sorted(took)
    return Round(len(took) / lasts, seconds(ordered[len(ordered) // 2]) * 1000, seconds(ordered[int(len(ordered) * 0.99)]) * 1000)


def main() -> None:
    lasts = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}; {CONNECTIONS} connections, {ROUNDS} rounds of {lasts:g} s")
    with bench() as (direct, proxied):
        for name, load in (("keep-alive", keep_alive), ("new connection each", new_connections)):
            results: dict[str, list[Round]] = {"direct": [], "data plane": []}
            for _ in range(ROUNDS):
                for path, at in (("direct", direct), ("data plane", proxied)):
                    results[path].append(_round(asyncio.run(load(at, lasts=lasts)), lasts))
            for path, rounds in results.items():
                rate, p50, p99 = (statistics.median(getattr(r, field) for r in rounds) for field in ("rate", "p50", "p99"))
                print(f"{name:20} {path:10} {rate:9,.0f} req/s   p50 {p50:6.2f} ms   p99 {p99:6.2f} ms")


if __name__ == "__main__":
    main()
