"""The stand-in app as a real process, asked by a real HTTP client."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from chaosfw.errors import UsageError
from chaosfw.sandbox.app.character import VARIABLE, Character, from_text, qualities, to_text
from chaosfw.timing import SYSTEM


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@contextmanager
def app(**qualities: object) -> Iterator[tuple[http.client.HTTPConnection, subprocess.Popen[str]]]:
    port = free_port()
    character = Character(pod="p-1", node="n-1", zone="z-1", host="127.0.0.1", ports=(port,), **qualities)  # type: ignore[arg-type]
    environment = {**os.environ, VARIABLE: to_text(character), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen([sys.executable, "-m", "chaosfw.sandbox.app"], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        while True:
            try:
                connection.connect()
                break
            except ConnectionRefusedError:
                SYSTEM.sleep(0.005)
        try:
            yield connection, process
        finally:
            connection.close()
            process.kill()


def get(
    connection: http.client.HTTPConnection, path: str = "/", *, method: str = "GET", body: str | None = None
) -> tuple[int, bytes, http.client.HTTPResponse]:
    connection.request(method, path, body=body)
    response = connection.getresponse()
    return response.status, response.read(), response


def test_it_says_who_it_is_on_every_path() -> None:
    with app() as (connection, _):
        status, body, response = get(connection, "/any/path?x=1")

        assert status == 200
        assert response.headers["X-Chaosfw-Pod"] == "p-1"
        assert json.loads(body) == {"pod": "p-1", "node": "n-1", "zone": "z-1"}


def test_a_connection_carries_many_requests() -> None:
    """Bodies are read and dropped, HEAD has no body, and the next request is understood."""
    with app() as (connection, _):
        sock = connection.sock
        assert get(connection, method="POST", body="x" * 100_000)[0] == 200
        assert get(connection, method="HEAD")[1] == b""
        connection.request("POST", "/", body=iter([b"one", b"two"]), encode_chunked=True)
        assert connection.getresponse().read()

        assert get(connection)[0] == 200
        assert connection.sock is sock


def test_it_becomes_ready_when_it_says() -> None:
    with app(ready_paths=("/ready",), ready_after=0.4) as (connection, _):
        assert get(connection, "/ready")[0] == 503
        assert get(connection, "/health")[0] == 200
        while get(connection, "/ready")[0] != 200:
            SYSTEM.sleep(0.01)


def test_it_drains_before_it_stops() -> None:
    """SIGTERM: it serves on, tells clients to go, and ends by itself with 0."""
    with app(drain=0.3) as (connection, process):
        process.send_signal(signal.SIGTERM)
        while (answer := get(connection))[2].headers["Connection"] != "close":
            pass

        assert answer[0] == 200
        assert process.wait(timeout=5) == 0


def test_a_request_in_flight_is_finished() -> None:
    with app(latency=0.3) as (connection, process):
        connection.request("GET", "/")
        probe = http.client.HTTPConnection(connection.host, connection.port)
        while b"app_connections" not in get(probe, "/metrics")[1]:
            pass
        probe.close()

        process.send_signal(signal.SIGTERM)

        assert connection.getresponse().status == 200
        assert process.wait(timeout=5) == 0


def test_it_fails_as_often_as_it_says_but_its_probes_do_not() -> None:
    with app(error_rate=1.0, ready_paths=("/ready",)) as (connection, _):
        assert get(connection)[0] == 500
        assert get(connection, "/ready")[0] == 200
        assert b'app_errors_total{pod="p-1"' in get(connection, "/metrics")[1]


def test_it_needs_what_it_depends_on() -> None:
    class Dependency(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Dependency)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    serving.start()
    with app(depends_on=f"http://127.0.0.1:{server.server_port}/") as (connection, _):
        assert get(connection)[0] == 200
        server.shutdown()
        serving.join()
        server.server_close()

        status, body, _ = get(connection)

        assert (status, body) == (502, b"dependency failed: ConnectionRefusedError\n")


def test_annotations_have_units() -> None:
    found = qualities({"chaosfw.dev/drain": "2s", "chaosfw.dev/latency": "250ms", "chaosfw.dev/error-rate": "5%", "other": "x"})

    assert found == {"drain": 2.0, "latency": 0.25, "error_rate": 0.05}
    character = Character(pod="p", node="n", zone="z", host="h", ports=(1,), **found)
    assert from_text(to_text(character)) == character


def test_an_annotation_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UsageError, match=r"chaosfw\.dev/latency is 'slow'"):
        qualities({"chaosfw.dev/latency": "slow"})
