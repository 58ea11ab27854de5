"""
A TLS server that stands between stock clients and an API server and keeps what passes, request by request, as it came.

Used by :mod:`.traces`. It changes one thing: it does not let clients ask for protocol buffers, for compressed answers or for nothing where
nothing has changed (304), so that what is kept can be read. HTTP/1.1 on both sides; a watch is kept line by line until either side ends it.
"""

from __future__ import annotations

import base64
import http.client
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tests.sandbox.apiserver.plane import client_context, server_context

Object = dict[str, Any]
_HOP = ("host", "if-none-match", "if-modified-since", "connection", "accept-encoding", "transfer-encoding", "content-length")


class Between:
    """Runs in a thread; ``exchanges`` stand in the order in which their requests came."""

    def __init__(self, upstream: str) -> None:
        self.exchanges: list[Object] = []
        self.step = 0
        self._upstream = urlsplit(upstream)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.between = self
        context = server_context()
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(self._upstream.hostname or "", self._upstream.port, context=client_context(), timeout=60)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    between: Between

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes in the middle of an answer: what it got is kept."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.upstream = self.server.between.connect()

    def finish(self) -> None:
        self.upstream.close()
        super().finish()

    def log_message(self, format: str, *arguments: Any) -> None:
        """What passes is kept elsewhere."""

    def _pass(self) -> None:
        between = self.server.between
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        accept = ",".join(one for one in self.headers.get("Accept", "*/*").split(",") if "protobuf" not in one) or "application/json"
        kept: Object = {"step": between.step, "method": self.command, "path": self.path, "accept": accept, **_told(body)}
        kept.update(content=self.headers.get("Content-Type", ""), agent=self.headers.get("User-Agent", ""))
        between.exchanges.append(kept)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        self.upstream.request(self.command, self.path, body=body or None, headers={**headers, "Accept": accept})
        answer = self.upstream.getresponse()
        kept.update(code=answer.status, type=answer.headers.get("Content-Type", ""))
        kept["warnings"] = sorted(answer.headers.get_all("Warning") or ())
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if answer.headers.get("Transfer-Encoding") == "chunked":
            self._stream(answer, kept)
        else:
            content = answer.read()
            kept["answer"] = content.decode()
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def _stream(self, answer: http.client.HTTPResponse, kept: Object) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        kept["answer"], kept["stream"] = "", True
        over = threading.Event()
        if "watch=" in self.path:
            threading.Thread(target=_ended, args=(self.connection, self.upstream.sock, over, kept), daemon=True).start()
        while line := answer.readline():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            kept["answer"] += line.decode()
        over.set()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass


def _told(body: bytes) -> Object:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"packed": base64.b64encode(body).decode()}


def _ended(client: socket.socket, upstream: socket.socket, over: threading.Event, kept: Object) -> None:
    """Who still watches says nothing but that it goes; then nobody reads what would come."""
    try:
        select.select([client], [], [])
        if not over.is_set():
            kept["left"] = True
            upstream.shutdown(socket.SHUT_RDWR)
    except (OSError, ValueError):
        return  # both have gone
