"""The address scheme under load: many connections through the fronts to all pods, and not one goes wrong."""

from __future__ import annotations

import asyncio
from collections import Counter

from chaosfw.sandbox.public import Sandbox
from chaosfw.timing import SYSTEM

CONNECTIONS = 32
REQUESTS = 60


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """The pod that answered; anything but a whole 200 raises."""
    writer.write(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert head.startswith("HTTP/1.1 200 "), head
    fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    await reader.readexactly(int(fields["Content-Length"]))
    return fields["X-Chaosfw-Pod"]


async def _keep(host: str, port: int) -> list[str]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        return [await _ask(reader, writer) for _ in range(REQUESTS)]
    finally:
        writer.close()


async def _anew(host: str, port: int) -> list[str]:
    pods = []
    for _ in range(REQUESTS):
        reader, writer = await asyncio.open_connection(host, port)
        pods.append(await _ask(reader, writer))
        writer.close()
    return pods


def test_thousands_of_requests_arrive(settled: Sandbox) -> None:
    """Kept connections stay with their pod; new ones are spread; the exposure has counted every one."""
    host, port = settled.endpoint("shop/myapp").removeprefix("http://").split(":")
    mark = SYSTEM.monotonic_ns()

    async def load() -> list[list[str]]:
        work = [(_keep if number % 2 else _anew)(host, int(port)) for number in range(CONNECTIONS)]
        return await asyncio.gather(*work)

    answers = asyncio.run(load())

    kept = [set(pods) for pods in answers[1::2]]
    assert all(len(pods) == 1 for pods in kept)
    fresh = Counter(pod for pods in answers[::2] for pod in pods)
    assert len(fresh) == 3
    assert min(fresh.values()) > sum(fresh.values()) / 5
    assert sum(row.new for row in settled.exposure(mark)) == CONNECTIONS // 2 * (REQUESTS + 1)
