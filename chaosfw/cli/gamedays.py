"""``chaosfw plan`` and ``chaosfw report``: before a game day and after it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from chaosfw.analysis import comparing
from chaosfw.analysis.fold import requests
from chaosfw.analysis.samples import grades
from chaosfw.assembly.publishing import report_paths
from chaosfw.errors import UsageError
from chaosfw.model.record import Record
from chaosfw.reporting import comparison, html, markdown, promtool
from chaosfw.store.folder import GameDayFolder, RunFolder
from chaosfw.store.journal import read_journal


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


def export(given: argparse.Namespace) -> int:
    """A run as a test of alert rules: ``promtool test rules`` says what they make of it."""
    run = RunFolder(given.of)
    if not run.journal.exists():
        raise UsageError(f"{given.of} is no run's folder", hint="one of reports/latest/runs/…")
    plan, slo = run.read_plan(), run.read_plan().experiment.slo
    events, _ = read_journal(run.journal)
    series = requests(events, run.samples)
    if slo is None or series is None:
        raise UsageError(f"{plan.experiment.title!r} has no {'load' if slo else 'slo'}: there is nothing that an alert could be about")
    if bool(given.good) != bool(given.bad) or (given.good and not given.rules):
        raise UsageError("--good and --bad name the series that rules of your own look at", hint="--rules FILE --good … --bad …")
    files = [str(Path(os.path.relpath(file, given.out))) for file in given.rules]
    title = plan.experiment.title
    made = promtool.exported(
        series, grade=grades(series, limit=None), slo=slo, title=title, rule_files=files, good=given.good, bad=given.bad
    )
    given.out.mkdir(parents=True, exist_ok=True)
    if made.rules:
        (given.out / "rules.yaml").write_text(made.rules)
    (given.out / "test.yaml").write_text(made.test)
    print("\n".join([*made.expected, f"promtool test rules {given.out / 'test.yaml'}"]))
    return 0


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
