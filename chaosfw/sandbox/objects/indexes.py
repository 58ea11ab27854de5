"""
Indexes of an indexed job as its status writes them: ``0-2,5,7,8``. Pure; used by the job controller and by the checks of jobs.
"""

from __future__ import annotations

from collections.abc import Iterable


def parse(text: str, *, below: int) -> frozenset[int]:
    """Those that are less than ``below``. Raises ValueError for what is neither a number nor two with a dash between them."""
    found: set[int] = set()
    for piece in filter(None, text.split(",")):
        first, dash, last = piece.partition("-")
        found.update(range(int(first), min(int(last if dash else first) + 1, below)))
    return frozenset(found)


def show(indexes: Iterable[int]) -> str:
    """In order; three and more in a row as an interval."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(map(str, run)) for run in runs)
