"""Runs every generator over the same schedules and prints the bars. Ends with 1 where one is missed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.table import machine
from benchmarks.truth.outages import KINDS, LIMIT, Window, length, schedule
from chaosfw.analysis import outages
from chaosfw.analysis.closed import corrected
from chaosfw.analysis.samples import BAD, GOOD, UNKNOWN, Bytes, Series, grades, series
from chaosfw.analysis.windows import latencies
from chaosfw.load.k6.driver import K6Driver
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.load import Endpoint, Load, Script, Seal
from chaosfw.model.record import Outage
from chaosfw.ports import LoadDriver

ROOT = Path(__file__).parents[2]
HERE = Path("benchmarks") / "truth"
RATE, TIMEOUT = 200.0, 1.0
USERS = 20
"""Of a closed loop: each asks ten times a second, if it is answered."""
STABLE = 0.5
LOCUSTFILE = Script(file=str(HERE / "locustfile.py"))
SEEDS = (1, 2, 3)
K6 = {version: Path(f"~/.cache/chaosfw/bin/k6-{version}").expanduser() for version in ("1.8.1", "2.0.0", "2.0.0-chaosfw")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One load over one schedule."""

    column: Series
    seal: Seal
    windows: tuple[Window, ...]
    edges: dict[str, dict[int, int]]
    """Of each outage, as it really was: ``begin`` before it began, ``begun`` when it had, ``end``, ``ended``."""
    served: dict[str, list[str]]
    """Numbers of the requests that reached the server, by what was done with them."""
    said: tuple[str, ...] = field(default=())

    @property
    def truth(self) -> float:
        """The share of time in which requests were good, between the first request and the last."""
        whole = (self.column.due[-1] - self.column.on) / 1e9
        bad = sum((self.edges["end"][number] - self.edges["begun"][number]) / 1e9 for number in self.edges["end"])
        return float(1 - bad / whole)


def main() -> int:
    open_ones: dict[str, tuple[Callable[[], LoadDriver], Load]] = {
        "prober": (ProberDriver, Load(endpoint="s", rate=RATE, timeout=TIMEOUT)),
        "locust": (
            _locust,
            Load(endpoint="s", rate=RATE, timeout=TIMEOUT, driver="locust", script=Script(file=str(HERE / "locustfile.py"))),
        ),
    }
    for version, binary in K6.items():
        open_ones[f"k6 {version}"] = (_k6(binary), Load(endpoint="s", rate=RATE, timeout=TIMEOUT, driver="k6"))
    closed_ones: dict[str, tuple[Callable[[], LoadDriver], Load]] = {
        "locust": (_locust, _closed("locust", "locustfile.py")),
        "k6 2.0.0": (_k6(K6["2.0.0"]), _closed("k6", "closed.js")),
        "k6 2.0.0-chaosfw": (_k6(K6["2.0.0-chaosfw"]), _closed("k6", "closed.js")),
    }
    wanted = sys.argv[1:] or [*open_ones]
    print(machine() + "\n")
    missed = 0
    for name in wanted:
        for seed in SEEDS:
            missed += _open_bars(name, seed, *open_ones[name])
        missed += _partial_bars(name, *open_ones[name])
    for name in wanted:
        if name in closed_ones:
            missed += _closed_bars(name, *closed_ones[name])
    return 1 if missed else 0


def _open_bars(name: str, seed: int, make: Callable[[], LoadDriver], load: Load) -> int:
    """(a), (b), (d), (e) over outages of every kind."""
    ran = _run(make, load, seed=seed, kinds=KINDS, amount=10)
    column, grade = ran.column, grades(ran.column, limit=LIMIT)
    good, unknown = int(np.count_nonzero(grade == GOOD)), int(np.count_nonzero(grade == UNKNOWN))
    low, high = good / len(grade), (good + unknown) / len(grade)
    found = outages.of_load(column, grade=grade, begin=column.on, stable_for=STABLE, unknown_is_bad=False, name="s")
    calm = latencies(column, grade=grade)[(grade == GOOD) & (column.due < ran.edges["begin"][0])]
    base = float(np.quantile(calm, 0.99)) / 1e9
    allowed = 2 / RATE + base + ran.seal.lateness[1] + 0.001
    pairs = list(enumerate(found[: len(ran.windows)]))
    worst = max((max(_edge_errors(one, ran, number, grade)) for number, one in pairs), default=0.0)
    inside = all(_inside(one, ran, number) for number, one in pairs)
    stray = _strays(ran, grade) if name == "prober" else _strays_by_count(ran)
    seen = f"{low * 100:.3f} %" + (f" to {high * 100:.3f} %" if unknown else "")
    edges = f"edges off by at most {worst * 1000:.1f} ms, allowed {allowed * 1000:.1f} ms; truth in every bracket: {inside}"
    rows = (
        ("a", f"{stray} requests whose fate differs from the server's log, beside those in flight at an edge", stray == 0),
        (
            "b",
            f"good {seen}, truth by time {ran.truth * 100:.3f} % ({len(grade):,} requests)",
            low - 0.001 <= ran.truth <= high + 0.001 and unknown <= 0.01 * len(grade),
        ),
        ("d", edges, worst <= allowed and inside),
        ("e", f"{len(found)} outages found of {len(ran.windows)} (20 ms to 5 s)", len(found) == len(ran.windows)),
    )
    return _print(f"{name}, seed {seed}", rows)


def _partial_bars(name: str, make: Callable[[], LoadDriver], load: Load) -> int:
    """(e) where a third or a half of the requests fails."""
    ran = _run(make, load, seed=7, kinds=("reset", "error", "hang", "slow"), amount=8, partial=True)
    grade = grades(ran.column, limit=LIMIT)
    found = outages.of_load(ran.column, grade=grade, begin=ran.column.on, stable_for=STABLE, unknown_is_bad=False, name="s")
    visible = [number for number, one in enumerate(ran.windows) if one.end - one.begin >= (10 if one.share == 0.5 else 23) / RATE]
    hit = [number for number in visible if any(_overlaps(one, ran, number) for one in found)]
    invented = sum(not any(_overlaps(one, ran, number) for number in range(len(ran.windows))) for one in found)
    words = f"partial: {len(hit)} found of {len(visible)} that the rate can show with 95 %; {invented} invented"
    return _print(f"{name}, partial outages", (("e", words, len(hit) >= 0.95 * len(visible) and not invented),))


def _closed_bars(name: str, make: Callable[[], LoadDriver], load: Load) -> int:
    """(c) and (f): hangs, seen by users who wait."""
    ran = _run(make, load, seed=5, kinds=("hang",), amount=6)
    grade = grades(ran.column, limit=None)
    as_sent, (low, high) = float((grade != BAD).mean()), corrected(ran.column, grade=grade) or (0.0, 1.0)
    off, still = abs(as_sent - ran.truth), abs((low + high) / 2 - ran.truth)
    rows = (
        (
            "c",
            f"closed loop as sent {as_sent * 100:.2f} %, truth by time {ran.truth * 100:.2f} %: off by {off * 100:.2f} points",
            off >= 0.005,
        ),
        ("f", f"corrected {low * 100:.2f} to {high * 100:.2f} %: the middle is off by {still * 100:.2f} points", still <= 0.02),
    )
    missed = _print(f"{name}, closed loop, hangs", rows)
    for words in (*ran.seal.said, *(_own_summary() if load.driver == "k6" else ())):
        print(f"      {words}")
    return missed


def _own_summary() -> Iterator[str]:
    """k6 alone, as people run it, over the same hangs."""
    hangs = {"seed": 5, "kinds": ("hang",), "amount": 6, "partial": False}
    with tempfile.TemporaryDirectory() as folder, _server(Path(folder), **hangs) as (port, begin, windows):  # type: ignore[arg-type]  # as there
        words = [str(K6["2.0.0"]), "run", "--quiet", "--no-usage-report", "--address", "", "--summary-export", f"{folder}/summary.json"]
        words += ["--vus", str(USERS), "--duration", f"{length(windows):.0f}s", "-e", f"TARGET=http://127.0.0.1:{port}/"]
        begin()
        silent = subprocess.DEVNULL
        subprocess.run([*words, str(ROOT / HERE / "closed.js")], stdout=silent, stderr=silent, check=False)
        metrics = json.loads(Path(folder, "summary.json").read_text())["metrics"]
    failed, took = metrics["http_req_failed"]["value"], metrics["http_req_duration"]["p(95)"]
    yield f"k6's own summary: {metrics['http_reqs']['count']:,} requests, {failed * 100:.2f} % failed, p95 {took:.1f} ms"


def _run(make: Callable[[], LoadDriver], load: Load, *, seed: int, kinds: tuple[str, ...], amount: int, partial: bool = False) -> Ran:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        with _server(out, seed=seed, kinds=kinds, amount=amount, partial=partial) as (port, begin, windows):
            seconds = length(windows)
            at = Endpoint(name="s", url=f"http://127.0.0.1:{port}")
            run = make().start(load, at=at, out=out, seconds=seconds)
            begun = time.monotonic_ns()
            begin()
            time.sleep(seconds)
            run.stop()
            seal = run.wait(30.0)
            assert seal is not None, "no seal"
            data, _ = run.samples(0)
        edges, served = _read(out / "server.log")
    column = series(data, load=load, generator=run.generator, off=seal.off, seal=seal, calm=(begun, edges["begin"][0]))
    assert not column.broken, column.broken
    return Ran(column=column, seal=seal, windows=windows, edges=edges, served=served)


@contextmanager
def _server(
    out: Path, *, seed: int, kinds: tuple[str, ...], amount: int, partial: bool
) -> Iterator[tuple[int, Callable[[], None], tuple[Window, ...]]]:
    told = [str(seed), ",".join(kinds), str(amount), "partial" if partial else "full", str(out / "server.log")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.truth.server", *told], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        port = int(child.stdout.readline())

        def begin() -> None:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()

        yield port, begin, schedule(seed, kinds=kinds, amount=amount, partial=partial)
        child.stdin.close()


def _read(log: Path) -> tuple[dict[str, dict[int, int]], dict[str, list[str]]]:
    edges: dict[str, dict[int, int]] = {"begin": {}, "begun": {}, "end": {}, "ended": {}}
    served: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        first, second, third = line.split(" ")
        if first in edges:
            edges[first][int(second)] = int(third)
        else:
            served.setdefault(third, []).append(first)
    return edges, served


def _strays(ran: Ran, grade: Bytes) -> int:
    """By number: good here and broken there, or the other way round; not those that were under way at an edge."""
    fine = {int(one) for one in ran.served.get("ok", [])}
    instants = np.array([at for one in ran.edges.values() for at in one.values()])
    near = np.zeros(len(grade), np.bool_)
    for at in instants:
        near |= (ran.column.due - 5_000_000 <= at) & (ran.column.known_end + 5_000_000 >= at) & (np.abs(ran.column.due - at) < 50_000_000)
    numbers = np.arange(len(grade))
    good = grade == GOOD
    answered = np.isin(numbers, np.fromiter(fine, np.int64, len(fine)))
    unknown = grade > BAD
    return int(np.count_nonzero((good != answered) & ~near & ~unknown))


def _strays_by_count(ran: Ran) -> int:
    """No numbers that the log shares: answered there against ok here, beside two for each edge and what was cut at the end."""
    answered = len(ran.served.get("ok", []))
    good = int(np.count_nonzero((ran.column.outcome == 0) & (ran.column.known_end - ran.column.sent < LIMIT * 1e9)))
    spare = 2 * 2 * len(ran.windows) + (round(RATE * TIMEOUT) + 40 if ran.column.rate else 0)
    return max(0, abs(answered - good) - spare)


def _edge_errors(one: Outage, ran: Ran, number: int, grade: Bytes) -> tuple[float, float]:
    """Seconds by which onset and end are off: the first bad one's due, and the earliest good end after it."""
    bad = ran.column.due[(grade == BAD) & (ran.column.due >= one.onset.first)]
    begun, end = ran.edges["begun"][number], ran.edges["end"][number]
    assert one.end is not None and one.end.last is not None
    late = max(0.0, (float(bad[0]) - begun) / 1e9, (ran.edges["begin"][number] - float(bad[0])) / 1e9)
    after = max(0.0, (one.end.last - ran.edges["ended"][number]) / 1e9, (end - one.end.last) / 1e9)
    return late, after


def _inside(one: Outage, ran: Ran, number: int) -> bool:
    """The truth lies in both brackets."""
    began, over = (ran.edges["begin"][number], ran.edges["begun"][number]), (ran.edges["end"][number], ran.edges["ended"][number])
    if one.onset.last is None or one.end is None or one.end.last is None:
        return False
    return one.onset.first <= began[1] and began[0] <= one.onset.last and one.end.first <= over[1] and over[0] <= one.end.last


def _overlaps(one: Outage, ran: Ran, number: int) -> bool:
    last = one.end.last if one.end is not None and one.end.last is not None else one.last_bad
    return one.onset.first <= ran.edges["ended"][number] and ran.edges["begin"][number] <= last


def _print(what: str, rows: tuple[tuple[str, str, bool], ...]) -> int:
    print(what)
    for bar, words, met in rows:
        print(f"  ({bar}) {'met   ' if met else 'MISSED'} {words}", flush=True)
    return sum(not met for _, _, met in rows)


def _closed(driver: str, file: str) -> Load:
    script = Script(file=str(HERE / file), users=USERS, spawn_rate=USERS)
    return Load(endpoint="s", rate=0.0, timeout=TIMEOUT, driver=driver, script=script)  # type: ignore[arg-type]  # one of the two


def _locust() -> LoadDriver:
    return LocustDriver(ROOT)


def _k6(binary: Path) -> Callable[[], LoadDriver]:
    return lambda: K6Driver(str(binary), root=ROOT)


if __name__ == "__main__":
    sys.exit(main())
