"""
What the generators can send on time: ``python -m benchmarks.prober [seconds]``. The prober alone and over two processes, with new and kept
connections, at a server in another process on the same machine; beside it, in the same run, k6 2.0.0 asked for the same rate, Locust's
tasks on a schedule, and a closed loop of one thread over ``http.client``.

Prints a table with machine and versions. *Late* is between the instant at which a request was due and the one at which it was sent; what
was dropped or is missing was due and not sent. *Core* is what the generator's processes used, ours that read the tool's stream with it.
"""

from __future__ import annotations

import http.client
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.answering import answering
from benchmarks.table import machine
from chaosfw.load.k6.driver import K6Driver
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.load import SAMPLE, Endpoint, Load, Outcome, Script
from chaosfw.ports import LoadDriver

K6 = Path("~/.cache/chaosfw/bin/k6-2.0.0").expanduser()
LOCUSTFILE = (
    "from locust import FastHttpUser, task\n\n\nclass User(FastHttpUser):\n    @task\n    def one(self):\n        self.client.get('/')\n"
)
PLANS = (
    ("prober, new", Load(endpoint="s", rate=1000.0, timeout=1.0)),
    ("prober, keep-alive", Load(endpoint="s", rate=1000.0, timeout=1.0, connection="keep-alive")),
    ("prober, 2 processes, new", Load(endpoint="s", rate=5000.0, timeout=1.0, processes=2)),
    ("prober, 2 processes, keep-alive", Load(endpoint="s", rate=5000.0, timeout=1.0, connection="keep-alive", processes=2)),
    ("prober, HTTP/2, keep-alive", Load(endpoint="s", rate=1000.0, timeout=1.0, connection="keep-alive", protocol="http/2")),
    ("k6 2.0.0, keep-alive", Load(endpoint="s", rate=1000.0, timeout=1.0, connection="keep-alive", driver="k6")),
    ("k6 2.0.0, keep-alive", Load(endpoint="s", rate=5000.0, timeout=1.0, connection="keep-alive", driver="k6")),
    ("Locust, FastHttpUser", Load(endpoint="s", rate=1000.0, timeout=1.0, driver="locust", script=Script(file="l.py", users=100))),
)
COLUMNS = {
    "asked/s": 9, "sent/s": 9, "unsent": 8, "late p50": 10, "late p99": 12, "late max": 12, "answer p50": 12, "answer p99": 12, "core": 7
}  # fmt: skip
HEAD = "generator".ljust(34) + "".join(word.rjust(wide) for word, wide in COLUMNS.items())


class Seen(NamedTuple):
    sent: float
    unsent: int
    late: list[float]
    took: list[float]
    core: float


def sending(url: str, load: Load, *, seconds: float) -> Seen:
    """Seconds late and seconds until the answer, of each request that was sent; the load runs ``seconds`` from its first request on."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "l.py").write_text(LOCUSTFILE)
        drivers: dict[str, LoadDriver] = {"prober": ProberDriver(), "k6": K6Driver(str(K6), root=folder), "locust": LocustDriver(folder)}
        run = drivers[load.driver].start(load, at=Endpoint(name="s", url=url), out=folder, seconds=seconds + 30)
        while time.monotonic_ns() < run.generator.on:
            time.sleep(0.001)
        before, began = _cpu(run.pgid), time.monotonic()
        time.sleep(seconds)
        core = (_cpu(run.pgid) - before) / (time.monotonic() - began)
        run.stop()
        seal = run.wait(30.0)
        assert seal is not None
        planned = run.generator.schedule == "planned"
        rows = [
            (run.generator.on + row[0] * 1e9 / load.rate if planned else row[0], *row[1:]) for row in SAMPLE.iter_unpack(run.samples(0)[0])
        ]
        mine = [row for row in rows if run.generator.on <= row[0] < seal.off]
        sent = [row for row in mine if row[1]]
        due = round((seal.off - run.generator.on) * load.rate / 1e9)
        return Seen(
            sent=len(sent) / ((seal.off - run.generator.on) / 1e9),
            unsent=max(0, due - len(sent)),
            late=[(row[1] - row[0]) / 1e9 for row in sent],
            took=[(row[2] - row[1]) / 1e9 for row in sent if row[5] == Outcome.ok],
            core=core,
        )


def closed_loop(url: str, *, seconds: float) -> list[float]:
    """Seconds that each request took, one after the other."""
    where, took = urlsplit(url), []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        connection.request("GET", "/ok")
        connection.getresponse().read()
        connection.close()
        took.append(time.monotonic() - began)
    return took


def _cpu(pgid: int) -> float:
    """Seconds of a core that a process group has used."""
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        used += (int(fields[11]) + int(fields[12])) if int(fields[2]) == pgid else 0
    return used / os.sysconf("SC_CLK_TCK")


def _ms(values: list[float], share: float) -> str:
    return f"{sorted(values)[int(share * (len(values) - 1))] * 1000:.2f} ms" if values else "–"


def _row(name: str, *cells: str) -> None:
    print(name.ljust(34) + "".join(cell.rjust(wide) for cell, wide in zip(cells, COLUMNS.values(), strict=True)), flush=True)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print(f"{machine()}\n\n{HEAD}")
    with answering() as url, answering("http/2") as url2:
        for name, load in PLANS:
            seen = sending(url2 if load.protocol == "http/2" else url, load, seconds=seconds)
            times = [
                _ms(values, share)
                for values, share in ((seen.late, 0.5), (seen.late, 0.99), (seen.late, 1.0), (seen.took, 0.5), (seen.took, 0.99))
            ]
            _row(name, f"{load.rate:,.0f}", f"{seen.sent:,.1f}", f"{seen.unsent:,}", *times, f"{seen.core:.0%}")
        loop = closed_loop(url, seconds=seconds)
        rate = f"{len(loop) / seconds:,.1f}"
        _row("closed loop, http.client, new", "–", rate, "–", "–", "–", "–", _ms(loop, 0.5), _ms(loop, 0.99), "–")


if __name__ == "__main__":
    main()
