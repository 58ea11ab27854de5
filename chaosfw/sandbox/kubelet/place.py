"""
The pod around a container, as far as starting and probing it needs to know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kubelet.site import NodeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    pod: Object
    node: NodeName
    ip: str
    """The recorded address."""
    back: str
    """The address its processes bind."""
    host_ip: str
    logs: Path
    mounts: Callable[[Object], dict[str, str]]
