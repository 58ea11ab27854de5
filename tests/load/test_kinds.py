"""What the prober can send: several kinds, who it says it is, whom it trusts, bare TCP. Over real sockets."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

import chaosfw as cf
from chaosfw.errors import UsageError
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.load import Auth, Endpoint, Load, Outcome, Seal
from tests.load.conftest import Row, closed_port, ended, rows, wait_for

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@contextmanager
def answering(answer: Callable[[socket.socket], None], secure: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server in threads of its own; ``answer`` has one connection each."""

    def one(peer: socket.socket) -> None:
        try:
            with secure.wrap_socket(peer, server_side=True) if secure else peer as connection:
                answer(connection)
        except OSError:
            pass  # the other side went: what the samples say of that is the test's business

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


def heads(into: list[bytes]) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := connection.recv(65536)):
                return
            data += piece
        into.append(data)
        connection.sendall(OK)

    return answer


def send(load: Load, url: str, out: Path, *, count: int = 10) -> tuple[list[Row], Seal]:
    run = ProberDriver(out).start(load, at=Endpoint(name="shop", url=url), out=out)
    try:
        wait_for(run, count)
        seal = ended(run)
    finally:
        run.kill()
    return rows(run), seal


def unfit(load: Load, url: str, root: Path) -> list[str]:
    return [sentence for sentence, _ in ProberDriver(root).check(load, at=Endpoint(name="shop", url=url), seconds=1.0, claims=True)]


def test_each_kind_is_sent_as_it_is_written_and_in_its_turn(tmp_path: Path) -> None:
    seen: list[bytes] = []
    load = cf.Load(
        "shop",
        rate=100,
        timeout=1,
        headers={"X-Every": "one"},
        requests=[cf.Request("/cart", weight=3), cf.Request("/order", method="POST", body="two", headers={"X-Kind": "order"}, status=200)],
    )
    with answering(heads(seen)) as port:
        found, seal = send(load, f"http://127.0.0.1:{port}/base", tmp_path, count=12)
    by_number = {int(one.lower().partition(b"x-chaosfw-request: ")[2].split(b"\r")[0]): one for one in seen}

    assert {Outcome(row.outcome) for row in found} == {Outcome.ok}
    assert sorted(by_number) == list(range(seal.due))
    orders = [number for number, one in by_number.items() if one.startswith(b"POST /base/order")]
    assert sorted(orders) == [number for number in range(seal.due) if number % 4 == 2]  # as the smooth round robin has it: 0 0 1 0
    assert all(b"X-Every: one" in one and b"Authorization" not in one for one in seen)
    assert all(b"X-Kind: order" in by_number[number] and b"Content-Length: 3" in by_number[number] for number in orders)
    assert all(by_number[number].endswith(b"\r\n\r\ntwo") for number in orders)


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        (cf.bearer("SHOP_TOKEN"), b"Authorization: Bearer s3cret"),
        (cf.basic("ann", password="SHOP_TOKEN"), b"Authorization: Basic " + base64.b64encode(b"ann:s3cret")),
        (cf.header("X-Api-Key", variable="SHOP_TOKEN"), b"X-Api-Key: s3cret"),
    ],
    ids=["bearer", "basic", "header"],
)
def test_the_secret_is_on_the_wire_and_in_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, auth: Auth, line: bytes) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret\n")  # as out of a file that ends with a newline
    seen: list[bytes] = []
    load = cf.Load("shop", rate=100, timeout=1, auth=auth)
    with answering(heads(seen)) as port:
        url = f"http://127.0.0.1:{port}"
        assert unfit(load, url, tmp_path) == []
        found, _ = send(load, url, tmp_path)

    assert {Outcome(row.outcome) for row in found} == {Outcome.ok}
    assert all(b"\r\n" + line + b"\r\n" in one for one in seen)
    assert not [path for path in tmp_path.iterdir() if b"s3cret" in path.read_bytes()]


def test_a_secret_that_is_not_there_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_TOKEN", raising=False)

    assert unfit(cf.Load("shop", auth=cf.bearer("SHOP_TOKEN")), "http://127.0.0.1:1", tmp_path) == [
        "the load's secret is not there: SHOP_TOKEN is not set"
    ]


def test_a_secret_instead_of_its_name_is_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        cf.bearer("eyJhbGciOiJIUzI1NiJ9.payload.signature")

    assert "payload" not in str(caught.value)


def test_trust_is_what_tls_says(tmp_path: Path) -> None:
    """An authority that the system does not know: refused, trusted by file, for another name, and with no questions asked."""
    authority, secure = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("shop.internal").configure_cert(secure)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    wanted = {
        "unknown": (cf.tls(), Outcome.tls),
        "other-name": (cf.tls(ca="ca.pem"), Outcome.tls),
        "named": (cf.tls(ca="ca.pem", server_name="shop.internal"), Outcome.ok),
        "anybody": (cf.tls(verify=False), Outcome.ok),
    }
    with answering(heads([]), secure) as port:
        for name, (tls, outcome) in wanted.items():
            load = cf.Load("shop", rate=50, timeout=2, tls=tls)
            driver, out = ProberDriver(tmp_path), tmp_path / name
            out.mkdir()
            assert driver.check(load, at=Endpoint(name="shop", url=f"https://127.0.0.1:{port}"), seconds=1.0, claims=True) == ()
            run = driver.start(load, at=Endpoint(name="shop", url=f"https://127.0.0.1:{port}"), out=out)
            wait_for(run, 5)
            ended(run)
            assert {Outcome(row.outcome).name for row in rows(run)} == {outcome.name}, name
            assert run.generator.blind == (("no certificate is checked",) if name == "anybody" else ())


def test_a_server_that_asks_who_we_are_is_shown_our_certificate(tmp_path: Path) -> None:
    authority, secure = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(secure)
    authority.configure_trust(secure)
    secure.verify_mode = ssl.CERT_REQUIRED
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    authority.issue_cert("client@shop").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "us.pem"))
    found = {}
    with answering(heads([]), secure) as port:
        for name, tls in {"shown": cf.tls(ca="ca.pem", certificate="us.pem"), "not": cf.tls(ca="ca.pem")}.items():
            run = ProberDriver(tmp_path).start(
                cf.Load("shop", rate=50, timeout=2, tls=tls),
                at=Endpoint(name="shop", url=f"https://127.0.0.1:{port}"),
                out=(tmp_path / name).absolute() if (tmp_path / name).mkdir() is None else tmp_path,
            )
            wait_for(run, 5)
            ended(run)
            found[name] = {Outcome(row.outcome) for row in rows(run)}

    assert found["shown"] == {Outcome.ok}
    assert Outcome.ok not in found["not"]


def test_files_that_are_no_use_are_told_before(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("not a certificate")
    url = "https://127.0.0.1:1"

    assert "missing.pem" in unfit(cf.Load("shop", tls=cf.tls(ca="missing.pem")), url, tmp_path)[0]
    assert "text.pem" in unfit(cf.Load("shop", tls=cf.tls(certificate="text.pem")), url, tmp_path)[0]


def test_over_tcp_a_connection_that_comes_up_is_ok(tmp_path: Path) -> None:
    with answering(lambda connection: None) as port:
        found, _ = send(cf.Load("shop", rate=50, timeout=1), f"tcp://127.0.0.1:{port}", tmp_path)

    assert {Outcome(row.outcome) for row in found} == {Outcome.ok}
    assert {row.status for row in found} == {0}


def test_over_tcp_a_closed_port_is_refused(tmp_path: Path) -> None:
    found, _ = send(cf.Load("shop", rate=50, timeout=1), f"tcp://127.0.0.1:{closed_port()}", tmp_path)

    assert {Outcome(row.outcome) for row in found} == {Outcome.refused}


@pytest.mark.parametrize(
    ("answer", "outcome"), [(b"+PO", Outcome.read_timeout), (b"+PONG\r\n", Outcome.ok), (b"", Outcome.reset)], ids=["half", "whole", "gone"]
)
def test_over_tcp_words_are_sent_and_awaited(tmp_path: Path, answer: bytes, outcome: Outcome) -> None:
    """As one asks a Redis whether it lives."""

    def redis(connection: socket.socket) -> None:
        assert connection.recv(100) == b"PING\r\n"
        if answer:
            connection.sendall(answer)
            connection.recv(100)  # until the prober is through with it

    load = cf.Load("cache", rate=50, timeout=0.3, body="PING\r\n", expect="+PONG")
    with answering(redis) as port:
        found, _ = send(load, f"tcp://127.0.0.1:{port}", tmp_path)

    assert {Outcome(row.outcome) for row in found} == {outcome}


@pytest.mark.parametrize(
    ("load", "url", "word"),
    [
        (cf.Load("shop", path="/cart"), "tcp://127.0.0.1:1", "bare TCP"),
        (cf.Load("shop", expect="PONG"), "http://127.0.0.1:1", "bare TCP"),
        (cf.Load("shop"), "grpc://127.0.0.1:1", "http, https, tcp"),
    ],
)
def test_what_does_not_go_together_is_told_before(load: Load, url: str, word: str, tmp_path: Path) -> None:
    (told,) = unfit(load, url, tmp_path)

    assert word in told


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"requests": [cf.Request("/a")], "path": "/b"}, "path= and requests="),
        ({"requests": [cf.Request("/a", weight=900), cf.Request("/b", weight=900)]}, "weights"),
        ({"processes": -1}, "processes"),
        ({"driver": "k6", "stages": [cf.ramp(5)]}, "stages="),
        ({"driver": "k6", "protocol": "http/2"}, "protocol="),
        ({"protocol": "h3"}, "protocol is 'h3'"),
    ],
)
def test_bad_loads_are_told_when_they_are_written(given: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        cf.Load("shop", **given)  # type: ignore[arg-type]


BAD = [
    lambda: cf.locust("l.py", at="shop", workers=-1),
    lambda: cf.locust("l.py", at="shop", listen="0.0.0.0:5557"),
    lambda: cf.locust("l.py", at="shop", workers=2, listen="5557"),
    lambda: cf.Request("a"),
    lambda: cf.Request("/", weight=0),
    lambda: cf.ramp(0),
    lambda: cf.tls(key="k.pem"),
]


@pytest.mark.parametrize("make", BAD)
def test_bad_parts_of_a_load_are_told_too(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()
