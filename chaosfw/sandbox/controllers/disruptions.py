"""
How much of a zone is lost, and how fast the pods of lost nodes may be evicted then. Pure.

The rules are those of Kubernetes' pkg/controller/nodelifecycle/node_lifecycle_controller.go (ComputeZoneState, handleDisruption), v1.37.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from chaosfw.sandbox.profiles import Profile

UNHEALTHY: Final = 0.55
"""--unhealthy-zone-threshold: from this share of lost nodes on, a zone is partly disrupted."""
LARGE: Final = 50
"""--large-cluster-size-threshold: a partly disrupted zone with so many nodes or fewer evicts nothing."""


class ZoneState(Enum):
    NORMAL = "Normal"
    PARTIAL = "PartialDisruption"
    FULL = "FullDisruption"


def zone_state(ready: Sequence[bool]) -> ZoneState:
    """Of a zone whose nodes are ready, or not."""
    lost = len(ready) - sum(ready)
    if lost and lost == len(ready):
        return ZoneState.FULL
    if lost > 2 and lost / len(ready) >= UNHEALTHY:
        return ZoneState.PARTIAL
    return ZoneState.NORMAL


def eviction_rate(state: ZoneState, *, nodes: int, profile: Profile) -> float:
    """Nodes a second of a zone with so many. A whole zone that is lost is evicted at the normal rate: others can take its pods."""
    if state is not ZoneState.PARTIAL:
        return profile.eviction_rate
    return profile.secondary_eviction_rate if nodes > LARGE else 0.0


def all_lost(states: Mapping[str, ZoneState]) -> bool:
    """Every zone is: then it is more likely that we see nothing than that nothing is there."""
    return bool(states) and all(state is ZoneState.FULL for state in states.values())
