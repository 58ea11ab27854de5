"""
Chooses victims: the same seed and the same pods give the same choice, whatever order the server listed them in. Pure.

Used by the FaultKinds at preflight; the names that come out are what the provider will be called with.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

from chaosfw.errors import UsageError

T = TypeVar("T")


def how_many(there: int, *, count: int | None, share: float | None, every: bool) -> int:
    """How many of ``there``: all, a count, or a share rounded up (a third of three is one, of four is two). At least one."""
    if every:
        return there
    if share is not None:
        return max(1, math.ceil(there * share - 1e-9))
    return 1 if count is None else count


def chosen(candidates: Sequence[T], wanted: int, *, seed: int, salt: str, what: str) -> tuple[T, ...]:
    """``wanted`` distinct ones. Raises UsageError when there are not that many."""
    if not candidates:
        raise UsageError(f"{what}: nothing matches")
    if wanted > len(candidates):
        raise UsageError(f"{what}: {wanted} wanted, {len(candidates)} there")
    picker = random.Random(f"{seed}/{salt}")
    picked = set(picker.sample(range(len(candidates)), wanted))
    return tuple(one for index, one in enumerate(candidates) if index in picked)
