"""
The arithmetic of a rollout: how many replicas each replica set may have now. Pure, so that every case can be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.controllers.objects import share


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rolling update may do to a deployment of ``replicas``."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def most(self) -> int:
        return self.replicas + self.surge

    @property
    def fewest_available(self) -> int:
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True)
class SetCount:
    """One replica set, counted."""

    name: str
    wanted: int
    available: int


def bounds(spec: Object) -> Bounds:
    """Surge rounds up, unavailability down; if both come out as nothing, one may be missing, or nothing would ever move."""
    replicas = spec.get("replicas", 1)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Bounds(replicas, 0, replicas)
    rolling = strategy.get("rollingUpdate") or {}
    surge = share(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Bounds(replicas, surge, min(unavailable, replicas))


def grow(limits: Bounds, new: SetCount, old: Sequence[SetCount]) -> int:
    """How many replicas the new set gets now."""
    if new.wanted >= limits.replicas:
        return limits.replicas
    room = limits.most - new.wanted - sum(one.wanted for one in old)
    return new.wanted + max(0, min(room, limits.replicas - new.wanted))


def shrink(limits: Bounds, new: SetCount, old: Sequence[SetCount]) -> dict[str, int]:
    """What the old sets are left with now: first without their broken pods, then without as many as can be spared."""
    left = {one.name: one.wanted for one in old}
    total = new.wanted + sum(left.values())
    spare = total - limits.fewest_available - (new.wanted - new.available)
    for one in old:
        broken = max(0, min(one.wanted - one.available, spare))
        left[one.name] -= broken
        spare -= broken
    available = new.available + sum(min(left[one.name], one.available) for one in old)
    spare = available - limits.fewest_available
    for one in old:
        step = max(0, min(left[one.name], spare))
        left[one.name] -= step
        spare -= step
    return left


def proportional(limits: Bounds, sets: Sequence[SetCount]) -> dict[str, int]:
    """A deployment scaled in the middle of a rollout: every set by its share, the largest takes what rounding leaves."""
    total = sum(one.wanted for one in sets)
    allowed = limits.most if limits.replicas > 0 else 0
    difference = allowed - total
    if total == 0 or difference == 0:
        return {one.name: one.wanted for one in sets}
    result = {one.name: max(0, one.wanted + round(one.wanted * difference / total)) for one in sets}
    largest = max(sets, key=lambda one: one.wanted).name
    result[largest] = max(0, result[largest] + allowed - sum(result.values()))
    return result
