"""``chaosfw plan`` and ``chaosfw report``: before a game day and after it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from chaosfw.analysis import comparing
from chaosfw.assembly.publishing import report_paths
from chaosfw.errors import UsageError
from chaosfw.model.record import Record
from chaosfw.reporting import comparison, html, markdown
from chaosfw.store.folder import GameDayFolder, RunFolder


def plan(given: argparse.Namespace) -> int:
    """``pytest --chaos-plan`` in a process of its own; its exit code is ours."""
    arguments = [one for one in given.pytest if one != "--"]
    if not any(Path(one.partition("::")[0]).exists() for one in arguments):
        arguments.append("experiments/")
    return subprocess.run([sys.executable, "-m", "pytest", "--chaos-plan", *arguments], check=False).returncode


def compare(given: argparse.Namespace) -> int:
    """Two runs, or two game days test by test. 1 when something is decidedly worse in the second."""
    first, second = _records(given.first), _records(given.second)
    pairs = [(test, first[test], second[test]) for test in first if test in second]
    if len(first) == len(second) == 1:
        (test, a), b = next(iter(first.items())), next(iter(second.values()))
        pairs = [(test, a, b)]
    if not pairs:
        raise UsageError("the two have no test in common", hint=f"in the first: {', '.join(sorted(first))}")
    worse = False
    for test, a, b in pairs:
        found = comparing.compare(a, b, availability=given.availability, latency=given.latency)
        print("\n".join(comparison.lines(a, b, found, test=test)))
        worse = worse or any(one.is_worse for one in found)
    for words, others in (("first", first.keys() - second.keys()), ("second", second.keys() - first.keys())):
        if others and len(pairs) < max(len(first), len(second)):
            print(f"only in the {words}: {', '.join(sorted(others))}")
    return 1 if worse else 0


def _records(path: Path) -> dict[str, Record]:
    """By test: of a run's folder, or of every run of a game day that has a record. Raises UsageError for two runs of one test."""
    single = RunFolder(path)
    runs = [run for run in ((single,) if single.record.exists() else GameDayFolder.open(path).runs()) if run.record.exists()]
    found: dict[str, Record] = {}
    for run in runs:
        line = run.read_line()
        test = line.test if line is not None else run.name
        if test in found:
            raise UsageError(f"{path} has two runs of {test}", hint="name the folders of two runs: runs/…")
        found[test] = run.read_record()
    if not found:
        raise UsageError(f"{path} has no run with a record", hint="name a folder of a run, or of a game day")
    return found


def report(given: argparse.Namespace) -> int:
    """Writes page and summary again, from what the runs recorded."""
    folder = GameDayFolder.open(given.folder)
    if not (folder.path / "gameday.json").exists():
        raise UsageError(f"{folder.path} has no gameday.json: the game day did not end", hint="its runs are in runs/*/journal.jsonl")
    day = folder.read()
    records = [run.read_record() for run in folder.runs() if run.record.exists()]
    page, summary = report_paths(folder.path)
    page.write_text(html.render(day, records), encoding="utf-8")
    summary.write_text(markdown.render(day, records), encoding="utf-8")
    print(page)
    return 0
