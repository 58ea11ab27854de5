"""
Named sets of settings that real components accept. There is no global speed factor: ``fast`` is a legal real cluster.

Read by the control process (kubelet lease) and handed to the controllers. Never scaled: a user's manifest, probes, grace periods, back-off,
client polls, TCP timeouts, timestamps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaosfw.errors import SandboxError


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    name: str
    lease_renew: float
    """Seconds between two renewals of a node's lease (kubelet: a quarter of nodeLeaseDurationSeconds)."""
    lease_duration: int
    """Seconds, kubelet's nodeLeaseDurationSeconds."""
    monitor_period: float
    """Seconds, controller manager's --node-monitor-period."""
    monitor_grace: float
    """Seconds, --node-monitor-grace-period."""
    eviction_rate: float
    """Nodes a second and zone, --node-eviction-rate."""
    secondary_eviction_rate: float
    toleration_seconds: int
    """API server's --default-not-ready-toleration-seconds and --default-unreachable-toleration-seconds."""


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(
            name="default",
            lease_renew=10.0,
            lease_duration=40,
            monitor_period=5.0,
            monitor_grace=50.0,
            eviction_rate=0.1,
            secondary_eviction_rate=0.01,
            toleration_seconds=300,
        ),
        Profile(
            name="fast",
            lease_renew=1.0,
            lease_duration=4,
            monitor_period=0.5,
            monitor_grace=5.0,
            eviction_rate=0.99,  # not 1: the limiter that stops evictions in Kubernetes calls itself one of 1/s, and would never be lifted
            secondary_eviction_rate=0.1,
            toleration_seconds=30,
        ),
    )
}


def profile(name: str) -> Profile:
    if name not in PROFILES:
        raise SandboxError(f"unknown sandbox profile {name!r}; available: {', '.join(sorted(PROFILES))}")
    return PROFILES[name]
