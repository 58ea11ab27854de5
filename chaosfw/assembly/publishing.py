"""
A game day published: ``gameday.json``, the page, the summary, the link to the newest. Safe to repeat: whoever comes last has all
records.

Called by the pytest plugin at its end and, for a game day whose process died, by ``aftermath``.
"""

from __future__ import annotations

from pathlib import Path

from chaosfw.model.record import GameDay
from chaosfw.reporting import html, markdown
from chaosfw.store.folder import GameDayFolder, write_atomically


def publish(folder: GameDayFolder, day: GameDay) -> None:
    """Writes everything that a reader of the game day opens. Records that are still missing are left out."""
    folder.write(day)
    folder.make_latest()
    records = [run.read_record() for run in folder.runs() if run.record.exists()]
    page, summary = report_paths(folder.path)
    whole = folder.read()
    write_atomically(page, html.render(whole, records).encode())
    write_atomically(summary, markdown.render(whole, records).encode())


def report_paths(folder: Path) -> tuple[Path, Path]:
    """Where the page and the summary of a game day lie."""
    return folder / "report.html", folder / "summary.md"
