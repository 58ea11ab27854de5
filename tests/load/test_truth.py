"""What the load says against what happened: a real server is killed and started again while the prober sends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from chaosfw.analysis import outages
from chaosfw.analysis.objectives import count
from chaosfw.analysis.samples import GOOD, grades, series
from chaosfw.load.child import ChildRun
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.load import SAMPLE, Endpoint, Load
from chaosfw.timing import SYSTEM

STAND_IN = Path(__file__).with_name("stand_in.py")
RATE = 200.0


def started(log: Path, *, port: int = 0) -> tuple[subprocess.Popen[bytes], int]:
    child = subprocess.Popen([sys.executable, str(STAND_IN), str(log), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    return child, int(child.stdout.readline())


def ended(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.communicate()


def wait_for_more(run: ChildRun, count: int) -> None:
    until = len(run.samples(0)[0]) + count * SAMPLE.size
    while len(run.samples(0)[0]) < until:
        assert run.alive()


def test_the_outage_is_the_one_that_was_made(tmp_path: Path) -> None:
    """Its brackets hold the instants at which the server went and came; the good ones are those that it logged."""
    log = tmp_path / "log"
    server, port = started(log)
    load = Load(endpoint="shop", path="/ok", rate=RATE, timeout=1.0)
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=f"http://127.0.0.1:{port}"), out=tmp_path)
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
    assert counts.intended == seal.due
    assert 0 <= logged - answered <= 2  # in flight when it was killed
