"""
Which of the endpoints that a plan knows may be inferred to have served: two looks compared, one when planned and one right before
the fault. What follows from that is judged in ``analysis``. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.model.facts import EndpointFacts


def stood(planned: Sequence[EndpointFacts], now: Sequence[EndpointFacts]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Names of those that stood ready all the time (the same pod, ready since the same instant), and of those that came, went or
    were not ready meanwhile.
    """
    same = set(planned) & set(now)
    everyone = {one.target.name for one in (*planned, *now)}
    ready = {one.target.name for one in same}
    return tuple(sorted(ready)), tuple(sorted(everyone - ready))
