"""What a generator is told to do, and what it says when it is ready: the two messages between driver and child."""

from __future__ import annotations

from typing import Literal

import msgspec

from chaosfw.model.load import Generator, Load
from chaosfw.model.struct import Noun


class Orders(Noun, frozen=True, kw_only=True):
    """Send ``load`` at ``url``; write ``samples.bin`` and ``seal.json`` into the folder ``out``. ``seconds``: at least so long."""

    load: Load
    url: str
    out: str
    seconds: float = 0.0
    command: tuple[str, ...] = ()
    """Of an outside program; ``{stream}`` in it stands for the descriptor that it writes to."""
    name: str = ""
    """Of what is made in a cluster."""
    env: dict[str, str] = msgspec.field(default_factory=dict)
    """For the script, where it runs in a cluster."""
    model: Literal["open", "closed"] = "open"


class Ready(Noun, frozen=True, kw_only=True):
    """It sends, or is about to."""

    generator: Generator
