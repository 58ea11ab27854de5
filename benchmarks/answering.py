"""
A server that answers as fast as a Python process can, in a process of its own: for benchmarks of what sends. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def answering(protocol: Literal["http/1.1", "http/2"] = "http/1.1") -> Iterator[str]:
    """Its URL. HTTP/2 is without TLS, by prior knowledge, and dearer for the server."""
    with subprocess.Popen([sys.executable, __file__, protocol], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        child.stdin.close()


class _Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(OK * data.count(b"\r\n\r\n"))


class _Answer2(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self._h2.initiate_connection()
        transport.write(self._h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, RequestReceived) and event.stream_id:
                self._h2.send_headers(event.stream_id, [(":status", "200"), ("content-length", "2")])
                self._h2.send_data(event.stream_id, b"ok", end_stream=True)
        self._transport.write(self._h2.data_to_send())


async def _serve(kind: type[asyncio.Protocol]) -> None:
    server = await asyncio.get_running_loop().create_server(kind, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve(_Answer2 if sys.argv[1] == "http/2" else _Answer))
