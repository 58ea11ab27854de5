"""Objectives: what is promised to users (SLO), and what is accepted while a fault is in (Objective)."""

from __future__ import annotations

from typing import Literal

from chaosfw.model.struct import Noun


class LatencyLimit(Noun, frozen=True, kw_only=True):
    """At least ``quantile`` of all requests are good and take at most ``limit`` seconds."""

    quantile: float
    limit: float

    def __str__(self) -> str:
        return f"p{self.quantile * 100:g} ≤ {self.limit * 1000:g} ms"


class BurnRule(Noun, frozen=True, kw_only=True):
    """
    An alert on error budget: true while the share of bad requests is above ``burn`` times the SLO's allowance, over the ``long`` and the
    ``short`` window (seconds) at once. ``hold``: for how long it has to be true (``for`` of a Prometheus rule).
    """

    severity: str
    long: float
    short: float
    burn: float
    hold: float = 0.0
    alert: str = ""
    """The alert's name in the alerting system, so that it can be told whether it fired."""


class Queries(Noun, frozen=True, kw_only=True):
    """
    The SLI as PromQL: good or bad requests and all of them, or the share of bad ones. With ``{{.window}}`` a query is asked over a phase's
    length; without it, it is a counter, which is read at both ends.
    """

    good: str = ""
    bad: str = ""
    total: str = ""
    ratio: str = ""

    @property
    def asked(self) -> tuple[str, ...]:
        return (self.ratio,) if self.ratio else (self.good or self.bad, self.total)


def workbook(window: float) -> tuple[BurnRule, ...]:
    """
    The rules of table 5-8 of Google's Site Reliability Workbook, chapter 5: 2 % of the budget in an hour and 5 % in six page, 10 % in three
    days is a ticket; the short window is a twelfth. ``window`` of the SLO in seconds.
    """
    shares = (("page", 0.02, 3600.0), ("page", 0.05, 6 * 3600.0), ("ticket", 0.10, 3 * 86400.0))
    return tuple(BurnRule(severity=severity, long=long, short=long / 12, burn=share * window / long) for severity, share, long in shares)


class SLO(Noun, frozen=True, kw_only=True):
    """
    Prices a run; it is not a limit on two minutes of it. ``availability`` is a share (0.999), ``window`` in seconds,
    ``requests_per_window`` the declared traffic that the budget is counted over (0: the load's own rate over the window).
    """

    name: str
    availability: float
    latency: tuple[LatencyLimit, ...] = ()
    window: float = 30 * 86400.0
    requests_per_window: float = 0.0
    alerts: tuple[BurnRule, ...] = ()
    """Rules that would tell somebody; empty: those of Google's workbook."""
    scrape: float = 30.0
    """Seconds between scrapes of the series that the rules look at."""
    evaluate: float = 30.0
    """Seconds between evaluations of the rules."""
    queries: Queries | None = None
    """The SLI as the environment's Prometheus has it: read beside the load, never judged by."""

    @property
    def rules(self) -> tuple[BurnRule, ...]:
        return self.alerts or workbook(self.window)

    @property
    def limit(self) -> float | None:
        """The latency above which one request counts as bad, in seconds; None when the SLO names none."""
        return max((one.limit for one in self.latency), default=None)


class Objective(Noun, frozen=True, kw_only=True):
    """A limit on one SLI in one named phase: the degradation that is accepted."""

    sli: Literal["availability", "latency"]
    target: float
    """A share of requests: for availability the good ones, for latency those within ``limit`` (0.95 for p95)."""
    limit: float = 0.0
    """Latency limit in seconds; 0 for availability."""
    endpoint: str = ""

    def __str__(self) -> str:
        if self.sli == "availability":
            return f"availability ≥ {self.target * 100:g} %"
        return f"p{self.target * 100:g} ≤ {self.limit * 1000:g} ms"
