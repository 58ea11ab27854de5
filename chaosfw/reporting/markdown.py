"""
A game day as ``summary.md``: fits a pull request's comment and a CI job's summary. Called by the plugin and by ``chaosfw report``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from chaosfw.analysis.repeats import repeated
from chaosfw.model.record import GameDay, Record
from chaosfw.reporting.page import Cell, Experiment, Page, Row, Section
from chaosfw.reporting.view import page, repeats_words

LONGEST = 60_000
"""Characters: GitHub cuts a comment at 65,536."""

HEAD = ("", "Experiment", "Verdict", "Lost", "Outage", "p95 before → during", "Recovered / allowed", "Budget")

DETAILS = ("refusals", "unmet", "findings")
"""Sections that are told for whatever did not hold."""


def render(day: GameDay, records: Sequence[Record]) -> str:
    """The summary. Details of experiments that would not fit are left to the report, and it says so."""
    made = page(day, records)
    text = _top(made) + "".join(f"\n- {_safe(one.name)}: {_safe(repeats_words(one))}" for one in repeated(day.runs))
    text += "\n" if repeated(day.runs) else ""
    wrong = [one for one in made.experiments if one.row.verdict != "held" or one.row.safety]
    for number, one in enumerate(wrong):
        block = _details(one)
        if len(text) + len(block) > LONGEST:
            text += f"\n{len(wrong) - number} more experiments are in the report.\n"
            break
        text += block
    return text


def _top(made: Page) -> str:
    badge = f"{made.badge} `{_code(made.environment)}`" + (f", {_safe(made.badge_note)}" if made.badge_note else "")
    rows = [_line(HEAD), _line(["---"] * 3 + ["---:"] * 5), *(_line(_row(row)) for row in made.rows)]
    table = "\n".join(rows) if made.rows else ""
    return f"## {_safe(made.headline)}\n\nchaosfw game day, {made.when}. {badge}.\n\n{table}\n"


def _row(row: Row) -> list[str]:
    told = f"**{_safe(row.word)}**: {_safe(row.sentence)}" + (f" **Way back:** {_safe(row.safety)}" if row.safety else "")
    lost = row.lost + (f" {row.lost_note}" if row.lost_note else "")
    figures = (lost, row.outage, row.p95, row.recovered, row.price)
    return [row.mark, f"**{_safe(row.title)}**<br>{_safe(row.broke)}", told, *map(_safe, figures)]


def _details(one: Experiment) -> str:
    parts = [f"\n### {one.row.mark} {_safe(one.row.word)}: {_safe(one.row.title)}\n\n`{_code(one.row.test)}`\n"]
    parts += [_section(section) for section in one.sections if section.slug in DETAILS]
    return "".join(parts)


def _section(section: Section) -> str:
    parts = [f"\n**{_safe(section.title)}**\n"]
    for table in section.tables:
        rows = [_line(map(_safe, table.head)), _line(["---"] * len(table.head)), *(_line(map(_cell, row)) for row in table.rows)]
        parts.append("\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _cell(cell: Cell) -> str:
    return _safe(cell.text) + (f"<br>{_safe(cell.note)}" if cell.note else "")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _safe(text: str) -> str:
    """Text that stays text: no HTML, no links, no mentions, no new cells."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*\[\]|_#~])", r"\\\1", text)
    return re.sub(r"\s+", " ", text).replace("@", "@\u200b").strip()


def _code(text: str) -> str:
    """Text between backticks."""
    return re.sub(r"\s+", " ", text.replace("`", "'")).strip()
