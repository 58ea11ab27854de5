"""What the load says against what happened: a real server is killed and started again while the prober sends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chaosfw.analysis import outages
from chaosfw.analysis.objectives import count
from chaosfw.analysis.samples import GOOD, grades, series
from chaosfw.load.k6.driver import K6Driver
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.load import SAMPLE, Endpoint, Load, Script
from chaosfw.ports import LoadDriver, LoadRun
from chaosfw.timing import SYSTEM
from tests.load.conftest import K6

STAND_IN = Path(__file__).with_name("stand_in.py")
RATE = 200.0


def started(log: Path, *, port: int = 0) -> tuple[subprocess.Popen[bytes], int]:
    child = subprocess.Popen([sys.executable, str(STAND_IN), str(log), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def ended(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.communicate()


def wait_for_more(run: LoadRun, count: int) -> None:
    until = len(run.samples(0)[0]) + count * SAMPLE.size
    while len(run.samples(0)[0]) < until:
        assert run.alive()


LOCUSTFILE = """
from locust import HttpUser, task


class User(HttpUser):
    @task
    def one(self):
        self.client.get("/ok", headers={"Connection": "close"})
"""

GENERATORS: dict[str, tuple[Callable[[Path], LoadDriver], Load]] = {
    "prober": (lambda folder: ProberDriver(), Load(endpoint="shop", path="/ok", rate=RATE, timeout=1.0)),
    "locust": (LocustDriver, Load(endpoint="shop", rate=RATE, timeout=1.0, driver="locust", script=Script(file="locustfile.py"))),
    **{
        f"k6 {version}": (
            lambda folder, binary=str(binary): K6Driver(binary),  # type: ignore[misc]  # mypy knows no default of a lambda
            Load(endpoint="shop", path="/ok", rate=RATE, timeout=1.0, driver="k6"),
        )
        for version, binary in K6.items()
    },
}


@pytest.mark.parametrize("generator", GENERATORS)
def test_the_outage_is_the_one_that_was_made(tmp_path: Path, generator: str) -> None:
    """Its brackets hold the instants at which the server went and came; the good ones are those that it logged."""
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    log = tmp_path / "log"
    server, port = started(log)
    make, load = GENERATORS[generator]
    run = make(tmp_path).start(load, at=Endpoint(name="shop", url=f"http://127.0.0.1:{port}"), out=tmp_path)
    try:
        wait_for_more(run, 60)
        killing = SYSTEM.monotonic_ns()
        ended(server)
        killed = SYSTEM.monotonic_ns()
        wait_for_more(run, 60)
        starting = SYSTEM.monotonic_ns()
        server, _ = started(log, port=port)
        up = SYSTEM.monotonic_ns()
        wait_for_more(run, 260)
        run.stop()
        seal = run.wait(30.0)
    finally:
        run.kill()
        ended(server)

    assert seal is not None
    samples = series(run.samples(0)[0], load=load, generator=run.generator, off=seal.off, seal=seal)
    grade = grades(samples, limit=None)
    found = outages.of_load(samples, grade=grade, begin=run.generator.on, stable_for=0.5, unknown_is_bad=False, name="shop")

    assert samples.broken == ""
    assert len(found) == 1
    assert found[0].onset.first <= killed
    assert found[0].onset.last is not None
    assert found[0].onset.last >= killing
    assert found[0].end is not None
    assert found[0].end.last is not None
    assert found[0].end.last >= starting
    assert found[0].end.first <= up
    counts = count(samples, grade=grade, mask=np.ones(len(grade), np.bool_), limit=None)
    logged = len(log.read_text().splitlines())
    answered = int(np.count_nonzero(samples.outcome == GOOD))
    in_flight = 2 if load.driver != "k6" else 2 + int(RATE * load.timeout) + 20  # it goes on sending while it drains
    assert counts.intended == pytest.approx((samples.due[-1] - samples.on) * RATE / 1e9 + 1, abs=1)
    assert 0 <= logged - answered <= in_flight  # when it was killed, and what k6 cut at the very end
