"""
A server that answers as fast as a Python process can, in a process of its own: for benchmarks of what sends. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived

AFTER = float(sys.argv[2]) if __name__ == "__main__" else 0.0
SLOT = 0.1
ASKED: Counter[int] = Counter()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextmanager
def answering(protocol: Literal["http/1.1", "http/2"] = "http/1.1", *, after: float = 0.0) -> Iterator[str]:
    """Its URL. It answers HTTP/1.1 ``after`` seconds. HTTP/2 is without TLS, by prior knowledge, and dearer for the server."""
    with subprocess.Popen([sys.executable, __file__, protocol, str(after)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        yield f"http://127.0.0.1:{int(child.stdout.readline())}"
        child.stdin.close()


def asked(url: str) -> list[int]:
    """Requests in each ``SLOT`` seconds since somebody asked this, from the first that came."""
    with urllib.request.urlopen(f"{url}/asked", timeout=5.0) as answer:
        found: list[int] = json.loads(answer.read())
        return found


class _Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"GET /asked"):
            self._tell()
            return
        ASKED[int(time.monotonic() / SLOT)] += 1
        if AFTER:
            asyncio.get_running_loop().call_later(AFTER, self._transport.write, OK * data.count(b"\r\n\r\n"))
            return
        self._transport.write(OK * data.count(b"\r\n\r\n"))

    def _tell(self) -> None:
        """How much was asked in each slot, from the first with something to the last; and from here anew."""
        body = json.dumps([ASKED[slot] for slot in range(min(ASKED), max(ASKED) + 1)] if ASKED else []).encode()
        ASKED.clear()
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


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
