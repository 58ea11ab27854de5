"""
What a recovery's segments would have taken with the settings that a cluster has by default, where a sandbox's time profile is quicker.

Called by the report. Nothing is multiplied: what settings decide is taken from them, segment by segment, and all else stays as measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaosfw.model.record import Record, Segment

SILENCE: Final = "kubernetes.machine/"
"""Kinds of faults that are found out by a lease that is not renewed; what is announced takes as long everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds, of a time profile; ``chaosfw.sandbox.profiles`` has them, and a test holds these against it."""

    renew: float
    monitor: float
    grace: float
    tolerated: float


PACES: Final = {
    "default": Pace(renew=10.0, monitor=5.0, grace=50.0, tolerated=300.0),
    "fast": Pace(renew=1.0, monitor=0.5, grace=5.0, tolerated=30.0),
}


def re_expanded(record: Record) -> dict[str, tuple[float, float]]:
    """
    Seconds, at least and at most, by the name of a segment; empty where default settings would change nothing.

    A lost node is noticed when its lease is older than the grace: it was renewed up to one period before it fell silent, and somebody looks
    once a period of the monitor. Its pods are given up as much later as they are tolerated longer (pods that say nothing themselves).
    """
    plan = record.plan
    if plan is None or plan.environment.profile not in PACES or plan.environment.profile == "default":
        return {}
    if not any(bound.fault.startswith(SILENCE) for bound in record.bound):
        return {}
    return {one.name: span for one in record.segments if (span := _span(one, PACES[plan.environment.profile])) is not None}


def _span(segment: Segment, pace: Pace) -> tuple[float, float] | None:
    usual = PACES["default"]
    if segment.seconds is None:
        return None
    if segment.name == "detect" and segment.seconds >= pace.grace - pace.renew:
        return usual.grace - usual.renew, usual.grace + usual.monitor
    if segment.name == "evict" and segment.seconds >= pace.tolerated - pace.grace:
        longer = segment.seconds + usual.tolerated - pace.tolerated
        return longer, longer
    return None
