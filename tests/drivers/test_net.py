"""Probes of plain services: what says whether to go on."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from chaosfw.activities.net import file_is_absent, promql_is_empty
from chaosfw.errors import DriverError

FIRING = {"metric": {"alertname": "Down"}, "value": [1.0, "1"]}


class Api(BaseHTTPRequestHandler):
    """Answers in the shape of Prometheus' HTTP API (/api/v1/query, instant vectors)."""

    def do_GET(self) -> None:
        (query,) = parse_qs(urlsplit(self.path).query)["query"]
        data = {"resultType": "vector", "result": [FIRING] if query == "firing" else []}
        told = {"status": "error", "error": "parse error"} if query == "wrong" else {"status": "success", "data": data}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def prometheus() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_an_expression_without_a_result_is_empty(prometheus: str) -> None:
    assert promql_is_empty(prometheus, 'up{job="shop"} == 0') is True
    assert promql_is_empty(prometheus, "firing") is False


def test_a_wrong_expression_and_a_silent_server_are_errors_and_not_empty(prometheus: str) -> None:
    with pytest.raises(DriverError, match="can not answer 'wrong': parse error"):
        promql_is_empty(prometheus, "wrong")
    with pytest.raises(DriverError, match="does not answer"):
        promql_is_empty("http://127.0.0.1:9", "up")


def test_a_file_is_there_or_not(tmp_path: Path) -> None:
    assert file_is_absent(str(tmp_path / "stop")) is True

    (tmp_path / "stop").touch()

    assert file_is_absent(str(tmp_path / "stop")) is False
