"""
The server: ``python -m benchmarks.truth.server SEED KINDS AMOUNT PARTIAL LOG``. Prints its port, begins at a word, ends with its input.

A line of the log for each request that reached it (number, instant, what was done with it) and for each edge of an outage as it really
was, ns of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
import time

from benchmarks.truth.outages import SLOW, Window, schedule

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ERROR = b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno"


class Server:
    """One port, and what is done with the requests that reach it right now."""

    def __init__(self, log: list[str]) -> None:
        self.now: Window | None = None
        self.seen = 0
        self.log = log
        self.open: set[asyncio.Transport] = set()
        self.port = 0
        self._listening: asyncio.Server | None = None

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=4096, reuse_address=True)
        self.port = self._listening.sockets[0].getsockname()[1]

    def deaf(self) -> None:
        """Nobody listens, and kept connections are cut."""
        assert self._listening is not None
        self._listening.close()
        for transport in list(self.open):
            _reset(transport)

    def treated(self) -> str:
        """What is to be done with a request that has just come."""
        window = self.now
        if window is None:
            return "ok"
        self.seen += 1
        broken = window.share >= 1.0 or self.seen % round(1 / window.share) == 0
        return window.kind if broken else "ok"

    async def carry_out(self, windows: tuple[Window, ...]) -> None:
        began = time.monotonic()
        for number, window in enumerate(windows):
            await _until(began + window.begin)
            self.log.append(f"begin {number} {time.monotonic_ns()}")
            self.now = window
            if window.kind == "refuse":
                self.deaf()
            self.log.append(f"begun {number} {time.monotonic_ns()}")
            await _until(began + window.end)
            self.log.append(f"end {number} {time.monotonic_ns()}")
            if window.kind == "refuse":
                await self.listen()
            self.now = None
            self.log.append(f"ended {number} {time.monotonic_ns()}")


class Connection(asyncio.Protocol):
    """Requests one after the other; bodies are not expected."""

    def __init__(self, server: Server) -> None:
        self._server, self._data = server, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.open.add(transport)

    def connection_lost(self, trouble: Exception | None) -> None:
        if self._transport is not None:
            self._server.open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        assert self._transport is not None
        kind = self._server.treated()
        self._server.log.append(f"{_number(head)} {time.monotonic_ns()} {kind}")
        if kind == "reset" or kind == "refuse":
            _reset(self._transport)
        elif kind == "slow":
            asyncio.get_running_loop().call_later(SLOW, self._write, OK)
        elif kind != "hang":
            self._write(ERROR if kind == "error" else OK)

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


def _number(head: bytes) -> str:
    place = head.lower().find(b"x-chaosfw-request: ")
    return head[place + 19 :].split(b"\r\n", 1)[0].decode() if place >= 0 else "-"


def _reset(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _until(instant: float) -> None:
    while (left := instant - time.monotonic()) > 0:
        await asyncio.sleep(left if left > 0.002 else 0.0005)


async def main() -> None:
    seed, kinds, amount, partial, path = sys.argv[1:6]
    windows = schedule(int(seed), kinds=tuple(kinds.split(",")), amount=int(amount), partial=partial == "partial")
    log: list[str] = []
    server = Server(log)
    await server.listen()
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.readline)
    carrying = asyncio.create_task(server.carry_out(windows))
    await loop.run_in_executor(None, sys.stdin.read)
    carrying.cancel()
    with open(path, "w") as file:
        file.write("\n".join(log) + "\n")
    os._exit(0)  # hanging requests are left as they are


if __name__ == "__main__":
    asyncio.run(main())
