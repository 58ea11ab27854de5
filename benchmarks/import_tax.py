"""
What an installed chaosfw costs a pytest run that has nothing to do with it: paired runs of ``pytest --collect-only`` with the
plugin and without, in turn. ``python -m benchmarks.import_tax [PAIRS]``.

CPU seconds of the process are told beside wall-clock ones, because a busy machine moves only the latter.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.table import Row, show

WITH = ("-p", "chaosfw.pytest_plugin.plugin")
"""The module that the entry point names."""


def once(folder: Path, *flags: str) -> tuple[float, float]:
    """Wall-clock and CPU milliseconds of one collection."""
    # Other plugins stay out: they cost a hundred times as much and only add noise to the difference.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CHAOSFW_", "PYTHONPATH"))}
    kept["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    kept.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode: compiling it each time is not the tax
    kept["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *flags, "test_nothing.py"]
    subprocess.run(command, cwd=folder, env=kept, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1000, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def rows(pairs: int = 30) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        once(folder)
        once(folder, *WITH)
        wall, cpu = [], []
        for number in range(pairs):
            order = [(), WITH] if number % 2 else [WITH, ()]
            found = {flags: once(folder, *flags) for flags in order}
            wall.append(found[WITH][0] - found[()][0])
            cpu.append(found[WITH][1] - found[()][1])
    yield Row(name="import tax: wall clock, each pair's difference", values=wall, unit="ms", goal=5.0)
    yield Row(name="import tax: CPU, each pair's difference", values=cpu, unit="ms", goal=5.0)
    yield Row(name="import tax: CPU, mean of the pairs", values=[statistics.fmean(cpu)], unit="ms")


if __name__ == "__main__":
    show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
