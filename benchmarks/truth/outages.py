"""The schedule of outages, from a seed: what breaks, when, for how long. Shared by the server, which carries it out, and the bars."""

from __future__ import annotations

import random
from dataclasses import dataclass

KINDS = ("refuse", "reset", "hang", "error", "slow")
"""The port is closed; the connection is reset; no answer ever; 503; an answer after SLOW seconds."""

SLOW = 0.4
LIMIT = 0.2
"""Seconds: of a slow answer, and above which a request is bad."""

SHORTEST, LONGEST = 0.02, 5.0
"""Seconds of an outage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """``share``: of the requests that meet it, every so many is broken; 1.0 is a full outage. Seconds since the schedule began."""

    kind: str
    begin: float
    end: float
    share: float = 1.0


def schedule(seed: int, *, kinds: tuple[str, ...] = KINDS, amount: int = 10, gap: float = 4.0, partial: bool = False) -> tuple[Window, ...]:
    """Lengths evenly on a logarithmic scale, shortest to longest, in a random order; the first after a calm of ``gap``."""
    rng = random.Random(seed)
    steps = [SHORTEST * (LONGEST / SHORTEST) ** (number / (amount - 1)) for number in range(amount)]
    rng.shuffle(steps)
    found, at = [], 2 * gap
    for number, length in enumerate(steps):
        kind = kinds[number % len(kinds)]
        share = rng.choice((0.5, 0.33)) if partial and kind != "refuse" else 1.0
        found.append(Window(kind=kind, begin=at, end=at + length, share=share))
        at += length + gap * rng.uniform(1.0, 1.3)
    return tuple(found)


def length(windows: tuple[Window, ...], *, gap: float = 4.0) -> float:
    """Seconds of the whole schedule."""
    return windows[-1].end + gap
