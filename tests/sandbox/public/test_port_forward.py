"""Connections to a pod through the API server, by stock clients, on either control plane."""

from __future__ import annotations

import http.client
import json
import os
import re
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import SLOW, Ask

Forward = Callable[..., AbstractContextManager["Forwarded"]]
ECHO = """
import os, socket
door = socket.create_server((os.environ["POD_IP"], 9999))
print("ready", flush=True)
while True:
    one, _ = door.accept()
    with one:
        while data := one.recv(65536):
            one.sendall(data)
"""


class Forwarded:
    """One ``kubectl port-forward`` that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(self.line(r"Forwarding from 127\.0\.0\.1:(\d+)")[1])

    def line(self, pattern: str) -> re.Match[str]:
        """The first line that it says that is like that."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as waiting:
            waiting.register(self.process.stdout, selectors.EVENT_READ)
            seen = ""
            while waiting.select(SLOW):
                line = self.process.stdout.readline()
                if (found := re.search(pattern, line)) is not None:
                    return found
                assert line, f"kubectl ended with {self.process.wait(10)}: {seen}"
                seen += line
        raise AssertionError(f"waited in vain for {pattern}; last: {seen}")

    def get(self) -> str:
        """Who answers to one who has just come."""
        with closing(self.connection()) as connection:
            return self.ask(connection)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, connection: http.client.HTTPConnection) -> str:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return str(answer.headers["X-Chaosfw-Pod"])


@pytest.fixture
def forward(shop: Sandbox, kubectl: str) -> Forward:
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}

    @contextmanager
    def run(what: str, port: str) -> Iterator[Forwarded]:
        words = [kubectl, "-n", "shop", "port-forward", "--address=127.0.0.1", what, port]
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                yield Forwarded(process)
            finally:
                process.terminate()

    return run


@pytest.fixture
def pod(ask: Ask) -> Any:
    """One of the shop that serves."""
    return pods(ask)[0]


def pods(ask: Ask) -> list[Any]:
    found: list[Any] = json.loads(ask("get", "pods", "-n", "shop", "-l", "app=myapp", "-o", "json").stdout)["items"]
    return found


def test_a_pod_answers_at_a_local_port(forward: Forward, pod: Any) -> None:
    name, port = pod["metadata"]["name"], pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    with forward(f"pod/{name}", f":{port}") as forwarded, closing(forwarded.connection()) as kept:
        assert [forwarded.ask(kept) for _ in range(3)] == [name] * 3
        with ThreadPoolExecutor(10) as pool:
            assert set(pool.map(lambda _: forwarded.get(), range(30))) == {name}
        assert forwarded.ask(kept) == name


def test_a_service_is_forwarded_to_one_of_its_pods(forward: Forward, ask: Ask) -> None:
    with forward("svc/myapp", ":80") as forwarded:
        answered = {forwarded.get() for _ in range(6)}
    assert len(answered) == 1
    assert answered <= {one["metadata"]["name"] for one in pods(ask)}


def test_all_that_is_sent_comes_back(forward: Forward, shop: Sandbox, kubectl: str, pod: Any) -> None:
    """Three megabytes each way at once, and the end of them."""
    name = pod["metadata"]["name"]
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}
    words = [kubectl, "-n", "shop", "exec", "-t", name, "--", "python3", "-c", ECHO]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as echo:
        assert echo.stdout is not None
        assert echo.stdout.readline().strip() == "ready"
        data = os.urandom(3_000_000)
        with forward(f"pod/{name}", ":9999") as forwarded, socket.create_connection(("127.0.0.1", forwarded.port), timeout=60) as ours:

            def say() -> None:
                ours.sendall(data)
                ours.shutdown(socket.SHUT_WR)

            saying = threading.Thread(target=say)
            saying.start()
            heard = bytearray()
            while piece := ours.recv(65536):
                heard += piece
            saying.join()
        echo.terminate()
    assert bytes(heard) == data


def test_a_port_where_nobody_listens_is_refused_in_words(forward: Forward, pod: Any) -> None:
    with (
        forward(f"pod/{pod['metadata']['name']}", ":4321") as forwarded,
        socket.create_connection(("127.0.0.1", forwarded.port), timeout=30) as ours,
    ):
        said = forwarded.line("(?i)an error occurred forwarding")
        assert "connection refused" in said.string
        assert pod["metadata"]["uid"] in said.string
        assert not _rest(ours)


def _rest(ours: socket.socket) -> bytes:
    try:
        return ours.recv(1)
    except ConnectionResetError:
        return b""


def test_the_python_client_has_a_socket(shop: Sandbox, pod: Any) -> None:
    name, port = pod["metadata"]["name"], pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    environment = {**os.environ, "KUBECONFIG": str(shop.kubeconfig)}
    script = Path(__file__).with_name("clients") / "python_forward.py"
    done = subprocess.run([sys.executable, script, name, str(port), "4321"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["answer"].startswith("HTTP/1.1 200")
    assert f"X-Chaosfw-Pod: {name}" in told["answer"]
    assert "connection refused" in told["refused"]
