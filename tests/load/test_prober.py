"""The prober against a real server in another process, over real sockets."""

from __future__ import annotations

import errno
import os
import resource
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from chaosfw.analysis.samples import UNKNOWN, grades, series
from chaosfw.errors import DriverError
from chaosfw.load.child import ChildRun
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.load.prober.exchange import outcome_of
from chaosfw.model.load import Endpoint, Load, Outcome, Seal
from tests.load.conftest import GRACE, Row, Server, closed_port, rows, wait_for


def send(url: str, out: Path, *, count: int = 20, **load: Any) -> tuple[list[Row], Seal, ChildRun]:
    """Runs a load until ``count`` requests have ended."""
    load = {"endpoint": "shop", "path": "/ok", "rate": 100.0, "timeout": 0.5} | load
    run = ProberDriver().start(Load(**load), at=Endpoint(name="shop", url=url), out=out)
    try:
        wait_for(run, count)
        run.stop()
        seal = run.wait(GRACE)
    finally:
        run.kill()
    assert seal is not None
    return rows(run), seal, run


@pytest.mark.parametrize(
    ("path", "outcome", "status"),
    [
        ("/ok", Outcome.ok, 200),
        ("/chunked", Outcome.ok, 200),
        ("/until-close", Outcome.ok, 200),
        ("/slow", Outcome.ok, 200),
        ("/302", Outcome.ok, 302),
        ("/404", Outcome.http_4xx, 404),
        ("/500", Outcome.http_5xx, 500),
        ("/reset", Outcome.reset, 0),
        ("/half", Outcome.reset, 200),
        ("/garbage", Outcome.assertion, 0),
        ("/hang", Outcome.read_timeout, 0),
    ],
)
def test_each_way_to_answer_has_its_outcome(server: Server, tmp_path: Path, path: str, outcome: Outcome, status: int) -> None:
    found, _, _ = send(server.url, tmp_path, path=path)

    assert {(Outcome(row.outcome).name, row.status) for row in found} == {(outcome.name, status)}


def test_a_closed_port_is_refused(tmp_path: Path) -> None:
    found, _, _ = send(f"http://127.0.0.1:{closed_port()}", tmp_path)

    assert {row.outcome for row in found} == {Outcome.refused}


def test_a_full_backlog_is_a_connect_timeout(tmp_path: Path) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        found, _, _ = send(f"http://127.0.0.1:{listening.getsockname()[1]}", tmp_path)

    assert Outcome.connect_timeout in {row.outcome for row in found}
    assert {row.outcome for row in found} <= {Outcome.connect_timeout, Outcome.read_timeout}


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'n' * 64}.invalid"], ids=["unknown", "no name at all"])
def test_a_name_that_does_not_resolve_is_the_generators_own_trouble(tmp_path: Path, host: str) -> None:
    """``dns``, in slots that are unwell, and so unknown: never bad."""
    load = Load(endpoint="shop", path="/ok", rate=100.0, timeout=0.5)
    found, seal, run = send(f"http://{host}:80", tmp_path)

    assert {row.outcome for row in found} == {Outcome.dns}
    assert seal.lookups == seal.lookups_failed >= 1
    assert sum(slot.unresolved for slot in seal.unhealthy) == len(found)
    column = series(run.samples(0)[0], load=load, generator=run.generator, off=seal.off, seal=seal)
    assert column.broken == ""
    assert column.tainted.all()
    assert set(grades(column, limit=None)) == {UNKNOWN}


def test_a_name_that_resolves_is_counted_and_an_address_is_never_looked_up(server: Server, tmp_path: Path) -> None:
    (tmp_path / "name").mkdir()
    (tmp_path / "address").mkdir()
    found, by_name, _ = send(server.url.replace("127.0.0.1", "localhost"), tmp_path / "name")
    _, by_address, _ = send(server.url, tmp_path / "address")

    assert {row.outcome for row in found} == {Outcome.ok}
    assert (by_name.lookups >= 1, by_name.lookups_failed) == (True, 0)
    assert (by_address.lookups, by_address.lookups_failed) == (0, 0)


def test_without_descriptors_requests_are_dropped_and_not_refused(server: Server, tmp_path: Path) -> None:
    """All answers hang, so the few descriptors that are left are soon in use; what finds none was never sent."""
    load = Load(endpoint="shop", path="/hang", rate=100.0, timeout=0.5)
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=server.url), out=tmp_path)
    try:
        resource.prlimit(run.generator.pid, resource.RLIMIT_NOFILE, (16, 16))
        wait_for(run, 60)
        run.stop()
        seal = run.wait(GRACE)
    finally:
        run.kill()

    assert seal is not None
    found = Counter(Outcome(row.outcome) for row in rows(run))
    assert found[Outcome.refused] == 0
    assert found[Outcome.dropped] == seal.exhausted == sum(slot.dropped for slot in seal.unhealthy) > 0
    column = series(run.samples(0)[0], load=load, generator=run.generator, off=seal.off, seal=seal)
    assert column.broken == ""
    assert set(grades(column, limit=None)[column.outcome == Outcome.dropped]) == {UNKNOWN}


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS], ids=errno.errorcode.get)
def test_what_this_machine_lacks_is_not_a_refusal(code: int) -> None:
    """No free port, descriptor or buffer: nobody refused anything."""
    assert outcome_of(OSError(code, "connect")) is Outcome.dropped


def answers(listening: socket.socket, secure: ssl.SSLContext | None) -> None:
    """Until the socket is closed: one fixed answer to everybody, at once."""
    while True:
        try:
            peer, _ = listening.accept()
            with secure.wrap_socket(peer, server_side=True) if secure else peer as connection:
                if secure:
                    connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except ssl.SSLError:
            continue
        except OSError:
            return


@contextmanager
def answering(secure: ssl.SSLContext | None = None) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answers, args=(listening, secure))
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_plain_http_behind_https_is_tls(tmp_path: Path) -> None:
    with answering() as port:
        found, _, _ = send(f"https://127.0.0.1:{port}", tmp_path)

    assert {row.outcome for row in found} == {Outcome.tls}


def test_https_is_verified_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(secure)
    (tmp_path / "unknown").mkdir()
    (tmp_path / "known").mkdir()
    with answering(secure) as port:
        unknown, _, _ = send(f"https://127.0.0.1:{port}", tmp_path / "unknown")
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        known, _, _ = send(f"https://127.0.0.1:{port}", tmp_path / "known")

    assert {row.outcome for row in unknown} == {Outcome.tls}
    assert {row.outcome for row in known} == {Outcome.ok}


def test_an_unexpected_status_is_an_assertion(server: Server, tmp_path: Path) -> None:
    found, _, _ = send(server.url, tmp_path, path="/302", expected_status=(200,))

    assert {row.outcome for row in found} == {Outcome.assertion}


def test_the_server_saw_exactly_what_the_samples_say(server: Server, tmp_path: Path) -> None:
    found, seal, _ = send(server.url, tmp_path, count=100, rate=400.0)

    assert sorted(row.n for row in found) == list(range(seal.due))
    assert len(server.lines()) == len(found) == seal.count
    assert len({connection for connection, _ in server.lines()}) == len(found)


def test_keep_alive_uses_few_connections_and_says_so(server: Server, tmp_path: Path) -> None:
    found, _, _ = send(server.url, tmp_path, count=50, connection="keep-alive")

    fresh = [row for row in found if not row.flags & 1]
    assert len({connection for connection, _ in server.lines()}) == len(fresh)
    assert len(fresh) < len(found) / 2


def test_markers_name_who_answered(server: Server, tmp_path: Path) -> None:
    found, seal, _ = send(server.url, tmp_path)

    assert seal.markers == ("web-1",)
    assert {row.marker for row in found} == {0}


def test_hanging_answers_never_hold_up_the_next_request(server: Server, tmp_path: Path) -> None:
    """Open model: what is due is sent, whether or not earlier ones came back."""
    found, seal, run = send(server.url, tmp_path, path="/hang", rate=200.0, count=20)

    ordered = sorted(found, key=lambda row: row.n)
    assert sorted(row.n for row in found) == list(range(seal.due))
    assert all(row.sent >= run.generator.on + int(row.n * 1e9 / 200.0) for row in ordered)
    assert sum(1 for row in ordered[1:] if row.sent < ordered[0].end) > 10


def test_the_seal_fits_the_samples(server: Server, tmp_path: Path) -> None:
    load = Load(endpoint="shop", path="/ok", rate=100.0, timeout=0.5)
    _, seal, run = send(server.url, tmp_path)

    column = series(run.samples(0)[0], load=load, generator=run.generator, off=seal.off, seal=seal)

    assert column.broken == ""
    assert len(column.due) == seal.due


def test_in_flight_is_bounded_and_what_is_beyond_is_dropped(tmp_path: Path, server: Server) -> None:
    """A stopped prober that wakes up owes more than it may have in flight."""
    load = Load(endpoint="shop", path="/hang", rate=2000.0, timeout=0.1)
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 20)
    os.kill(run.generator.pid, signal.SIGSTOP)
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.4)"], check=True)  # the length of the stall, nothing waits for it
    os.kill(run.generator.pid, signal.SIGCONT)
    wait_for(run, len(rows(run)) + 400)
    run.stop()
    seal = run.wait(GRACE)

    assert seal is not None
    assert Counter(row.outcome for row in rows(run))[Outcome.dropped] > 0
    assert any(slot.dropped for slot in seal.unhealthy)
    assert max(slot.lateness_max for slot in seal.unhealthy) > 0.05


def test_what_is_in_flight_at_the_end_of_the_drain_is_aborted_or_timed_out(server: Server, tmp_path: Path) -> None:
    found, seal, _ = send(server.url, tmp_path, path="/hang", count=1)

    assert len(found) == seal.due
    assert {row.outcome for row in found} <= {Outcome.read_timeout, Outcome.aborted}


def test_sigterm_stops_it_with_a_seal(server: Server, tmp_path: Path) -> None:
    run = ProberDriver().start(Load(endpoint="shop", path="/ok", timeout=0.5), at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 3)

    os.kill(run.generator.pid, signal.SIGTERM)

    seal = run.wait(GRACE)
    assert seal is not None
    assert seal.count == len(rows(run))


def test_killed_it_leaves_whole_samples_and_no_seal(server: Server, tmp_path: Path) -> None:
    run = ProberDriver().start(Load(endpoint="shop", path="/ok"), at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 3)

    assert run.kill() == (run.pgid,)
    assert run.wait(GRACE) is None
    assert not run.alive()
    assert rows(run)


def test_it_ends_when_whoever_started_it_is_killed(server: Server, tmp_path: Path) -> None:
    """SIGKILL of the parent closes the pipe: the prober drains, seals and goes."""
    script = (
        "import sys; from pathlib import Path\n"
        "from chaosfw.load.prober.driver import ProberDriver\n"
        "from chaosfw.model.load import Endpoint, Load\n"
        "load, at = Load(endpoint='s', path='/ok', timeout=0.5), Endpoint(name='s', url=sys.argv[1])\n"
        "run = ProberDriver().start(load, at=at, out=Path(sys.argv[2]))\n"
        "print(run.generator.pid, flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, server.url, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        handle = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()

    ended = select.select([handle], [], [], GRACE)[0]

    os.close(handle)
    assert ended
    assert (tmp_path / "seal.json").exists()


def test_a_start_that_fails_tells_why(tmp_path: Path) -> None:
    (tmp_path / "samples.bin").touch()

    with pytest.raises(DriverError, match=r"(?s)'prober' did not start: .*FileExistsError") as caught:
        ProberDriver().start(Load(endpoint="shop"), at=Endpoint(name="shop", url="http://127.0.0.1:9"), out=tmp_path)
    assert "prober.log" in caught.value.hint
