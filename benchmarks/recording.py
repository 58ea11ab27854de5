"""
What recording every request costs Locust and k6: ``python -m benchmarks.recording [rounds]``. The same tool, file, users and seconds, with
our recording and without, in turns, against a server in another process; as a closed loop that asks as fast as it can, which is the worst
case. Prints requests a second and CPU for each request, and the ratios of the pairs.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.answering import answering
from benchmarks.table import machine
from chaosfw.load.k6.driver import K6Driver
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.model.load import SAMPLE, Endpoint, Load, Script
from chaosfw.ports import LoadDriver

SECONDS = 6.0
USERS = 20
K6 = Path("~/.cache/chaosfw/bin/k6-2.0.0").expanduser()
LOCUSTFILE = """
from locust import FastHttpUser, task


class User(FastHttpUser):
    @task
    def one(self):
        self.client.get("/")
"""
SCRIPT = """
import http from 'k6/http';
export const options = { discardResponseBodies: true };
export default function () { http.get(`${__ENV.TARGET}/`, { timeout: '1s' }); }
"""
Side = tuple[float, float]
"""Requests a second, and microseconds of CPU for each."""


def main(url: str) -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(machine() + "\n")
    for name, plain, recorded in (("Locust", _locust, _recorded_locust), ("k6", _k6, _recorded_k6)):
        pairs = [(plain(url), recorded(url)) for _ in range(rounds)]
        for number, (without, with_) in enumerate(pairs, start=1):
            print(f"{name} {number}: without {without[0]:,.0f}/s, {without[1]:.0f} us each; with {with_[0]:,.0f}/s, {with_[1]:.0f} us each")
        slower = statistics.median(1 - with_[0] / without[0] for without, with_ in pairs)
        dearer = statistics.median(with_[1] / without[1] - 1 for without, with_ in pairs)
        print(f"{name}: recording costs {slower * 100:.1f} % of the throughput and {dearer * 100:.1f} % more CPU for each request")
        print(f"(medians of {rounds} pairs)\n")


def _locust(url: str) -> Side:
    with _folder(LOCUSTFILE, "locustfile.py") as folder:
        words = [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "--host", url, "-u", str(USERS), "-r", str(USERS)]
        told, spent = _alone([*words, "-t", f"{SECONDS:.0f}s", "--json", "--only-summary"], folder)
        one = json.loads(told[told.index("[") :])[0]
        amount = one["num_requests"]
        return amount / (one["last_request_timestamp"] - one["start_time"]), spent / amount


def _recorded_locust(url: str) -> Side:
    with _folder(LOCUSTFILE, "locustfile.py") as folder:
        load = Load(endpoint="s", rate=0.0, driver="locust", script=Script(file="locustfile.py", users=USERS, spawn_rate=USERS))
        return _ours(lambda: LocustDriver(folder), load, folder, url)


def _k6(url: str) -> Side:
    with _folder(SCRIPT, "script.js") as folder:
        words = [str(K6), "run", "--quiet", "--no-usage-report", "--address", "", "--summary-export", "s.json", "-e", f"TARGET={url}"]
        _, spent = _alone([*words, "--vus", str(USERS), "--duration", f"{SECONDS:.0f}s", "script.js"], folder)
        metrics = json.loads((folder / "s.json").read_text())["metrics"]
        amount = metrics["http_reqs"]["count"]
        return metrics["http_reqs"]["rate"], spent / amount


def _recorded_k6(url: str) -> Side:
    with _folder(SCRIPT, "script.js") as folder:
        load = Load(endpoint="s", rate=0.0, timeout=1.0, driver="k6", script=Script(file="script.js", users=USERS))
        return _ours(lambda: K6Driver(str(K6), root=folder), load, folder, url)


def _ours(make: Callable[[], LoadDriver], load: Load, folder: Path, url: str) -> Side:
    before = _children()
    run = make().start(load, at=Endpoint(name="s", url=url), out=folder, seconds=60.0)
    time.sleep(SECONDS)
    run.stop()
    seal = run.wait(20.0)
    assert seal is not None
    due = [row[0] for row in SAMPLE.iter_unpack(run.samples(0)[0]) if run.generator.on <= row[0] < seal.off]
    everything = seal.count
    return len(due) / ((max(due) - min(due)) / 1e9), (_children() - before) / everything


def _alone(words: list[str], folder: Path) -> tuple[str, float]:
    """What it printed, and the microseconds of CPU that it used."""
    before = _children()
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, env=os.environ | {"K6_NO_USAGE_REPORT": "true"})
    return done.stdout, _children() - before


def _children() -> float:
    """Microseconds of CPU of all children that have been reaped: the tools, and not the server, which lives on."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


@contextmanager
def _folder(text: str, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / name).write_text(text)
        yield Path(made)


if __name__ == "__main__":
    with answering() as url:
        main(url)
