"""
Controls of the instruments, as an experimenter has them: what load and probes say when nothing is broken, and when everything is.

A probe that is well whatever happens proves nothing by being well.
"""

from __future__ import annotations

from typing import Literal

from chaosfw.model.struct import Noun


class ProbeControl(Noun, frozen=True, kw_only=True):
    """One probe of the hypothesis. ``redirected``: it was pointed at what is broken; what reads something else can not be."""

    name: str
    true: int = 0
    false: int = 0
    none: int = 0
    """Without an answer."""
    redirected: bool = True


class Control(Noun, frozen=True, kw_only=True):
    """``quiet``: nothing is broken. ``loud``: a server that refuses everything stands where the system is."""

    kind: Literal["quiet", "loud"]
    seconds: float
    intended: int = 0
    good: int = 0
    bad: int = 0
    onsets: int = 0
    """Bad requests that belong to an outage (measuring.md, rule 12)."""
    probes: tuple[ProbeControl, ...] = ()
    trouble: str = ""
    """Why it could not be made."""
