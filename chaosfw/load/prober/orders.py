"""What the child is told to do, and what it says when it is ready: the two messages between driver and prober."""

from __future__ import annotations

from chaosfw.model.load import Load
from chaosfw.model.struct import Noun


class Orders(Noun, frozen=True, kw_only=True):
    """Send ``load`` at ``url``; write ``samples.bin`` and ``seal.json`` into the folder ``out``."""

    load: Load
    url: str
    out: str


class Ready(Noun, frozen=True, kw_only=True):
    """Request 0 is due at ``on``, ns CLOCK_MONOTONIC."""

    on: int
    pid: int
