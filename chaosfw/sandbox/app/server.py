"""
The stand-in app's HTTP/1.1 server: answers every path with 200 and who it is, fails and dawdles as its character says, drains on SIGTERM.

Loaded by the runtime before it forks, run by :mod:`.__main__`. Just enough HTTP for real clients: keep-alive, pipelining, bodies by
length or chunked (read and dropped).
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import urllib.parse
from typing import Final

from chaosfw.sandbox.app.character import Character
from chaosfw.timing import SYSTEM, Clock, nanoseconds

_HEAD_LIMIT: Final = 65_536
_DEPENDENCY_TIMEOUT: Final = 5.0
_REASONS: Final = {200: "OK", 500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable"}


class App:
    """What all connections of one pod share."""

    def __init__(self, character: Character, *, clock: Clock = SYSTEM) -> None:
        self.character = character
        self.draining = False
        self.served = 0
        self.failed = 0
        self.connections: set[Connection] = set()
        self._clock = clock
        self._ready_ns = clock.monotonic_ns() + nanoseconds(character.ready_after)
        self._tasks: set[asyncio.Task[None]] = set()
        self._answer = self._response(200, self._who())

    async def serve(self) -> None:
        """Until SIGTERM, and then as long as the drain lasts and requests are in flight."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, stop.set)
        servers = [
            await loop.create_server(lambda: Connection(self), self.character.host, port, backlog=512) for port in self.character.ports
        ]
        await stop.wait()
        self.draining = True
        self._answer = self._response(200, self._who())
        if self.character.drain:
            await asyncio.sleep(self.character.drain)
        for server in servers:
            server.close()
        await self._finish()

    async def _finish(self) -> None:
        """Idle connections are closed at once, busy ones after their answer."""
        waiting = []
        for connection in list(self.connections):
            waiting.append(connection.gone)
            connection.close_when_idle()
        if waiting:
            await asyncio.wait(waiting, timeout=30)

    def respond(self, connection: Connection, *, method: bytes, target: bytes) -> None:
        """Answers now or later; ``connection.answer`` is called exactly once."""
        path = target.partition(b"?")[0].decode("latin-1")
        if path in self.character.ready_paths and self._clock.monotonic_ns() < self._ready_ns:
            connection.answer(self._response(503, b"not ready yet\n"))
        elif path == "/metrics":
            connection.answer(self._response(200, self._metrics(), content_type="text/plain; version=0.0.4"))
        elif path in self.character.ready_paths or not (self.character.latency or self.character.depends_on):
            self._reply(connection, may_fail=path not in self.character.ready_paths)
        else:
            task = asyncio.get_running_loop().create_task(self._slowly(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _slowly(self, connection: Connection) -> None:
        if self.character.latency:
            await asyncio.sleep(self.character.latency)
        if self.character.depends_on and (trouble := await _call(self.character.depends_on)):
            self.failed += 1
            connection.answer(self._response(502, f"dependency failed: {trouble}\n".encode()))
            return
        self._reply(connection, may_fail=True)

    def _reply(self, connection: Connection, *, may_fail: bool) -> None:
        if may_fail and self.character.error_rate and random.random() < self.character.error_rate:
            self.failed += 1
            connection.answer(self._response(500, b"unlucky\n"))
            return
        self.served += 1
        connection.answer(self._answer)

    def _who(self) -> bytes:
        return json.dumps({"pod": self.character.pod, "node": self.character.node, "zone": self.character.zone}).encode() + b"\n"

    def _metrics(self) -> bytes:
        label = f'{{pod="{self.character.pod}",node="{self.character.node}",zone="{self.character.zone}"}}'
        rows = (
            ("app_requests_total", "counter", "Requests answered well.", self.served),
            ("app_errors_total", "counter", "Requests answered with an error.", self.failed),
            ("app_connections", "gauge", "Open connections.", len(self.connections)),
        )
        return "".join(f"# HELP {name} {text}\n# TYPE {name} {kind}\n{name}{label} {value}\n" for name, kind, text, value in rows).encode()

    def _response(self, status: int, body: bytes, *, content_type: str = "application/json") -> bytes:
        fields = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {content_type}",
            f"Content-Length: {len(body)}",
            f"X-Chaosfw-Pod: {self.character.pod}",
            *(["Connection: close"] if self.draining else []),
        ]
        return "\r\n".join([*fields, "", ""]).encode() + body


class Connection(asyncio.Protocol):
    """One client. Requests of one connection are answered in order, one at a time."""

    def __init__(self, app: App) -> None:
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._app = app
        self._buffer = b""
        self._busy = False
        self._close_after = False
        self._head_only = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._app.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._app.connections.discard(self)
        if not self.gone.done():
            self.gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def close_when_idle(self) -> None:
        self._close_after = True
        if not self._busy and not self._buffer and self._transport is not None:
            self._transport.close()

    def answer(self, response: bytes) -> None:
        self._busy = False
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(response.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if self._head_only else response)
        if self._close_after or self._app.draining:
            self._transport.close()
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._busy or self._transport is None or self._transport.is_closing():
            return
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                self._transport.abort()
            return
        head = self._buffer[:end]
        length = _body_length(head.lower(), self._buffer, end + 4)
        if length is None or len(self._buffer) < end + 4 + length:
            return  # the body is still on its way
        self._buffer = self._buffer[end + 4 + length :]
        line = head.partition(b"\r\n")[0].split(b" ")
        if len(line) != 3:
            self._transport.abort()
            return
        self._busy = True
        self._close_after |= line[2] == b"HTTP/1.0" or b"connection: close" in head.lower()
        self._head_only = line[0] == b"HEAD"
        self._app.respond(self, method=line[0], target=line[1])


def _body_length(head: bytes, buffer: bytes, start: int) -> int | None:
    """How many bytes of body follow the head; nothing while a chunked body has not ended."""
    if b"\r\ntransfer-encoding: chunked" in head:
        if buffer.startswith(b"0\r\n\r\n", start):
            return 5
        end = buffer.find(b"\r\n0\r\n\r\n", start)
        return None if end < 0 else end + 7 - start
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return 0
    return int(head[at + 17 :].partition(b"\r\n")[0])


async def _call(url: str) -> str:
    """What went wrong on a GET of ``url``; empty when nothing did."""
    parts = urllib.parse.urlsplit(url)
    try:
        async with asyncio.timeout(_DEPENDENCY_TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
                status = (await reader.readline()).split(b" ")
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    if len(status) < 2:
        return "no answer"
    return "" if status[1].startswith((b"2", b"3")) else status[1].decode("latin-1")
