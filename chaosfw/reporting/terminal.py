"""
A game day in a few lines at the end of pytest's output: readable without colour, worst first. Called by the plugin.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from chaosfw.analysis.repeats import repeated
from chaosfw.model.record import GameDay, RunLine
from chaosfw.reporting import figures, view

WIDTH = 100
INDENT = " " * 16

MOST_REASONS = 5


def lines(day: GameDay) -> list[str]:
    """The headline, then one block per experiment."""
    real = " of the real Kubernetes" if day.control_plane == "kubernetes" else ""
    place = f"{day.environment} (a sandbox{real}, profile {day.profile})" if day.environment_kind == "sandbox" else day.environment
    found = [f"{view.headline(day)}" + (f"   on {place}" if place else "")]
    for line in view.worst_first(day.runs):
        found += _experiment(line)
    for one in repeated(day.runs):
        found += _wrapped(f"{figures.scrubbed(one.name)}: {view.repeats_words(one)}", first="↻ ")
    return found


def _experiment(line: RunLine) -> Iterator[str]:
    mark, word = view.WORDS.get(line.verdict, ("?", line.verdict))
    yield f"{mark} {word.upper():<13} {line.title or line.test}"
    yield from _wrapped(f"{view.sentence(line)}{_figures(line)}", first=INDENT)
    if line.verdict in view.RAN and line.safety != "clean":
        words = "something was left behind" if line.safety == "residue" else "whether everything was put back is not known"
        yield from _wrapped(f"{words}; hint: chaosfw heal, then chaosfw audit", first=INDENT + "! ")
    told = view.sentence(line)
    reasons = [reason for reason in map(figures.scrubbed, line.reasons) if reason and _plain(reason) not in told.lower()]
    for reason in reasons[:MOST_REASONS]:
        yield from _wrapped(reason, first=INDENT + "- ")
    if len(reasons) > MOST_REASONS:
        yield f"{INDENT}- {len(reasons) - MOST_REASONS} more in the report"


def _figures(line: RunLine) -> str:
    """What the sentence of a run that was not held may leave out."""
    if line.verdict not in ("deviated", "inconclusive") or not line.samples:
        return ""
    return f" [lost {view.lost(line)} of {line.samples:,}; longest outage {view.outage(line)}; budget price {view.price(line, None)}]"


def _plain(reason: str) -> str:
    """Without the slug that a refusal begins with."""
    return reason.split(": ", 1)[-1].lower() if " " not in reason.split(": ", 1)[0] else reason.lower()


def _wrapped(text: str, *, first: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False)
