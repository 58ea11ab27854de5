"""Several Locust processes as one load, over real connections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from chaosfw.analysis.samples import series
from chaosfw.errors import DriverError
from chaosfw.load.child import ChildRun
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.model.load import Endpoint, Load, Outcome, Script
from tests.load.conftest import GRACE, Server, closed_pair, ended, rows, wait_for
from tests.load.test_parts import children

FILE = """
from locust import HttpUser, task, constant


class User(HttpUser):
    wait_time = constant(0.02)

    @task
    def one(self):
        self.client.get("/ok")
"""


def started(server: Server, out: Path, load: Load, text: str = FILE) -> ChildRun:
    (out / "locustfile.py").write_text(text)
    return LocustDriver(out).start(load, at=Endpoint(name="shop", url=server.url), out=out)


def closed(amount: int, **script: object) -> Load:
    told = {"file": "locustfile.py", "users": 6, "spawn_rate": 50.0, **script}
    return Load(endpoint="shop", rate=0.0, timeout=1.0, driver="locust", processes=amount, script=Script(**told))  # type: ignore[arg-type]


def test_the_samples_of_every_worker_are_in_the_record(server: Server, tmp_path: Path) -> None:
    run = started(server, tmp_path, closed(2))
    wait_for(run, 200)
    assert len(children(run.generator.pid)) == 2
    seal = ended(run)
    found = rows(run)

    assert {Outcome(row.outcome).name for row in found} == {"ok"}
    assert len(server.lines()) == len(found) == seal.count == seal.due
    assert seal.markers == ("web-1",)
    assert not seal.ended
    assert any(word.startswith(f"Locust's own summary: {len(found):,} requests") for word in seal.said)
    assert (run.generator.model, run.generator.schedule) == ("closed", "listed")
    assert series(run.samples(0)[0], load=closed(2), generator=run.generator, off=seal.off, seal=seal).broken == ""


def test_arrivals_on_a_schedule_are_shared(server: Server, tmp_path: Path) -> None:
    """Each arrival once, on one grid, whoever sent it."""
    load = Load(endpoint="shop", rate=100.0, timeout=1.0, driver="locust", processes=2, script=Script(file="locustfile.py"))
    run = started(server, tmp_path, load)
    wait_for(run, 200)
    seal = ended(run)
    step = 10_000_000
    due = sorted(row.n for row in rows(run) if run.generator.on <= row.n < seal.off)

    assert [round((one - run.generator.on) / step) for one in due] == list(range(len(due)))
    assert len(due) >= 200
    assert abs((seal.off - run.generator.on) / step - len(due)) <= 2
    assert seal.lateness[2] > 0


def test_the_death_of_a_worker_ends_the_load_and_is_told(server: Server, tmp_path: Path) -> None:
    run = started(server, tmp_path, closed(2))
    wait_for(run, 50)
    os.kill(children(run.generator.pid)[0], signal.SIGKILL)
    while run.alive():
        pass
    seal = run.wait(GRACE)

    assert seal is not None
    assert seal.ended in ("worker 1 was lost while the load ran", "worker 2 was lost while the load ran")


def test_what_the_file_raises_is_said_by_worker(server: Server, tmp_path: Path) -> None:
    run = started(server, tmp_path, closed(2), FILE.replace('self.client.get("/ok")', 'self.client.get("/ok"); raise KeyError("cart")'))
    wait_for(run, 100)
    seal = ended(run)
    told = Counter(word.split(":")[0] for word in seal.said if "KeyError" in word)

    assert told == {"worker 1": 1, "worker 2": 1}


def test_a_file_that_can_not_be_imported_is_told_with_its_own_words(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DriverError, match="no_such_module"):
        started(server, tmp_path, closed(2), "import no_such_module\n")


def test_workers_that_others_start_join_with_the_masters_file(server: Server, tmp_path: Path) -> None:
    """As on another machine: they have no file, and another boot, so that their clocks are compared."""
    port = closed_pair()
    (tmp_path / "boot").write_text("another machine")
    code = "import sys, pathlib; from chaosfw.load.locust import worker; worker.BOOT = pathlib.Path(sys.argv.pop(1)); {}"
    main = "from chaosfw.processes.locust_worker import main; main()"
    patch = "import gevent.monkey; gevent.monkey.patch_all(); "
    words = [sys.executable, "-c", patch + code.format(main), str(tmp_path / "boot"), f"127.0.0.1:{port}"]
    others = [subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(2)]
    try:
        (tmp_path / "run").mkdir()
        run = started(server, tmp_path / "run", closed(2, listen=f"127.0.0.1:{port}"))
        wait_for(run, 100)
        assert children(run.generator.pid) == []
        seal = ended(run)
        codes = [other.wait(GRACE) for other in others]
    finally:
        for other in others:
            other.kill()
            other.wait()
    found = rows(run)
    clocks = [word for word in seal.said if "its clock is" in word]

    assert len(server.lines()) == len(found)
    assert not seal.ended
    assert codes == [0, 0]
    assert len(clocks) == 2
    assert all(abs(float(word.partition("its clock is ")[2].split(" ")[0])) < 0.05 for word in clocks)  # the clock is really the same one
    assert all(run.generator.on - 10**11 < row.sent < row.end < seal.off + 10**10 for row in found)
