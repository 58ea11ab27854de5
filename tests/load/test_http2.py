"""HTTP/2 from the prober, against Node's own server and, for what that never does, against frames written by hand."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
from hpack import Encoder, HeaderTuple

import chaosfw as cf
from chaosfw.load.prober.http2 import Line
from chaosfw.load.prober.sending import Idle
from chaosfw.model.load import Outcome
from tests.load.conftest import GRACE, Row, Server, closed_port
from tests.load.test_kinds import answering, send, unfit

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RESET, SETTINGS, PING, GOAWAY = 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


@contextmanager
def node(log: Path, *more: Path) -> Iterator[int]:
    log.touch()
    program = shutil.which("node")
    assert program is not None, "these tests need Node: apt-get install nodejs"
    script = Path(__file__).with_name("http2_server.js")
    with subprocess.Popen([program, str(script), str(log), *map(str, more)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        yield int(child.stdout.readline())
        child.stdin.close()


@pytest.fixture(scope="module")
def _second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("http2") / "log"
    with node(log) as port:
        yield Server(url=f"http://127.0.0.1:{port}", log=log)


@pytest.fixture
def second(_second: Server) -> Server:
    _second.log.write_text("")
    return _second


def outcomes(found: list[Row]) -> set[tuple[str, int]]:
    return {(Outcome(row.outcome).name, row.status) for row in found}


@pytest.mark.parametrize("connection", ["new", "keep-alive"])
@pytest.mark.parametrize(
    ("path", "outcome", "status"),
    [
        ("/ok", Outcome.ok, 200),
        ("/empty", Outcome.ok, 204),
        ("/large", Outcome.ok, 200),  # several times what the window lets through at first
        ("/404", Outcome.http_4xx, 404),
        ("/500", Outcome.http_5xx, 500),
        ("/reset", Outcome.reset, 0),
        ("/half", Outcome.reset, 200),
        ("/hang", Outcome.read_timeout, 0),
        ("/grpc-ok", Outcome.ok, 200),
        ("/grpc-unavailable", Outcome.assertion, 200),
        ("/grpc-at-once", Outcome.assertion, 200),
    ],
)
def test_each_way_to_answer_has_its_outcome(
    second: Server, tmp_path: Path, path: str, outcome: Outcome, status: int, connection: str
) -> None:
    load = cf.Load("shop", path=path, rate=100, timeout=0.3, protocol="http/2", connection=connection)  # type: ignore[arg-type]
    found, seal = send(load, second.url, tmp_path)

    assert outcomes(found) == {(outcome.name, status)}
    assert len(found) == seal.due


def test_the_server_saw_what_was_meant(second: Server, tmp_path: Path) -> None:
    load = cf.Load(
        "shop", path="/ok", rate=100, timeout=2, method="POST", body="b" * 100_000, headers={"X-Every": "one"}, protocol="http/2"
    )
    found, seal = send(load, second.url, tmp_path)
    seen = [line.split() for line in second.log.read_text().splitlines()]

    assert outcomes(found) == {("ok", 200)}
    assert sorted(int(number) for _, _, _, number, _, _ in seen) == list(range(seal.due))
    assert {(method, path, size, every) for _, method, path, _, size, every in seen} == {("POST", "/ok", "100000", "one")}
    assert len({session for session, *_ in seen}) == seal.due  # a new connection each
    assert seal.markers == ("web-1",)


def test_kept_connections_are_used_again_and_it_says_so(second: Server, tmp_path: Path) -> None:
    found, _ = send(
        cf.Load("shop", path="/ok", rate=200, timeout=2, protocol="http/2", connection="keep-alive"), second.url, tmp_path, count=50
    )
    sessions = {line.split()[0] for line in second.log.read_text().splitlines()}

    assert outcomes(found) == {("ok", 200)}
    assert len(sessions) < len(found) / 2
    assert sum(row.flags & 1 for row in found) == len(found) - len(sessions)


def test_over_tls_it_is_agreed_on(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("shop.test")
    mine.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    mine.private_key_pem.write_to_path(tmp_path / "key.pem")
    load = cf.Load("shop", path="/ok", rate=100, timeout=2, protocol="http/2", tls=cf.tls(ca="ca.pem", server_name="shop.test"))
    with node(tmp_path / "log", tmp_path / "cert.pem", tmp_path / "key.pem") as port:
        found, _ = send(load, f"https://127.0.0.1:{port}", tmp_path)

    assert outcomes(found) == {("ok", 200)}


def test_a_tls_server_that_does_not_speak_it_is_told_from_one_that_answers(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(secure)
    load = cf.Load("shop", rate=100, timeout=2, protocol="http/2", tls=cf.tls(ca="ca.pem"))
    with answering(lambda connection: None, secure) as port:
        found, _ = send(load, f"https://127.0.0.1:{port}", tmp_path)

    assert outcomes(found) == {("tls", 0)}


def test_a_server_of_http_1_is_no_http_2(server: Server, tmp_path: Path) -> None:
    def older(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.recv(65536)

    with answering(older) as port:
        found, _ = send(cf.Load("shop", rate=100, timeout=2, protocol="http/2"), f"http://127.0.0.1:{port}", tmp_path)

    assert outcomes(found) == {("assertion", 0)}


def test_a_closed_port_is_refused(tmp_path: Path) -> None:
    found, _ = send(cf.Load("shop", rate=100, timeout=1, protocol="http/2"), f"http://127.0.0.1:{closed_port()}", tmp_path)

    assert outcomes(found) == {("refused", 0)}


def test_bare_tcp_has_no_protocol(tmp_path: Path) -> None:
    assert "bare TCP" in unfit(cf.Load("shop", protocol="http/2"), "tcp://127.0.0.1:1", tmp_path)[0]


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def goes_away(last: int) -> bytes:
    return frame(GOAWAY, last.to_bytes(4, "big") + bytes(4))


def whole(stream: int) -> bytes:
    return frame(HEADERS, Encoder().encode([(":status", "200")]), flags=END_STREAM | END_HEADERS, stream=stream)


class Peer:
    """The other end of a connection, frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(GRACE)
        self._file = connection.makefile("rb")
        self._connection = connection

    def asked(self) -> int:
        """Until the next request has come: its stream. 0: they went."""
        while True:
            head = self._file.read(9)
            if head.startswith(PREFACE[:9]):
                self._file.read(len(PREFACE) - 9)
                continue
            if len(head) < 9:
                return 0
            self._file.read(int.from_bytes(head[:3], "big"))
            if head[3] == HEADERS:
                return int.from_bytes(head[5:9], "big")

    def got(self, kind: int, flags: int = 0) -> bool:
        """Waits for such a frame. False: they went."""
        while len(head := self._file.read(9)) == 9:
            self._file.read(int.from_bytes(head[:3], "big"))
            if head[3] == kind and head[4] & flags == flags:
                return True
        return False

    def say(self, *frames: bytes) -> None:
        self._connection.sendall(b"".join(frames))


def by_hand(answer: Callable[[Peer], None], tmp_path: Path, *, connection: str = "keep-alive", count: int = 10) -> list[Row]:
    load = cf.Load("shop", rate=100, timeout=1, protocol="http/2", connection=connection)  # type: ignore[arg-type]
    with answering(lambda connection: answer(Peer(connection))) as port:
        return send(load, f"http://127.0.0.1:{port}", tmp_path, count=count)[0]


def test_a_server_that_drains_still_answers_what_it_took(tmp_path: Path) -> None:
    """GOAWAY first, then the answer: what Envoy, Go and gRPC do when a pod ends. The connection is not used again."""

    def drains(peer: Peer) -> None:
        stream = peer.asked()
        peer.say(frame(SETTINGS), goes_away((1 << 31) - 1), goes_away(stream), whole(stream))
        assert peer.asked() == 0

    found = by_hand(drains, tmp_path)

    assert outcomes(found) == {("ok", 200)}
    assert not any(row.flags & 1 for row in found)


def test_a_request_that_the_server_never_took_is_refused(tmp_path: Path) -> None:
    def too_late(peer: Peer) -> None:
        peer.asked()
        peer.say(frame(SETTINGS), goes_away(0))
        peer.asked()

    assert outcomes(by_hand(too_late, tmp_path)) == {("refused", 0)}


@pytest.mark.parametrize(("code", "outcome"), [(7, "refused"), (8, "reset"), (2, "reset")], ids=["REFUSED_STREAM", "CANCEL", "INTERNAL"])
def test_a_stream_that_is_reset_says_whether_it_was_touched(tmp_path: Path, code: int, outcome: str) -> None:
    def resets(peer: Peer) -> None:
        stream = peer.asked()
        peer.say(frame(SETTINGS), frame(RESET, code.to_bytes(4, "big"), stream=stream))
        peer.asked()

    assert outcomes(by_hand(resets, tmp_path)) == {(outcome, 0)}


def test_a_connection_that_waits_hears_what_the_protocol_says() -> None:
    """A ping is answered and the connection stays; a goodbye, bytes that are none of it, or an end, and it is not used again."""
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with mine, theirs:
        peer, line = Peer(theirs), Line()
        request, stream = line.ask([HeaderTuple(b":method", b"GET"), HeaderTuple(b":path", b"/")], b"", marker=b"")
        mine.sendall(request)
        assert stream.feed(frame(SETTINGS) + whole(peer.asked()))
        idle = Idle(mine, line)

        assert idle.settled()
        assert peer.got(SETTINGS, ACK)
        peer.say(frame(PING, bytes(8)))
        assert idle.goes_on()
        assert peer.got(PING, ACK)
        peer.say(goes_away(1))
        assert not idle.goes_on()


@pytest.mark.parametrize("words", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b""], ids=["other words", "the end"])
def test_a_connection_that_waits_and_breaks_is_not_used_again(words: bytes) -> None:
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    with mine, theirs:
        theirs.sendall(words)
        theirs.shutdown(socket.SHUT_WR)

        assert not Idle(mine, Line()).goes_on()
