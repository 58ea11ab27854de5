"""
Connections to ports of a pod over a WebSocket (``kubectl port-forward``), in the two ways that clients ask for them.

Called by whoever answers ``portforward``: the embedded API server, or a node's own door when a real API server passes the request on.
kubectl carries SPDY in it, two streams for each connection (``SPDY/3.1+portforward.k8s.io``); the Python clients have two channels for each
port and one connection (``v4.channel.k8s.io``). Who may connect and where a port is, is not known here.
"""

from __future__ import annotations

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import WSMsgType, web

from chaosfw.sandbox import spdy
from chaosfw.sandbox.client.verbs import ApiError

TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
CHANNELS: Final = "v4.channel.k8s.io"
_PIECE: Final = 32_768
_MOST: Final = 64
"""Pieces that wait for a pod that does not read; then the client has to."""

Dial = Callable[[int], Awaitable[tuple[StreamReader, StreamWriter]]]
"""Connects to a port of the pod. Raises ApiError with what the user is to be told."""

Send = Callable[[bytes], Awaitable[None]]


def speaks(request: web.BaseRequest) -> bool:
    """Who offers no protocol at all, as kr8s, means channels."""
    offered = {one.strip() for one in request.headers.get("Sec-WebSocket-Protocol", "").split(",")}
    return request.headers.get("Upgrade", "").lower() == "websocket" and bool(offered & {TUNNEL, CHANNELS, ""})


def ports(request: web.BaseRequest) -> list[int]:
    """Those that channels are asked for, of a kubelet by another name. Raises ApiError as it does."""
    said = [text for name in ("ports", "port") for value in request.query.getall(name, []) for text in value.split(",")]
    if not said:
        raise ApiError(400, "BadRequest", 'query parameter "ports" is required')
    for text in said:
        if not text.isdigit() or not 0 < int(text) < 65536:
            raise ApiError(400, "BadRequest", f'port "{text}" must be a number from 1 to 65535')
    return [int(text) for text in said]


async def carry(request: web.BaseRequest, dial: Dial) -> web.StreamResponse:
    """Until the client has gone, or with channels until all connections are over."""
    socket = web.WebSocketResponse(protocols=(TUNNEL, CHANNELS), autoclose=True)
    tunnelled = TUNNEL in request.headers.get("Sec-WebSocket-Protocol", "")
    wanted = [] if tunnelled else ports(request)
    await socket.prepare(request)
    carrier = _Tunnel(socket, dial) if tunnelled else _Channels(socket, dial, wanted)
    try:
        await carrier.run()
    except (ConnectionError, spdy.SpdyError):
        pass  # the client has gone, or is no client of ours
    finally:
        await carrier.stop()
    await socket.close()
    return socket


class Pipe:
    """One connection to the pod: what comes for it is fed, what it says is sent. ``run`` lasts until it is over."""

    def __init__(self, *, port: int, dial: Dial, send: Send, end: Callable[[], Awaitable[None]], fail: Send) -> None:
        self._port, self._dial = port, dial
        self._send, self._end, self._fail = send, end, fail
        self._coming: asyncio.Queue[bytes] = asyncio.Queue(_MOST)

    async def feed(self, data: bytes) -> None:
        """Empty: the client sends no more."""
        await self._coming.put(data)

    async def run(self) -> None:
        try:
            reader, writer = await self._dial(self._port)
        except ApiError as refusal:
            await self._fail(refusal.message.encode())
            return
        writing = asyncio.ensure_future(self._write(writer))
        try:
            while data := await reader.read(_PIECE):
                await self._send(data)
            await self._end()
        except ConnectionError as broken:
            await self._fail(f"error forwarding port {self._port}: {broken}".encode())
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            writer.close()

    async def _write(self, writer: StreamWriter) -> None:
        while data := await self._coming.get():
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class _Carrier:
    """What both ways have in common: the connections, each a task."""

    def __init__(self, socket: web.WebSocketResponse, dial: Dial) -> None:
        self.socket, self.dial = socket, dial
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        async for message in self.socket:
            if message.type is WSMsgType.BINARY:
                await self.hear(message.data)
            elif message.type is WSMsgType.TEXT:
                await self.hear(message.data.encode())

    async def hear(self, data: bytes) -> None:
        raise NotImplementedError

    def start(self, pipe: Pipe) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(pipe.run())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def stop(self) -> None:
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Tunnel(_Carrier):
    """Two streams of SPDY for each connection, which name the port and belong together by a number of the client's."""

    def __init__(self, socket: web.WebSocketResponse, dial: Dial) -> None:
        super().__init__(socket, dial)
        self._framing = spdy.Framing()
        self._errors: dict[str, int] = {}
        self._data: dict[str, tuple[int, int]] = {}
        self._pipes: dict[int, Pipe] = {}

    async def hear(self, data: bytes) -> None:
        for frame in self._framing.feed(data):
            match frame:
                case spdy.Opened(stream, headers):
                    await self._open(stream, headers.get("streamtype", ""), headers.get("port", ""), headers.get("requestid", ""))
                case spdy.Data(stream, piece, last):
                    await self._pass_on(stream, piece, last=last)
                case spdy.Reset(stream):
                    self._pipes.pop(stream, None)
                case spdy.Ping(number):
                    await self.socket.send_bytes(spdy.pinged(number))
                case spdy.Away():
                    pass  # what is open goes on

    async def _open(self, stream: int, kind: str, port: str, request: str) -> None:
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            await self.socket.send_bytes(spdy.reset(stream))
            return
        await self.socket.send_bytes(self._framing.replied(stream))
        if kind == "error":
            self._errors[request] = stream
        else:
            self._data[request] = stream, int(port)
        if request in self._errors and request in self._data:
            self._connect(self._errors.pop(request), *self._data.pop(request))

    def _connect(self, error: int, data: int, port: int) -> None:
        async def send(piece: bytes) -> None:
            await self.socket.send_bytes(spdy.sent(data, piece))

        async def end() -> None:
            await self.socket.send_bytes(spdy.sent(data, b"", last=True))
            await self.socket.send_bytes(spdy.sent(error, b"", last=True))

        async def fail(words: bytes) -> None:
            await self.socket.send_bytes(spdy.sent(error, words))
            await end()

        pipe = Pipe(port=port, dial=self.dial, send=send, end=end, fail=fail)
        self._pipes[data] = pipe
        self.start(pipe).add_done_callback(lambda _: self._pipes.pop(data, None))

    async def _pass_on(self, stream: int, piece: bytes, *, last: bool) -> None:
        pipe = self._pipes.get(stream)
        if pipe is None:
            return  # of an error stream, or of a connection that is over
        if piece:
            await pipe.feed(piece)
        if last:
            await pipe.feed(b"")


class _Channels(_Carrier):
    """Two channels for each port, the first for data and the second for errors; both begin with the port's number."""

    def __init__(self, socket: web.WebSocketResponse, dial: Dial, wanted: list[int]) -> None:
        super().__init__(socket, dial)
        self._wanted = wanted
        self._pipes: dict[int, Pipe] = {}

    async def run(self) -> None:
        for index, port in enumerate(self._wanted):
            for channel in (2 * index, 2 * index + 1):
                await self.socket.send_bytes(struct.pack("<BH", channel, port))
            self._pipes[2 * index] = self._pipe(2 * index, port)
        started = [self.start(pipe) for pipe in self._pipes.values()]
        listening = asyncio.ensure_future(super().run())
        over = asyncio.ensure_future(asyncio.wait(started))
        await asyncio.wait({listening, over}, return_when=asyncio.FIRST_COMPLETED)
        for waiting in (listening, over):
            waiting.cancel()
        await asyncio.gather(listening, over, return_exceptions=True)

    def _pipe(self, channel: int, port: int) -> Pipe:
        async def send(piece: bytes) -> None:
            await self.socket.send_bytes(bytes([channel]) + piece)

        async def end() -> None:
            """Nothing says it but the end of the socket."""

        async def fail(words: bytes) -> None:
            await self.socket.send_bytes(bytes([channel + 1]) + words)

        return Pipe(port=port, dial=self.dial, send=send, end=end, fail=fail)

    async def hear(self, data: bytes) -> None:
        if data and (pipe := self._pipes.get(data[0])) is not None and len(data) > 1:
            await pipe.feed(data[1:])
