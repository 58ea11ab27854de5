"""
How long a verdict takes: ``python benchmarks/fold.py``. A million samples of one run, and the little run of a simulated
experiment. Prints a table with machine and versions.
"""

from __future__ import annotations

import pickle
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy

from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judge
from chaosfw.analysis.summary import run_line
from chaosfw.model.load import Load
from chaosfw.model.record import GameDay
from chaosfw.model.struct import but
from chaosfw.reporting.html import render
from chaosfw.testing.journals import Script, Weather, experiment


def best_and_median(work: Callable[[], object], *, times: int) -> tuple[float, float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append((time.perf_counter() - began) * 1000)
    return min(took), statistics.median(took)


def main() -> None:
    versions = f"Python {platform.python_version()}, numpy {numpy.__version__}, msgspec {msgspec.__version__}"
    print(f"{platform.machine()}, {platform.system()} {platform.release()}; {versions}\n")
    print(f"{'run':<34}{'samples':>10}{'events':>8}{'best':>10}{'median':>10}")
    small = Script(weather=(Weather(begin=2, end=4),), experiment=but(experiment(), load=Load(endpoint="shop", rate=70.0, timeout=1.0)))
    hours = but(experiment(), baseline=120.0, lasts=600.0, recover_within=240.0, load=Load(endpoint="shop", rate=1030.0, timeout=1.0))
    large = Script(weather=(Weather(begin=20, end=90, share=0.5),), experiment=hours)
    for name, script, times in (("simulated experiment", small, 200), ("sixteen minutes at 1,030 a second", large, 7)):
        events, samples = script.events(), script.samples()
        record = fold(events, samples)
        for what, work in (("fold", lambda: fold(events, samples)), ("judge", lambda: judge(record, final=True))):  # noqa: B023  # called at once
            best, median = best_and_median(work, times=times)
            print(f"{name + ', ' + what:<34}{len(samples) // 36:>10,}{len(events):>8}{best:>8.1f} ms{median:>7.1f} ms")
    ten_million()


def ten_million() -> None:
    """From the file to the page in at most 10 s and 500 MB, and a page of at most 1 MB. In a process of its own, for its own peak."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "benchmarks.fold", "make", folder], check=True)
        told = subprocess.run([sys.executable, "-m", "benchmarks.fold", "judge", folder], check=True, capture_output=True, text=True)
    amount, took, used, size = told.stdout.split()
    print(
        f"ten million in a process of its own: {int(amount):,} samples judged and rendered in {float(took):.1f} s (goal 10), "
        f"{float(used):.0f} MB at most (goal 500), page {float(size):.2f} MB (goal 1)"
    )


def make(folder: Path) -> None:
    wide = but(experiment(), load=Load(endpoint="shop", rate=10_400.0, timeout=1.0), baseline=60.0, lasts=600.0, recover_within=300.0)
    script = Script(experiment=wide, weather=(Weather(begin=5, end=25, share=0.3),))
    (folder / "samples.bin").write_bytes(script.samples())
    (folder / "events").write_bytes(pickle.dumps(script.events()))


def judge_and_render(folder: Path) -> None:
    events = pickle.loads((folder / "events").read_bytes())
    began = time.perf_counter()
    record = but(fold(events, folder / "samples.bin"), run="r1")
    record = but(record, judgement=judge(record, final=True))
    line = run_line(record, folder="01", test="test_it.py::test_it")
    day = GameDay(name="d1", started=0, environment="sandbox", environment_kind="sandbox", runs=(line,))
    size = len(render(day, [record]).encode()) / 1e6
    took = time.perf_counter() - began
    assert record.load is not None
    print(record.load.total.intended, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, size)


if __name__ == "__main__":
    {"make": make, "judge": judge_and_render}[sys.argv[1]](Path(sys.argv[2])) if sys.argv[2:] else main()
