"""
Starts the prober in a process of its own. Implements ``ports.LoadDriver``; called by the engine.
"""

from __future__ import annotations

from pathlib import Path

from chaosfw.load.child import ChildRun, start
from chaosfw.load.orders import Orders
from chaosfw.model.load import Endpoint, Load


class ProberDriver:
    """The built-in generator."""

    name = "prober"

    def check(self, load: Load, *, at: Endpoint, seconds: float, claims: bool) -> tuple[tuple[str, str], ...]:
        return ()

    def start(self, load: Load, *, at: Endpoint, out: Path, seconds: float = 0.0) -> ChildRun:
        return start(self.name, Orders(load=load, url=at.url, out=str(out.resolve())))
