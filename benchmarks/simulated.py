"""
A thousand whole experiments on the fake clock: the real machine, the real fold, the real judge.
``python -m benchmarks.simulated [COUNT]``.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator

from benchmarks.table import Row, show
from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judged
from chaosfw.model.event import Audited, BodyEnded, RunSealed
from chaosfw.testing.simulation import World, plan_of, simulate


def verdict(number: int) -> str:
    """One experiment; every third is out for a while, every tenth for ever."""
    bad = (0.0, 60.0) if number % 10 == 0 else (0.1, 1.0 + number % 3) if number % 3 == 0 else (0.0, 0.0)
    out = simulate(plan_of(), World(bad=bad, abnormal=bad))
    at = out.events[-1].at
    events = [*out.events, BodyEnded(at=at, how="passed"), Audited(at=at, residue=())]
    record = judged(fold([*events, RunSealed(at=at, lines=len(events), sha256="")], out.samples), final=True)
    return str(record.judgement.verdict)


def rows(count: int = 1000) -> Iterator[Row]:
    verdict(1)
    began = time.perf_counter()
    verdicts = Counter(verdict(number) for number in range(count))
    took = time.perf_counter() - began
    words = ", ".join(f"{many} {name}" for name, many in sorted(verdicts.items()))
    yield Row(name=f"{count:,} simulated experiments ({words})", values=[took], goal=6.0 * count / 1000)


if __name__ == "__main__":
    show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
