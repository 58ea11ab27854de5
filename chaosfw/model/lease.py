"""Who holds an environment that several hosts share."""

from __future__ import annotations

from chaosfw.model.struct import Noun


class Held(Noun, frozen=True, kw_only=True):
    """A Lease as it was seen. ``holder`` is empty when nobody holds it."""

    holder: str = ""
    epoch: int = 0
    """Grows with each holder."""
    seconds: int = 0
    """How long it counts after its last renewal, by the clock of whoever looks on."""
    version: str = ""
    """Moves with each change of it, renewals included."""
    halt: str = ""
    """Who asked every run of the environment to halt, when and why; empty: nobody did."""
