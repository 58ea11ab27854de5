"""
How long a verdict takes: ``python benchmarks/fold.py``. A million samples of one run, and the little run of a simulated
experiment. Prints a table with machine and versions.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import msgspec
import numpy

from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judge
from chaosfw.model.load import Load
from chaosfw.model.struct import but
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


if __name__ == "__main__":
    main()
