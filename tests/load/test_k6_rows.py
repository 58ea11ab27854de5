"""A k6 with our output in it: it tells the same as k6's own CSV, of the same run, and how one is built."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest

from chaosfw.cli.main import main
from chaosfw.errors import UsageError
from chaosfw.load.book import Book
from chaosfw.load.frames import frame
from chaosfw.load.health import Vitals
from chaosfw.load.k6 import build, program
from chaosfw.load.k6.account import Account
from chaosfw.load.k6.rows import OUTPUT, Rows
from chaosfw.load.k6.stream import Stream
from chaosfw.model.load import SAMPLE, Load, Outcome
from chaosfw.timing import SYSTEM
from tests.load.conftest import K6, Server, closed_port

OURS = pytest.mark.parametrize("version", [version for version in sorted(K6) if version.endswith("-chaosfw")])
CLOSE = 5_000_000
"""ns that the wall may differ from what it was when the two clocks were compared."""

SCRIPT = """
import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Trend } from 'k6/metrics';

const mine = new Trend('mine');
export const options = {
  scenarios: {
    users: { executor: 'per-vu-iterations', vus: 5, iterations: 6 },
    arrivals: {
      executor: 'constant-arrival-rate', rate: 40, duration: '2s', preAllocatedVUs: 1, maxVUs: 1, gracefulStop: '2s', exec: 'arrive',
    },
  },
};
export default function () {
  for (const path of ['/ok', '/404', '/500', '/reset', '/hang', '/slow']) http.get(`${__ENV.TARGET}${path}`, { timeout: '300ms' });
  http.get(__ENV.NOBODY, { timeout: '300ms' });
  http.get('http://no.such.host.invalid/', { timeout: '300ms' });
  const expected = http.expectedStatuses(404);
  const both = http.batch([['GET', `${__ENV.TARGET}/ok`], ['GET', `${__ENV.TARGET}/404`, null, { responseCallback: expected }]]);
  http.get(`${__ENV.TARGET}/500`, { responseCallback: null });
  check(both[0], { 'good, "they" say': (r) => r.status === 200, 'bad': (r) => r.status === 500 });
  mine.add(1);
}
export function arrive() {
  http.get(`${__ENV.TARGET}/slow`, { tags: { n: String(exec.scenario.iterationInTest) } });
}
"""


def account(out: Path, name: str) -> Account:
    return Account(load=Load(endpoint="shop", rate=0.0, timeout=0.3), book=Book(out / name), vitals=Vitals(SYSTEM, on=0))


def told(one: Account, file: Path) -> list[tuple[int, ...]]:
    one.book.close()
    return sorted(SAMPLE.iter_unpack(file.read_bytes()), key=lambda row: (row[2] or row[0], row[1]))


@OURS
def test_our_output_and_k6s_own_tell_the_same_of_one_run(server: Server, tmp_path: Path, version: str) -> None:
    (tmp_path / "script.js").write_text(SCRIPT)
    csv, ours = account(tmp_path, "csv.bin"), account(tmp_path, "rows.bin")
    stream, reader = Stream(account=csv, clock=SYSTEM), Rows(account=ours)
    stream.anchor()
    env = {"TARGET": server.url, "NOBODY": f"http://127.0.0.1:{closed_port()}"}
    words = program.command(str(K6[version]), "script.js", stream=str(tmp_path / "k6.rows"), env=env)
    subprocess.run(
        [*words[:-1], "--out", f"csv={tmp_path / 'k6.csv'}", words[-1]],
        cwd=tmp_path,
        env=program.surroundings(os.environ),
        check=True,
        capture_output=True,
    )

    for piece in ((tmp_path / "k6.csv").read_bytes(), b""):
        stream.feed(piece)
    stream.close()
    data = (tmp_path / "k6.rows").read_bytes()
    for begin in range(0, len(data), 1000):  # wherever its pieces begin
        reader.feed(data[begin : begin + 1000])
    reader.close()

    theirs, found = told(csv, tmp_path / "csv.bin"), told(ours, tmp_path / "rows.bin")
    assert len(found) == len(theirs) > 5 * 6 * 10
    for (due, sent, end, *rest), (their_due, their_sent, their_end, *their_rest) in zip(found, theirs, strict=True):
        assert rest == their_rest  # status, outcome, whether the connection was used again
        assert max(abs(due - their_due), abs(sent - their_sent), abs(end - their_end)) < CLOSE
        assert abs((end - sent) - (their_end - their_sent)) <= 1000  # CSV has six digits of a millisecond, each of two times
    assert {Outcome(row[5]) for row in found} == {
        Outcome.ok,
        Outcome.http_4xx,
        Outcome.http_5xx,
        Outcome.reset,
        Outcome.read_timeout,
        Outcome.refused,
        Outcome.dns,
        Outcome.dropped,
    }
    assert ours.checks == csv.checks
    assert [(name, one.asked, one.failed) for name, one in sorted(ours.checks.items())] == [("bad", 30, 30), ('good, "they" say', 30, 0)]
    assert (ours.asked, ours.unread, ours.longer, ours.dropped) == (csv.asked, 0, csv.longer, csv.dropped)
    assert ours.dropped > 0
    assert len(ours.last) == len(csv.last)


@OURS
def test_a_k6_says_which_output_it_has(version: str) -> None:
    plain = K6[version.removesuffix("-chaosfw")]

    assert (program.compact(str(K6[version])), program.compact(str(plain))) == (True, False)
    assert program.version(str(K6[version])) == program.version(str(plain))


def test_our_output_wants_to_know_where_to(tmp_path: Path) -> None:
    (tmp_path / "script.js").write_text("export default function () {}")
    done = subprocess.run(
        [K6["2.0.0-chaosfw"], "run", "--out", OUTPUT, "script.js"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode
    assert f"--out {OUTPUT}=/dev/fd/3" in done.stderr


def test_requests_of_more_kinds_than_there_is_room_for_begin_again(tmp_path: Path) -> None:
    one = account(tmp_path, "rows.bin")
    reader, row = Rows(account=one), struct.Struct("<qqIIiBBH")
    for status in (200, 500):
        reader.feed(frame(b"t", b'{"status":"%d","code":"","error":""}' % status))
        reader.feed(frame(b"q", row.pack(10**9 + status, 10**6, 0, 1, -1, int(status == 500), 0, 0)))
        reader.feed(frame(b"n"))

    assert [(row[3], Outcome(row[5])) for row in told(one, tmp_path / "rows.bin")] == [(200, Outcome.ok), (500, Outcome.http_5xx)]


def test_what_our_output_does_not_write_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nobody knows"):
        Rows(account=account(tmp_path, "rows.bin")).feed(frame(b"?", b"what"))


@pytest.mark.parametrize("version", ["0.57.0", "two", "2.0", "2.0.0; true"])
def test_what_is_no_version_is_refused_before_anything_is_fetched(version: str) -> None:
    with pytest.raises(UsageError, match="is no version of k6"):
        build.build(print, version=version)


def test_one_can_be_built_with_other_extensions_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = tmp_path / "made" / "k6"

    assert main(["build-k6", "--version", "v1.8.1", "--with", "github.com/grafana/xk6-redis@v0.3.6", "--out", str(made)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{made}\n"
    assert "building k6 1.8.1: 0 s" in err
    assert program.version(str(made)) == (1, 8, 1)
    assert program.compact(str(made))
    assert "k6/x/redis [js]" in subprocess.run([made, "version"], capture_output=True, text=True, check=True).stdout


def test_an_extension_that_needs_a_later_k6_does_not_change_it_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["build-k6", "--version", "1.0.0", "--with", "github.com/grafana/xk6-redis@v0.3.6", "--out", str(tmp_path / "k6")]

    assert main(given) == 2
    said = capsys.readouterr().err
    assert "1.0.0 was asked for" in said
    assert not (tmp_path / "k6").exists()


def test_a_directory_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        build.build(print, out=tmp_path)


def test_without_go_it_says_what_there_is_instead(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    assert main(["build-k6"]) == 3
    said = capsys.readouterr().err
    assert "there is no Go here to build k6 with" in said
    assert "hint: https://go.dev/dl" in said


def test_a_version_that_nobody_has_published_fails_with_the_words_of_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build-k6", "--version", "2.999.0", "--out", str(tmp_path / "k6")]) == 3
    said = capsys.readouterr().err
    assert "fetching go.k6.io/k6/v2@v2.999.0 failed" in said
    assert "hint:" in said
    assert not (tmp_path / "k6").exists()
