"""The real k6, both majors, against a real server: what becomes of each request, what k6 hides, and how it ends."""

from __future__ import annotations

import os
import select
import signal
from collections import Counter
from pathlib import Path

import pytest

from chaosfw.analysis.samples import series
from chaosfw.errors import DriverError, UsageError
from chaosfw.load.book import Book
from chaosfw.load.child import ChildRun
from chaosfw.load.health import Vitals
from chaosfw.load.k6 import program
from chaosfw.load.k6.account import Account, Request, Tags, outcome_of
from chaosfw.load.k6.driver import K6Driver
from chaosfw.load.k6.script import written
from chaosfw.load.k6.stream import Stream
from chaosfw.model.load import SAMPLE, Endpoint, Load, Outcome, Script
from chaosfw.timing import SYSTEM
from tests.load.conftest import GRACE, K6, Server, closed_port, ended, rows, wait_for

VERSIONS = pytest.mark.parametrize("version", sorted(K6))
NEWEST = "2.0.0"

PATHS = {
    "/ok": (Outcome.ok, 200),
    "/404": (Outcome.http_4xx, 404),
    "/500": (Outcome.http_5xx, 500),
    "/reset": (Outcome.reset, 0),
    "/hang": (Outcome.read_timeout, 0),
    "/slow": (Outcome.ok, 200),
}

SEQUENCE = """
import http from 'k6/http';
export default function () {
  for (const path of PATHS) http.get(`${__ENV.TARGET}${path}`, { timeout: '500ms' });
}
"""

SIMPLE = """
import http from 'k6/http';
import { check, sleep } from 'k6';
export default function () {
  const res = http.get(`${__ENV.TARGET}/ok`, { timeout: '500ms' });
  check(res, { 'is good': (r) => r.status === 200, 'is bad': (r) => r.status === 500 });
  sleep(0.02);
}
"""


def start(out: Path, text: str, *, url: str, version: str = NEWEST, users: int = 1, timeout: float = 0.5) -> ChildRun:
    (out / "script.js").write_text(text)
    load = Load(endpoint="shop", rate=0.0, timeout=timeout, driver="k6", script=Script(file="script.js", users=users))
    return K6Driver(str(K6[version]), root=out).start(load, at=Endpoint(name="shop", url=url), out=out, seconds=60.0)


def plain(out: Path, *, url: str, version: str = NEWEST, **load: object) -> ChildRun:
    told = {"endpoint": "shop", "path": "/ok", "rate": 100.0, "timeout": 0.5, "driver": "k6"} | load
    return K6Driver(str(K6[version])).start(Load(**told), at=Endpoint(name="shop", url=url), out=out, seconds=60.0)  # type: ignore[arg-type]  # a test's own words


@VERSIONS
def test_each_request_is_a_sample_with_what_became_of_it(server: Server, tmp_path: Path, version: str) -> None:
    text = SEQUENCE.replace("PATHS", str(list(PATHS)))
    run = start(tmp_path, text, url=server.url, version=version)
    try:
        wait_for(run, 2 * len(PATHS))
        seal = ended(run)
    finally:
        run.kill()

    found = rows(run)[: len(PATHS)]
    hang, slow = (found[list(PATHS).index(path)] for path in ("/hang", "/slow"))
    assert [(Outcome(row.outcome), row.status) for row in found] == list(PATHS.values())
    assert hang.end - hang.sent >= 0.5e9
    assert slow.end - slow.sent >= 0.05e9
    assert (seal.count, seal.ended) == (len(rows(run)), "")


@VERSIONS
def test_a_refused_connection_is_refused_and_not_fast(tmp_path: Path, version: str) -> None:
    """k6 writes 0 ms for it; as a failure it has no latency that could make a percentile better."""
    run = plain(tmp_path, url=f"http://127.0.0.1:{closed_port()}", version=version)
    try:
        wait_for(run, 20)
        ended(run)
    finally:
        run.kill()

    assert {Outcome(row.outcome) for row in rows(run)} == {Outcome.refused}
    assert all(row.end >= row.sent > 0 for row in rows(run))


@VERSIONS
def test_a_plain_load_is_on_its_schedule_and_the_server_saw_all_of_it(server: Server, tmp_path: Path, version: str) -> None:
    run = plain(tmp_path, url=server.url, version=version, timeout=2.0)
    try:
        wait_for(run, 150)
        seal = ended(run)
    finally:
        run.kill()

    known = [row for row in rows(run) if row.n < seal.off]
    assert [round((row.n - run.generator.on) / 1e7) for row in sorted(known)] == list(range(len(known)))
    assert {Outcome(row.outcome) for row in known} == {Outcome.ok}
    assert all(not row.flags & 1 for row in known)  # a new connection each
    assert len(server.lines()) >= len(rows(run))  # what was cut at the very end was asked and not recorded
    column = series(run.samples(0)[0], load=Load(endpoint="shop", rate=100.0), generator=run.generator, off=seal.off, seal=seal)
    assert (column.broken, len(column.due)) == ("", len(known))


def test_a_plain_load_asks_as_it_is_told(server: Server, tmp_path: Path) -> None:
    run = plain(tmp_path, url=server.url, path="/404", expected_status=(404,), connection="keep-alive", method="POST", body="x")
    try:
        wait_for(run, 50)
        ended(run)
    finally:
        run.kill()

    assert {(Outcome(row.outcome), row.status) for row in rows(run)} == {(Outcome.ok, 404)}
    assert any(row.flags & 1 for row in rows(run))


def test_arrivals_without_a_vu_are_dropped_demand(server: Server, tmp_path: Path) -> None:
    """The script has two VUs, and answers never come: k6 drops what it can not start, exits 0, and calls that success."""
    text = """
import http from 'k6/http';
export const options = { scenarios: { a: {
  executor: 'constant-arrival-rate', rate: 100, timeUnit: '1s', duration: '5m', preAllocatedVUs: 2, maxVUs: 2 } } };
export default function () { http.get(`${__ENV.TARGET}/hang`, { timeout: '500ms' }); }
"""
    run = start(tmp_path, text, url=server.url, users=0)
    try:
        wait_for(run, 150)
        seal = ended(run)
    finally:
        run.kill()

    found = Counter(Outcome(row.outcome) for row in rows(run))
    assert run.generator.model == "open"
    assert found[Outcome.dropped] > 10 * found[Outcome.read_timeout] > 0
    assert any("iterations dropped" in words for words in seal.said)
    assert seal.unhealthy


def test_checks_and_thresholds_are_told_and_nothing_more(server: Server, tmp_path: Path) -> None:
    text = SIMPLE + "export const options = { thresholds: { http_req_failed: ['rate>0.5'] } };\n"
    run = start(tmp_path, text, url=server.url, users=2)
    try:
        wait_for(run, 20)
        seal = ended(run)
    finally:
        run.kill()

    asked = len(rows(run))
    assert {Outcome(row.outcome) for row in rows(run)} == {Outcome.ok}
    assert f"check 'is good': all {asked} passed" in seal.said
    assert f"check 'is bad': {asked} of {asked} failed" in seal.said
    assert seal.ended == ""


def test_k6_sums_up_for_thresholds_only_where_there_may_be_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.js").write_text(SIMPLE + "export const options = { thresholds: { http_req_failed: ['rate<0.5'] } };\n")
    (tmp_path / "none.js").write_text(SIMPLE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("K6_CONFIG", raising=False)

    def asks(file: str, **env: str) -> bool:
        declared = program.declared(str(K6[NEWEST]), str(tmp_path / file), env=env)
        words = program.command(str(K6[NEWEST]), file, stream="-", env=env, thresholds=declared.thresholds)
        return "--no-thresholds" not in words

    assert asks("some.js")
    assert not asks("none.js")
    assert asks("none.js", K6_THRESHOLDS="{}")
    (tmp_path / "k6").mkdir()
    (tmp_path / "k6" / "config.json").write_text("{}")
    assert asks("none.js")


RAISES = SIMPLE.replace("sleep(0.02);", "throw new Error('no');") + "export const options = { iterations: 3 };\n"
ABORTS = "import exec from 'k6/execution';" + SIMPLE.replace("sleep(0.02);", "sleep(0.5); exec.test.abort('enough');")
CROSSED = (
    SIMPLE
    + "export const options = { vus: 1, duration: '5m',"
    + "  thresholds: { http_req_failed: [{ threshold: 'rate<0.5', abortOnFail: true }] } };\n"
).replace("/ok", "/500")


@pytest.mark.parametrize(
    ("text", "words"),
    [(RAISES, "came to its end"), (ABORTS, "exit code 108"), (CROSSED, "exit code 99")],
    ids=str,
)
def test_a_script_that_ends_by_itself_says_why(server: Server, tmp_path: Path, text: str, words: str) -> None:
    run = start(tmp_path, text, url=server.url, users=0)
    try:
        seal = run.wait(GRACE)
    finally:
        run.kill()

    assert seal is not None
    assert words in seal.ended


def test_a_silent_vu_spoils_the_samples(server: Server, tmp_path: Path) -> None:
    """It waits far longer than we were told it would: of that request nobody says anything, and so nothing is proven."""
    text = SIMPLE.replace("sleep(0.02);", "if (__VU === 1) http.get(`${__ENV.TARGET}/hang`, { timeout: '50s' }); sleep(0.02);")
    run = start(tmp_path, text, url=server.url, users=2)
    try:
        wait_for(run, 20)
        seal = ended(run)
    finally:
        run.kill()

    column = series(run.samples(0)[0], load=Load(endpoint="shop", rate=0.0), generator=run.generator, off=seal.off, seal=seal)
    assert seal.lost == 1
    assert "waited longer than the load's time-out" in column.broken


def test_a_request_that_took_longer_than_we_were_told_spoils_the_samples(server: Server, tmp_path: Path) -> None:
    """A script with arrivals, whose time-out is three seconds: we were told half a second."""
    text = """
import http from 'k6/http';
export const options = { scenarios: { a: {
  executor: 'constant-arrival-rate', rate: 5, timeUnit: '1s', duration: '5m', preAllocatedVUs: 50 } } };
export default function () { http.get(`${__ENV.TARGET}/hang`, { timeout: '3s' }); }
"""
    run = start(tmp_path, text, url=server.url, users=0)
    try:
        wait_for(run, 3)
        seal = ended(run)
    finally:
        run.kill()

    assert seal.lost >= 3


def test_k6_goes_with_its_collector(server: Server, tmp_path: Path) -> None:
    run = plain(tmp_path, url=server.url)
    children = Path(f"/proc/{run.generator.pid}/task/{run.generator.pid}/children").read_text().split()
    handle = os.pidfd_open(int(children[0]))
    try:
        os.kill(run.generator.pid, signal.SIGKILL)
        assert select.select([handle], [], [], GRACE)[0]
    finally:
        os.close(handle)
        run.kill()
    assert run.wait(GRACE) is None


def test_ctrl_c_is_not_for_it(server: Server, tmp_path: Path) -> None:
    run = plain(tmp_path, url=server.url)
    try:
        os.kill(run.generator.pid, signal.SIGINT)
        wait_for(run, len(rows(run)) + 50)
        assert ended(run).ended == ""
    finally:
        run.kill()


def test_a_script_that_can_not_run_shows_why(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"k6 can not read script\.js: .*no_such_thing"):
        start(tmp_path, "import x from './no_such_thing.js';\nexport default function () {}\n", url=server.url, users=0)


def test_a_program_that_is_no_k6_is_not_called_one(tmp_path: Path) -> None:
    false = tmp_path / "k6"
    false.write_text("#!/bin/sh\necho hello\n")
    false.chmod(0o755)
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 'k6 v0.49.0 (go1.21)'\n")
    old.chmod(0o755)

    with pytest.raises(DriverError, match="is no k6: it says 'hello'"):
        program.version(str(false))
    with pytest.raises(UsageError, match=r"is k6 0\.49\.0"):
        program.version(str(old))
    with pytest.raises(UsageError, match="is no program"):
        program.find(str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("options", "open_", "seconds", "rate", "only_vus"),
    [
        ("{}", False, 0.0, 0.0, True),
        ("{ vus: 5, duration: '2m30s' }", False, 150.0, 0.0, True),
        ("{ stages: [{ duration: '1m', target: 5 }, { duration: '30s', target: 0 }] }", False, 90.0, 0.0, False),
        ("{ vus: 2, iterations: 9 }", False, 0.0, 0.0, False),
        (
            "{ scenarios: { a: { executor: 'ramping-arrival-rate', startRate: 5, timeUnit: '100ms', startTime: '5s', preAllocatedVUs: 7, "
            "stages: [{ duration: '10s', target: 2 }] } } }",
            True,
            15.0,
            50.0,
            False,
        ),
        (
            "{ scenarios: { a: { executor: 'constant-arrival-rate', rate: 5, duration: '9s', preAllocatedVUs: 7 }, "
            "b: { executor: 'constant-vus', vus: 2, duration: '8s' } } }",
            False,
            9.0,
            5.0,
            False,
        ),
    ],
)
def test_what_a_script_declares(tmp_path: Path, options: str, open_: bool, seconds: float, rate: float, only_vus: bool) -> None:
    (tmp_path / "s.js").write_text(f"export const options = {options};\nexport default function () {{}}\n")

    found = program.declared(str(K6[NEWEST]), str(tmp_path / "s.js"), env={})

    assert (found.open, found.seconds, found.rate, found.only_vus) == (open_, seconds, rate, only_vus)


@pytest.mark.parametrize(("rate", "whole", "unit"), [(100.0, 100, 1000), (33.5, 67, 2000), (0.1, 1, 10000)])
def test_rates_are_whole_numbers_in_a_unit_of_time(rate: float, whole: int, unit: int) -> None:
    assert f"rate: {whole},\n      timeUnit: '{unit}ms'" in written(
        Load(endpoint="shop", rate=rate), url="http://127.0.0.1:9", seconds=60.0
    )


@pytest.mark.parametrize(
    ("code", "status", "took", "outcome"),
    [
        (1050, 0, 1000.0, Outcome.read_timeout),
        (1050, 0, 0.0, Outcome.connect_timeout),
        (1101, 0, 0.0, Outcome.dns),
        (1211, 0, 0.0, Outcome.connect_timeout),
        (1212, 0, 0.0, Outcome.refused),
        (1220, 0, 3.0, Outcome.reset),
        (1310, 0, 3.0, Outcome.tls),
        (1404, 404, 3.0, Outcome.http_4xx),
        (1503, 503, 3.0, Outcome.http_5xx),
        (0, 200, 3.0, Outcome.assertion),
    ],
)
def test_what_an_error_code_means(code: int, status: int, took: float, outcome: Outcome) -> None:
    assert outcome_of(Request(end=0, took=round(took * 1e6), tags=Tags(status=status, code=code), vu=b"vu=1", failed=True)) is outcome


HEADER = "metric_name,timestamp,metric_value,check,error,error_code,status,extra_tags,metadata"


def points(*, at: int, error: str = "", code: str = "", status: int = 200, failed: int | None = 0, vu: int = 1) -> list[str]:
    """What k6 writes of one request, in ms."""
    names = ["s", "_duration", "_blocked", "_connecting", "_tls_handshaking", "_sending", "_waiting", "_receiving"]
    values = [1.0, 5.0, 2.0, 1.0, 0.0, 0.0, 5.0, 0.0]
    lines = [f"http_req{name},{at},{value:f},,{error},{code},{status},,vu={vu}" for name, value in zip(names, values, strict=True)]
    return lines if failed is None else [*lines, f"http_req_failed,{at},{failed:f},,{error},{code},{status},,vu={vu}"]


def read(out: Path, text: str, *, pieces: int) -> tuple[list[tuple[int, int, int, Outcome, int]], Stream]:
    """Due, sent, end, outcome and status of each sample, of a stream that comes in pieces of so many bytes."""
    book = Book(out / f"{pieces}.bin")
    account = Account(load=Load(endpoint="shop", rate=0.0), book=book, vitals=Vitals(SYSTEM, on=0))
    stream = Stream(account=account, clock=SYSTEM)
    data = text.encode()
    for begin in range(0, len(data), pieces):
        stream.feed(data[begin : begin + pieces])
    stream.close()
    book.close()
    rows = SAMPLE.iter_unpack((out / f"{pieces}.bin").read_bytes())
    return [(due, sent, end, Outcome(outcome), status) for due, sent, end, status, _, outcome, *_ in rows], stream


def test_a_stream_reads_the_same_wherever_its_pieces_begin(tmp_path: Path) -> None:
    second = 10**9
    lines = [
        HEADER,
        *points(at=second),
        f"checks,{second},1.000000,is good,,,,,vu=1",
        f'checks,{second},0.000000,"is good, and\nnot bad",,,,,vu=1',
        *points(at=2 * second, status=500, code="1500", failed=1),
        *points(at=3 * second, status=0, code="1212", error='"dial: refused, ""why""\nnobody knows"', failed=1, vu=2),
        f"data_sent,{second},10.000000,,,,,,vu=1",
        f"dropped_iterations,{4 * second},2.000000,,,,,,",
        *points(at=5 * second, failed=None),
        *points(at=6 * second, status=404, code="1404", failed=None),
    ]
    text = "\n".join(lines) + "\n"

    whole, stream = read(tmp_path, text, pieces=len(text))

    took, blocked = 5_000_000, 2_000_000
    sent = [one * second - took - blocked for one in (1, 2, 3, 5, 6)]
    outcomes = [Outcome.ok, Outcome.http_5xx, Outcome.refused, Outcome.ok, Outcome.http_4xx]
    requests = [one for one in whole if one[3] is not Outcome.dropped]
    assert [one[1] for one in requests] == sent
    assert [one[3] for one in requests] == outcomes
    assert [one[0] for one in whole if one[3] is Outcome.dropped] == [4 * second] * 2
    assert {name: (one.asked, one.failed) for name, one in stream.account.checks.items()} == {
        "is good": (1, 0),
        "is good, and not bad": (1, 1),
    }
    assert (stream.account.unread, sorted(stream.account.last)) == (0, [b"vu=1", b"vu=2"])
    for pieces in (1, 2, 7, 100, 1000):
        assert read(tmp_path, text, pieces=pieces)[0] == whole, pieces


def test_points_of_a_kind_that_we_do_not_know_are_counted_and_not_passed_over(tmp_path: Path) -> None:
    text = "\n".join([HEADER, *points(at=10**9), *reversed(points(at=2 * 10**9)), *points(at=3 * 10**9)]) + "\n"

    found, stream = read(tmp_path, text, pieces=len(text))

    assert (len(found), stream.account.unread) == (2, 1)


def test_what_this_machine_lacks_is_dropped_and_not_refused() -> None:
    tags = Tags(code=1213, error="dial: too many open files")

    assert outcome_of(Request(end=0, took=0.0, tags=tags, vu=b"vu=1", failed=True)) is Outcome.dropped
