"""
Deaths, in the quick mode of ``benchmarks.heal``: whoever dies, whenever, the environment is as before, nothing of the run lives on, and
no record is open. Real runs, real signals, an observer of its own. The full mode kills at every point and a thousand times.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator

import pytest

from benchmarks import audit
from benchmarks.heal import deaths, truncated
from benchmarks.heal.lane import FAULTS, Killed, Lane

RANDOM = 50
SAMPLED = 6
"""Points of one run at which somebody dies here; the benchmark takes all."""
SEED = 20261125


@pytest.fixture(scope="module")
def lane() -> Iterator[Lane]:
    made = Lane()
    yield made
    made.close()


def clean(killed: Iterable[Killed]) -> list[Killed]:
    """All of them, each without anything left."""
    found = list(killed)
    assert [one for one in found if one.residue or one.left_open] == []
    return found


def test_fifty_random_deaths_leave_nothing(lane: Lane) -> None:
    """Healed by the watchdog each time; and enough of them fell while a fault was in, or the test would show nothing."""
    found = clean(deaths.at_random(lane, list(FAULTS), RANDOM, seed=SEED))

    assert [one for one in found if one.by_hand] == []
    assert sum(one.changed for one in found) >= 5


@pytest.mark.parametrize("fault", ["drain", "zone"])
def test_deaths_at_points_leave_nothing(lane: Lane, fault: str) -> None:
    points = deaths.points_of(lane, fault)
    assert {point.split("/")[0] for point, _ in points} == {"runner", "writer of runner", "reader of runner"}

    chosen = random.Random(SEED).sample(points, SAMPLED)

    assert [one for one in clean(deaths.at_points(lane, fault, chosen)) if one.by_hand] == []


def test_deaths_of_others_leave_nothing(lane: Lane) -> None:
    """The watchdog, both, the process group, a paused API server: only where runner and watchdog died did a person have to heal."""
    found = clean(deaths.of_others(lane, "drain"))

    assert [one.where for one in found if one.by_hand] == ["runner and watchdog, in hold"]
    assert all(one.changed for one in found)


def test_deaths_of_the_healer_leave_nothing(lane: Lane) -> None:
    """An executor that dies under the watchdog is replaced by it; after a watchdog that died half-way the next healer goes on."""
    points = deaths.points_of_healers(lane, "drain")
    hands = [one for one in points if one.startswith("healer of watchdog/")]
    found = clean(deaths.of_healers(lane, "drain", [random.Random(SEED).choice(hands), "watchdog/call of healed/1"]))

    assert [one.by_hand for one in found] == [False, True]


def test_a_disk_that_fills_up_leaves_nothing(lane: Lane) -> None:
    """Nothing is injected any more, or what is in is healed first and recorded when that is possible again."""
    points = deaths.durable_writes(lane, "drain")

    clean(deaths.with_full_disk(lane, "drain", random.Random(SEED).sample(points, 3)))


def test_a_ledger_cut_anywhere_heals(lane: Lane) -> None:
    """At each end of a line, one byte before and after, and now and then between; the benchmark cuts at every byte."""
    whole = truncated.size(lane.cluster)
    lengths = sorted({*truncated.seams(lane.cluster), *range(0, whole, 211)})

    left = [one for one in truncated.cuts(lane.cluster, lengths) if one[2] or one[3]]

    assert left == []


@pytest.mark.parametrize(("fault", "other"), [("drain", audit.deploys), ("cordon", audit.scales), ("taint", audit.configures)])
def test_what_others_do_beside_a_run_is_no_residue(lane: Lane, fault: str, other: Callable[[Lane], Callable[[], None]]) -> None:
    residue, foreign = audit.residues(lane, fault, other)

    assert residue == []
    assert (foreign != []) is (other is not audit.deploys)  # an annotation of a template is nothing that a fault of ours could leave
