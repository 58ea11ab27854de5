"""
What one experiment costs beyond its declared phases, in a sandbox that is up: from pytest's own durations, beside stock
``chaos run`` of the same file (which does the injection only, without load, hold, heal, audit or report).

``python -m benchmarks.overhead [TIMES]``.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sandbox import ROOT, spec
from benchmarks.table import Row, show
from chaosfw.sandbox import public as sandbox

SETTINGS = """
[tool.chaosfw.environments.sandbox]
manifests = ["deploy/shop/*.yaml"]
endpoints = { shop = "service/shop/myapp:80" }
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """One game day of ``count`` experiments, in seconds."""

    whole: float
    tests: tuple[float, ...]
    spans: float
    """From the begin of the first declared phase to the end of the last, summed over the runs."""
    declared: float


def prepared(folder: Path, count: int) -> dict[str, object]:
    """``count`` copies of pod-loss.json with phases of two seconds and less."""
    content = json.loads((ROOT / "experiments" / "pod-loss.json").read_text())
    content["extensions"][0] |= {"baseline": "2s", "lasts": "2s", "stable_for": "2s", "recover_within": "2s"}
    content["extensions"][0]["load"]["rate"] = 60
    del content["extensions"][0]["during_fault"]
    (folder / "pyproject.toml").write_text(SETTINGS)
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    (folder / "experiments").mkdir()
    for number in range(count):
        (folder / "experiments" / f"pod-loss-{number}.json").write_text(json.dumps({**content, "title": f"lose a pod {number}"}))
    return dict(content)


def pytest_run(folder: Path, variables: dict[str, str]) -> Ran:
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=0", "-vv", "experiments/"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False)
    whole = time.monotonic() - began
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-3000:] + done.stderr[-2000:])
    took: dict[str, float] = {}
    for seconds, which in re.findall(r"^([\d.]+)s (?:setup|call|teardown) +(\S+)", done.stdout, re.MULTILINE):
        took[which] = took.get(which, 0.0) + float(seconds)
    spans = declared = 0.0
    for run in sorted((folder / "reports" / "latest" / "runs").glob("[0-9]*")):
        events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        phases = [event for event in events if event["type"] == "PhaseBegan"]
        spans += (events[-1]["at"] - phases[0]["at"]) / 1e9
        declared += json.loads((run / "plan.json").read_text())["seconds"]
    return Ran(whole, tuple(took.values()), spans, declared)


def chaos_run(folder: Path, variables: dict[str, str]) -> float:
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "run", "experiments/pod-loss-0.json"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return time.monotonic() - began


def rows(times: int = 4) -> Iterator[Row]:
    with sandbox.start(spec(), timeout=60.0) as started, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepared(folder, times)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CHAOSFW_"))}
        variables = kept | sandbox.env(started.directory) | {"PYTHONPATH": str(ROOT)}
        ran = pytest_run(folder, variables)
        yield Row(name="experiment: declared phases, as planned", values=[ran.declared / times])
        beyond = [one - ran.declared / times for one in ran.tests]
        yield Row(name="experiment: beyond its declared phases, by pytest's durations", values=beyond, goal=0.5)
        yield Row(name="experiment: of that, first phase to sealed journal (mean)", values=[(ran.spans - ran.declared) / times])
        yield Row(name="game day: everything that is no test (start, collect, report)", values=[ran.whole - sum(ran.tests)])
        started.settle()
        stock = []
        for _ in range(times):
            stock.append(chaos_run(folder, variables))
            started.settle()
        yield Row(name="beside: chaos run of the same file, no load, no hold", values=stock)


if __name__ == "__main__":
    show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else 4))
