"""
What recording every request costs Locust and k6: ``python -m benchmarks.recording [rounds]``. The same tool, file, users and seconds, with
our recording and without, in turns. Once against a server in another process that answers after ``AFTER`` seconds, as a service does, and
once against one that answers at once: a closed loop that asks as fast as it can on cores that it shares, which is the worst case. k6 is
recorded both ways, by our output in it and by its own CSV, and each time held against the k6 that everybody has, which records nothing.
Beside them that CSV output, to a file that nobody reads, is measured: what any reader of it pays. Prints requests a second and CPU for
each request, and the ratios of the pairs.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.answering import SLOT, answering, asked
from benchmarks.table import machine
from chaosfw.load.k6.driver import K6Driver
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.model.load import Endpoint, Load, Script
from chaosfw.ports import LoadDriver

SECONDS = 7.0
STARTS, ENDS = 1.5, 0.5
AFTER = 0.01
USERS = 20
K6 = Path("~/.cache/chaosfw/bin/k6-2.0.0").expanduser()
OURS = Path("~/.cache/chaosfw/bin/k6-2.0.0-chaosfw").expanduser()
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


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(machine())
    for after in (AFTER, 0.0):
        print(f"\n{USERS} users of a server that answers " + (f"after {after * 1000:.0f} ms" if after else "at once"))
        with answering(after=after) as url:
            _compare(url, rounds)


def _compare(url: str, rounds: int) -> None:
    for name, plain, recorded in SIDES:
        pairs = [_pair(plain, recorded, url, first=number % 2 == 0) for number in range(rounds)]
        for number, (without, with_) in enumerate(pairs, start=1):
            print(f"{name} {number}: without {without[0]:,.0f}/s, {without[1]:.0f} us each; with {with_[0]:,.0f}/s, {with_[1]:.0f} us each")
        slower = statistics.median(1 - with_[0] / without[0] for without, with_ in pairs)
        dearer = statistics.median(with_[1] / without[1] - 1 for without, with_ in pairs)
        print(f"{name}: it costs {slower * 100:.1f} % of the throughput and {dearer * 100:.1f} % more CPU for each request")
        print(f"(medians of {rounds} pairs)")


def _pair(plain: Callable[[str], Side], recorded: Callable[[str], Side], url: str, *, first: bool) -> tuple[Side, Side]:
    """Each side goes first in every other pair: a machine that tires would blame the second one."""
    if first:
        return plain(url), recorded(url)
    with_ = recorded(url)
    return plain(url), with_


def _locust(url: str) -> Side:
    with _folder(LOCUSTFILE, "locustfile.py") as folder:
        words = [sys.executable, "-m", "locust", "-f", "locustfile.py", "--headless", "--host", url, "-u", str(USERS), "-r", str(USERS)]
        return _side(url, lambda: _alone([*words, "-t", f"{SECONDS:.0f}s", "--only-summary"], folder))


def _recorded_locust(url: str) -> Side:
    with _folder(LOCUSTFILE, "locustfile.py") as folder:
        load = Load(endpoint="s", rate=0.0, driver="locust", script=Script(file="locustfile.py", users=USERS, spawn_rate=USERS))
        return _side(url, lambda: _ours(LocustDriver(folder), load, folder, url))


def _k6(url: str) -> Side:
    with _folder(SCRIPT, "script.js") as folder:
        return _side(url, lambda: _alone(_k6_words(url), folder))


def _recorded_k6(url: str, *, binary: Path = K6) -> Side:
    with _folder(SCRIPT, "script.js") as folder:
        load = Load(endpoint="s", rate=0.0, timeout=1.0, driver="k6", script=Script(file="script.js", users=USERS))
        return _side(url, lambda: _ours(K6Driver(str(binary), root=folder), load, folder, url))


def _csv_k6(url: str) -> Side:
    """What k6's own output costs whoever wants each request from it: a file in memory if the machine has such a folder, read by nobody."""
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with _folder(SCRIPT, "script.js") as folder, tempfile.TemporaryDirectory(dir=memory) as made:
        return _side(url, lambda: _alone([*_k6_words(url), "--out", f"csv={made}/k6.csv"], folder))


def _k6_words(url: str) -> list[str]:
    words = [str(K6), "run", "--quiet", "--no-usage-report", "--address", "", "-e", f"TARGET={url}", "script.js"]
    return [*words, "--vus", str(USERS), "--duration", f"{SECONDS:.0f}s"]


def _side(url: str, act: Callable[[], None]) -> Side:
    """As the server saw it, which is the same for both: without the seconds in which users come and go."""
    asked(url)
    before = _children()
    act()
    spent, slots = _children() - before, asked(url)
    first, last = round(STARTS / SLOT), round(ENDS / SLOT)
    return statistics.median(slots[first:-last]) / SLOT, spent / sum(slots)


def _ours(driver: LoadDriver, load: Load, folder: Path, url: str) -> None:
    run = driver.start(load, at=Endpoint(name="s", url=url), out=folder, seconds=60.0)
    time.sleep(SECONDS)
    run.stop()
    assert run.wait(20.0) is not None


def _alone(words: list[str], folder: Path) -> None:
    subprocess.run(words, cwd=folder, capture_output=True, check=False, env=os.environ | {"K6_NO_USAGE_REPORT": "true"})


def _children() -> float:
    """Microseconds of CPU of all children that have been reaped: the tools, and not the server, which lives on."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e6


SIDES: tuple[tuple[str, Callable[[str], Side], Callable[[str], Side]], ...] = (
    ("Locust", _locust, _recorded_locust),
    ("k6 with chaosfw's output", _k6, partial(_recorded_k6, binary=OURS)),
    ("k6 as it is, by its CSV", _k6, _recorded_k6),
    ("k6's own CSV, read by nobody", _k6, _csv_k6),
)
"""What runs, without recording and with."""


@contextmanager
def _folder(text: str, name: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / name).write_text(text)
        yield Path(made)


if __name__ == "__main__":
    main()
