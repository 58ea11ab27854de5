"""What a monitoring system said of a run: alerts that fired, and its own reading of the SLI. Shown beside what the load measured."""

from __future__ import annotations

from chaosfw.model.struct import Noun


class AlertSeen(Noun, frozen=True, kw_only=True):
    """One stretch in which an alert was firing. Instants as seconds of our wall clock."""

    name: str
    labels: dict[str, str] = {}
    first: float
    last: float
    """The last evaluation that saw it fire, or had it fire still."""
    still: bool = False
    """It fired when it was asked."""


class Reading(Noun, frozen=True, kw_only=True):
    """The SLI of one phase by PromQL: a share of good requests; None with the reason in ``trouble``."""

    phase: str
    good: float | None = None
    total: float | None = None
    """Requests, where the query counts them."""
    trouble: str = ""
