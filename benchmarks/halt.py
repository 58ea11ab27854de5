"""
From a halt condition that trips to an environment that is proven healed: a file appears while the fault is in. Twice measured, by the
run's own journal (the trip is this process's clock, the same for all) and by an observer of the API.

``python -m benchmarks.halt [TIMES]``: so many runs of each fault.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.heal.lane import FAULTS, Lane
from benchmarks.table import Row, show

HALTED = ("kill", "drain", "scale", "zone")
"""Faults of a pod, a node, a workload and a zone."""


def halted(lane: Lane, fault: str) -> tuple[float, float]:
    """Seconds from the trip to the run's own proof that all is put back, and to the first look at which it was."""
    trips: list[float] = []

    def trip(runner: subprocess.Popen[bytes]) -> None:
        trips.append(time.monotonic())
        lane.cord.touch()

    seen = lane.in_hold(fault, "a halt condition trips", trip)
    lane.cord.unlink()
    events = [json.loads(line) for line in lane.journal().splitlines()]
    ended = [event["at"] / 1e9 for event in events if event["type"] == "HealEnded" and event["ok"]]
    assert len(ended) == 1, [event["type"] for event in events]
    assert any(event["type"] == "Halted" for event in events)
    assert (seen.residue, seen.left_open, seen.by_hand) == ((), 0, False), seen
    return ended[0] - trips[0], seen.healed or 0.0


def rows(times: int = 25) -> Iterator[Row]:
    lane = Lane({name: FAULTS[name] for name in HALTED}, halts=True)
    try:
        every: list[float] = []
        for fault in HALTED:
            measured = [halted(lane, fault) for _ in range(times)]
            every += [own for own, _ in measured]
            yield Row(name=f"halt: trip to proven healed, {fault}, by the journal", values=[own for own, _ in measured])
            yield Row(name=f"halt: trip to healed, {fault}, seen from outside", values=[outside for _, outside in measured])
        ordered = sorted(every)
        yield Row(name=f"halt: p99 of all {len(every)}, by the journal", values=[ordered[-(-99 * len(ordered) // 100) - 1]], goal=1.0)
    finally:
        lane.close()


if __name__ == "__main__":
    show(rows(int(sys.argv[1]) if len(sys.argv) > 1 else 25))
