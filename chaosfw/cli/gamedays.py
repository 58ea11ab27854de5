"""``chaosfw plan`` and ``chaosfw report``: before a game day and after it."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from chaosfw.assembly.publishing import report_paths
from chaosfw.errors import UsageError
from chaosfw.reporting import html, markdown
from chaosfw.store.folder import GameDayFolder


def plan(given: argparse.Namespace) -> int:
    """``pytest --chaos-plan`` in a process of its own; its exit code is ours."""
    arguments = [one for one in given.pytest if one != "--"]
    if not any(Path(one.partition("::")[0]).exists() for one in arguments):
        arguments.append("experiments/")
    return subprocess.run([sys.executable, "-m", "pytest", "--chaos-plan", *arguments], check=False).returncode


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
