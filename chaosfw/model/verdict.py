"""Verdict, safety, and what they rest on: claims, findings, conditions (docs/protocols/verdict.md)."""

from __future__ import annotations

import enum

from chaosfw.model.struct import Noun


class Verdict(enum.StrEnum):
    """Proven, proven otherwise, or neither."""

    held = "held"
    deviated = "deviated"
    inconclusive = "inconclusive"


class Safety(enum.StrEnum):
    """The second axis. It never rewrites the verdict and always fails the test unless clean."""

    clean = "clean"
    residue = "residue"
    unknown = "unknown"


class Truth(enum.StrEnum):
    """Kleene's three values: a claim is True, False or Undecided."""

    true = "true"
    false = "false"
    undecided = "undecided"


class Finding(Noun, frozen=True, kw_only=True):
    """One claim and what was measured of it."""

    slug: str
    """``steady-state-before``, ``recovered``, ``during-fault.availability``, ``price``, ``assert`` …"""
    claim: str
    """In words: ``availability ≥ 97 % while the fault is in``."""
    truth: Truth
    measured: str = ""
    allowed: str = ""
    reason: str = ""
    """The sentence a tired person needs; for False: measured, allowed, first instant, duration."""
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    at: int | None = None
    """For False: when the evidence was complete, ns CLOCK_MONOTONIC. None: only at the end of the run."""


class Condition(Noun, frozen=True, kw_only=True):
    """One condition of V or W, met or not, with its reason. ``kind`` says which of the two it belongs to."""

    slug: str
    met: bool
    reason: str
    kind: str = "W"


class Judgement(Noun, frozen=True, kw_only=True):
    """The verdict of one run and everything it rests on. Built in ``analysis.judge`` only."""

    verdict: Verdict = Verdict.inconclusive
    sentence: str = ""
    findings: tuple[Finding, ...] = ()
    conditions: tuple[Condition, ...] = ()
    safety: Safety = Safety.unknown
    safety_sentence: str = ""
    would_be: tuple[str, ...] = ()
    """Deviations that were seen but may not be claimed, because V failed."""
    final: bool = False
    """False: asserts and seal are still to come."""

    @property
    def unmet(self) -> tuple[Condition, ...]:
        return tuple(one for one in self.conditions if not one.met)
