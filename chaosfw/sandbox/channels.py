"""
The streams of a command over a WebSocket, as Kubernetes numbers them (``v5.channel.k8s.io``, and ``v4`` without the close signal).

Called by whoever answers ``exec``: the embedded API server, or a node's own door when a real API server passes the request on. The first
byte of each message is the channel; at the end a Status says how the command ended.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

from aiohttp import WSMsgType, web

from chaosfw.sandbox.client.verbs import STDERR, STDIN, STDOUT, Execution, Object, Wanted

PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STATUS, _RESIZE, _CLOSE = 3, 4, 255


def wanted(query: web.BaseRequest, *, names: tuple[str, str, str] = ("stdin", "stdout", "stderr")) -> Wanted:
    """What a request asks for; a kubelet is asked with other names."""
    asked = query.query
    said = {name for name in (*names, "tty") if asked.get(name, "").lower() in ("true", "t", "1")}  # as Go reads a truth value
    streams = frozenset(number for number, name in enumerate(names) if name in said)
    return Wanted(command=tuple(asked.getall("command", [])), streams=streams, tty="tty" in said)


def speaks(request: web.BaseRequest) -> bool:
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    return request.headers.get("Upgrade", "").lower() == "websocket" and any(one.strip() in PROTOCOLS for one in offered.split(","))


async def carry(request: web.BaseRequest, execution: Execution) -> web.StreamResponse:
    """Until the command has ended and all is said, or the client has gone."""
    socket = web.WebSocketResponse(protocols=PROTOCOLS, autoclose=True)
    try:
        await socket.prepare(request)
    except ConnectionError:
        execution.close()  # gone before it began
        raise
    listening = asyncio.ensure_future(_listen(socket, execution))
    telling = asyncio.ensure_future(_tell(socket, execution))
    try:
        await asyncio.wait({listening, telling}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            telling.result()
    except ConnectionError:
        pass  # the client has gone
    finally:
        for task in (listening, telling):
            task.cancel()
        await asyncio.gather(listening, telling, return_exceptions=True)
        execution.close()
    await socket.close()
    return socket


async def _listen(socket: web.WebSocketResponse, execution: Execution) -> None:
    async for message in socket:
        whole = message.data.encode() if message.type is WSMsgType.TEXT else message.data  # the Python client sends text
        if message.type not in (WSMsgType.BINARY, WSMsgType.TEXT) or not whole:
            continue
        channel, data = whole[0], whole[1:]
        if channel == STDIN:
            await execution.feed(data)
        elif channel == _RESIZE:
            size = json.loads(data)
            execution.resize(width=int(size["Width"]), height=int(size["Height"]))
        elif channel == _CLOSE and data[:1] == bytes([STDIN]):
            execution.feed_end()


async def _tell(socket: web.WebSocketResponse, execution: Execution) -> None:
    async for stream, data in execution.output():
        assert stream in (STDOUT, STDERR)
        await socket.send_bytes(bytes([stream]) + data)
    await socket.send_bytes(bytes([_STATUS]) + json.dumps(status(await execution.code())).encode())


def status(code: int) -> Object:
    """As the real kubelet's streaming server says it (k8s.io/kubelet/pkg/cri/streaming/remotecommand)."""
    if not code:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
