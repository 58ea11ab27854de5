"""``python -m benchmarks.heal [PART …]``: prints a line a death, then one table; ends with 1 where anything was left."""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.heal import deaths, truncated
from benchmarks.heal.lane import FAULTS, Killed, Lane
from benchmarks.table import machine
from chaosfw.sandbox.spec import CONTROL_PLANES, EMBEDDED

COLUMNS = {"deaths": 8, "not reached": 13, "changed": 9, "by hand": 9, "p50": 9, "p99": 9, "max": 9, "residue": 9, "open": 6}
HEAL_THEMSELVES = ("kill", "restart")
"""Faults after which a lost host has left nothing to put back."""
HEAD = "part".ljust(10) + "".join(word.rjust(wide) for word, wide in COLUMNS.items())


def main() -> int:
    given = _arguments()
    lane = Lane(reapers="hosts" in given.parts, control_plane=given.control_plane)
    parts: dict[str, Callable[[], Iterator[Killed]]] = {
        "points": lambda: _points(lane, given.faults, given.points, given.seed),
        "others": lambda: _each(lane, given.faults, deaths.of_others),
        "disk": lambda: deaths.with_full_disk(lane, "zone", deaths.durable_writes(lane, "zone")),
        "healers": lambda: deaths.of_healers(lane, "drain", deaths.points_of_healers(lane, "drain")),
        "persons": lambda: deaths.of_persons(lane, "drain"),
        "hosts": lambda: deaths.of_hosts(lane, [fault for fault in given.faults if fault not in HEAL_THEMSELVES]),
        "random": lambda: deaths.at_random(lane, given.faults, given.times, seed=given.seed),
    }
    print(f"{machine()}\n{given.control_plane} control plane\n")
    rows: list[str] = []
    bad = 0
    try:
        for name in given.parts or [*(part for part in parts if part != "hosts"), "ledger"]:
            row, wrong = _ledger(lane) if name == "ledger" else _told(name, parts[name]())
            rows.append(row)
            bad += wrong
    finally:
        lane.close()
    print("\n" + HEAD)
    print("\n".join(rows))
    print("changed: something was otherwise at the death; p50, p99, max: seconds from such a death to healed, seen from outside, by itself")
    return 1 if bad else 0


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def _told(name: str, killed: Iterable[Killed]) -> tuple[str, int]:
    all_of_them: list[Killed] = []
    for one in killed:
        all_of_them.append(one)
        how = "by hand" if one.healed is None else f"{one.healed:.3f} s" if one.changed else "nothing was in"
        wrong = f"  RESIDUE {one.residue}, open {one.left_open}" if one.residue or one.left_open else ""
        print(f"{name} {len(all_of_them)}: {one.fault}: {one.where}{'' if one.reached else ' (not reached)'}: {how}{wrong}", flush=True)
    times = [one.healed for one in all_of_them if one.changed and one.healed is not None]
    figures = "".join(f"{quantile(times, share):>9.3f}" for share in (0.5, 0.99, 1.0)) if times else f"{'–':>9}" * 3
    residue = sum(len(one.residue) for one in all_of_them)
    left = sum(one.left_open for one in all_of_them)
    row = f"{name:<10}{len(all_of_them):>8}{sum(not one.reached for one in all_of_them):>13}{sum(one.changed for one in all_of_them):>9}"
    return row + f"{sum(one.by_hand for one in all_of_them):>9}{figures}{residue:>9}{left:>6}", residue + left


def _ledger(lane: Lane) -> tuple[str, int]:
    tried = residue = left = 0
    for _, _, otherwise, still_open in truncated.cuts(lane.cluster):
        tried += 1
        residue += len(otherwise)
        left += still_open
    row = f"{'ledger':<10}{tried:>8}{0:>13}{'':>9}{0:>9}{'–':>9}{'–':>9}{'–':>9}{residue:>9}{left:>6}"
    return row + f"   (cut at each of {truncated.size(lane.cluster)} bytes)", residue + left


def _points(lane: Lane, faults: Sequence[str], most: int, seed: int) -> Iterator[Killed]:
    for fault in faults:
        found = deaths.points_of(lane, fault)
        chosen = sorted(random.Random(seed).sample(range(len(found)), min(most, len(found))) if most else range(len(found)))
        yield from deaths.at_points(lane, fault, [found[number] for number in chosen])


def _each(lane: Lane, faults: Sequence[str], part: Callable[[Lane, str], Iterator[Killed]]) -> Iterator[Killed]:
    for fault in faults:
        yield from part(lane, fault)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heal")
    parser.add_argument(
        "parts", nargs="*", help="points, others, disk, healers, persons, random, ledger; all of them without; and hosts, with reapers"
    )
    parser.add_argument("--times", type=int, default=1000, help="random deaths")
    parser.add_argument("--points", type=int, default=0, help="how many points a fault, drawn at random; 0: all")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), help="only these, in the parts that take each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control-plane", choices=CONTROL_PLANES, default=EMBEDDED)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
