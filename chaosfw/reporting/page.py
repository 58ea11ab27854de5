"""What a page is made of: plain text in tables, facts and sections. No numbers, no HTML; templates only place it."""

from __future__ import annotations

from dataclasses import dataclass

from chaosfw.reporting.timeline import Timeline


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """``tone``: good, bad, unknown, muted or empty. The text says the same without it. ``note``: a smaller second line."""

    text: str
    tone: str = ""
    note: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``numeric``: the columns that are right-aligned figures. The first column names the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: frozenset[int] = frozenset()
    more: str = ""
    """What was left out, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    name: str
    value: str
    note: str = ""
    tone: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """``folded``: shown as its heading until opened. ``raw``: text as it is."""

    slug: str
    title: str
    lead: str = ""
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: bool = False
    raw: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One experiment on the first screen."""

    anchor: str
    title: str
    test: str
    verdict: str
    """held, deviated, inconclusive, refused, blocked, planned."""
    word: str
    mark: str
    safety: str
    """Empty when clean or when nothing was touched; else what is wrong, in words."""
    safety_tone: str
    sentence: str
    broke: str
    lost: str
    lost_note: str
    outage: str
    p95: str
    recovered: str
    price: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """One experiment in full."""

    row: Row
    when: str
    lead: tuple[Fact, ...]
    timeline: Timeline | None
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    name: str
    when: str
    environment: str
    badge: str
    badge_note: str
    sandbox: bool
    measured: bool
    """At least one experiment sent requests."""
    headline: str
    tone: str
    rows: tuple[Row, ...]
    experiments: tuple[Experiment, ...]
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
