"""
Which deaths there are: at every point of a run, at random instants, of the watchdog, of both, of the process group, beside an API
server that is paused, with a full disk, of the healers themselves. Each is a generator of ``Killed``.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence

from benchmarks.heal.lane import DEADLINE, Killed, Lane, strike_group, until

PAUSED = 5.0
"""Seconds that the API server gives no answer, from the kill on."""
UNTOLD = ("reader of runner/before GET", "reader of runner/after GET")
"""Looks change nothing and there are hundreds of them: of the reader only its writes are points to die at."""


def points_of(lane: Lane, fault: str) -> list[tuple[str, str]]:
    """Every point of a run and who dies there: the process itself, and the runner where it is another one."""
    found: list[tuple[str, str]] = []
    for point in lane.points(fault):
        if not point.startswith(UNTOLD) and not point.startswith(("watchdog", "healer of watchdog")):
            found += [(point, "self")] if point.startswith("runner/") else [(point, "self"), (point, "runner")]
    return found


def at_points(lane: Lane, fault: str, chosen: Sequence[tuple[str, str]]) -> Iterator[Killed]:
    for point, whom in chosen:
        yield lane.at_point(fault, point, whom)


def at_random(lane: Lane, faults: Sequence[str], times: int, *, seed: int) -> Iterator[Killed]:
    """The runner dies at an instant uniformly drawn from its first phase to its end: whatever comes before has changed nothing yet."""
    chance = random.Random(seed)
    lasts = {fault: _length(lane, fault) for fault in faults}
    for number in range(times):
        fault = faults[number % len(faults)]
        yield lane.after(fault, chance.uniform(0.0, 1.05) * lasts[fault])


def of_others(lane: Lane, fault: str) -> Iterator[Killed]:
    """The watchdog in hold (the run halts and heals), both at once (a person heals), the whole process group, a paused API server."""

    def watchdog(runner: subprocess.Popen[bytes]) -> None:
        for pid in lane.watchdogs():
            os.kill(pid, signal.SIGKILL)

    def both(runner: subprocess.Popen[bytes]) -> None:
        watchdog(runner)
        runner.kill()

    def paused(runner: subprocess.Popen[bytes]) -> None:
        (control,) = (one.pid for one in lane.sandbox.processes() if one.name == "control")
        os.kill(control, signal.SIGSTOP)
        threading.Timer(PAUSED, os.kill, (control, signal.SIGCONT)).start()
        runner.kill()

    yield lane.in_hold(fault, "the watchdog, in hold", watchdog)
    yield lane.in_hold(fault, "runner and watchdog, in hold", both)
    yield lane.in_hold(fault, "the process group, in hold", strike_group)
    yield lane.in_hold(fault, f"the runner, API server paused for {PAUSED:g} s", paused)


def durable_writes(lane: Lane, fault: str) -> list[str]:
    return [point for point in lane.points(fault) if point.startswith("runner/before fsync")]


def with_full_disk(lane: Lane, fault: str, points: Sequence[str]) -> Iterator[Killed]:
    """No write gets to disk any more from a point on: nothing is injected, or it is healed all the same."""
    for point in points:
        yield lane.at_point(fault, point, "full")


def points_of_healers(lane: Lane, fault: str) -> list[str]:
    """Every point of a watchdog that heals, and of its executor, from the death of the runner on."""
    lane.in_hold(fault, "to count", lambda runner: runner.kill(), CHAOSFW_POINTS=str(lane.folder / "points"))
    points = [one for one in (lane.folder / "points").read_text().split("\n") if one.startswith(("watchdog/", "healer of watchdog/"))]
    return points[points.index("watchdog/answer to identity/1") + 1 :]


def of_healers(lane: Lane, fault: str, points: Sequence[str]) -> Iterator[Killed]:
    """The runner dies in hold, and the watchdog that heals after it, or its executor, at a point of its own."""
    log = str(lane.folder / "points")
    for point in points:
        where = f"the runner in hold, then {point}"
        yield lane.in_hold(fault, where, lambda runner: runner.kill(), CHAOSFW_POINTS=log, CHAOSFW_FAILPOINT=f"{point}/self")


def of_persons(lane: Lane, fault: str) -> Iterator[Killed]:
    """Runner and watchdog die in hold, and ``chaosfw heal`` at every point of its own; the next one finishes."""
    log = str(lane.folder / "points")

    def both_then_heal(point: str) -> Killed:
        def strike(runner: subprocess.Popen[bytes]) -> None:
            for pid in lane.watchdogs():
                os.kill(pid, signal.SIGKILL)
            runner.kill()
            runner.wait()
            lane.heal(CHAOSFW_POINTS=log, **({"CHAOSFW_FAILPOINT": f"{point}/self"} if point else {}))

        return lane.in_hold(fault, f"runner and watchdog in hold, then chaosfw heal: {point}", strike)

    both_then_heal("")
    for point in (lane.folder / "points").read_text().split("\n")[:-1]:
        yield both_then_heal(point)


def of_hosts(lane: Lane, faults: Sequence[str]) -> Iterator[Killed]:
    """Runner, watchdog and ledger gone at once, as with their machine: the reaper in the cluster heals when the Lease has expired."""

    def lost(runner: subprocess.Popen[bytes]) -> float:
        until(lambda: runner.poll() is not None or '"phase":"hold"' in lane.journal(), "the run reaches hold")
        for pid in lane.watchdogs():
            os.kill(pid, signal.SIGKILL)
        runner.kill()
        died = time.monotonic()
        runner.wait()
        lane.idle()
        for path in (lane.safety / "ledger.jsonl", *lane.safety.glob("world-*.json")):
            path.unlink(missing_ok=True)
        until(lambda: not lane.differences(), "the reaper has put everything back")
        return died

    for fault in faults:
        yield lane.death(fault, "the host, in hold", lost)


def _length(lane: Lane, fault: str) -> float:
    """Seconds from the first phase of a sound run to the runner's end."""
    runner = lane.start(fault)
    until(lambda: runner.poll() is not None or '"type":"PhaseBegan"' in lane.journal(), "the first phase begins")
    began = time.monotonic()
    runner.wait(DEADLINE)
    took = time.monotonic() - began
    lane.idle()
    return took
