"""A recovery in segments: from the cluster's own sightings, each up to the last pod that was lost."""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.model.environment import Target
from chaosfw.model.event import AnyEvent, ClusterSaw, Sight
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.testing.journals import Script, bound

Told = tuple[float, Sight, str]


def record(told: Sequence[Told], *, victims: Sequence[str] = ("old-1",)) -> Record:
    """A run that hits these pods, and what the cluster told of it, in seconds after the fault's call."""
    hit = but(bound(), targets=tuple(pod(name) for name in victims))
    script = Script(bound=(hit,))

    def edit(events: list[AnyEvent]) -> list[AnyEvent]:
        call = next(event.at for event in events if type(event).__name__ == "CallBegan")
        return [*events, *(saw(call + round(at * 1e9), reason, name) for at, reason, name in told)]

    return script.record(edit=edit)


def pod(name: str) -> Target:
    return Target(kind="pod", name=name, namespace="shop", uid=f"uid-{name}")


def saw(at: int, reason: Sight, name: str) -> ClusterSaw:
    return ClusterSaw(at=at, what=f"pod {name}: {reason}", subject=pod(name), reason=reason, of="deployment shop/web")


def lengths(found: Record) -> dict[str, float | None]:
    return {one.name: None if one.seconds is None else round(one.seconds, 6) for one in found.segments}


ONE: list[Told] = [
    (0.1, Sight.terminating, "old-1"),
    (0.2, Sight.created, "new-1"),
    (0.5, Sight.scheduled, "new-1"),
    (1.5, Sight.started, "new-1"),
    (3.5, Sight.ready, "new-1"),
    (4.0, Sight.gone, "old-1"),
]


def test_each_segment_ends_where_the_next_one_begins() -> None:
    found = record(ONE)

    assert lengths(found) == {"detect": 0.1, "evict": 0.0, "schedule": 0.4, "start": 1.0, "ready": 2.0}
    assert found.segments[-1].until == 3.5


def test_the_last_of_several_pods_counts() -> None:
    two: list[Told] = [(at + 1, reason, name.replace("1", "2")) for at, reason, name in ONE]

    assert lengths(record([*ONE, *two], victims=("old-1", "old-2"))) == {
        "detect": 0.1,
        "evict": 1.0,
        "schedule": 0.4,
        "start": 1.0,
        "ready": 2.0,
    }


def test_what_was_not_seen_is_not_said() -> None:
    assert lengths(record(ONE[:4])) == {"detect": 0.1, "evict": 0.0, "schedule": 0.4, "start": 1.0, "ready": None}


def test_a_replacement_that_was_never_made_leaves_every_later_segment_open() -> None:
    assert lengths(record(ONE[:1])) == {"detect": 0.1, "evict": 0.0, "schedule": None, "start": None, "ready": None}


def test_pods_that_were_there_before_the_fault_replace_nothing() -> None:
    early: list[Told] = [(-2.0, Sight.created, "early"), (-1.0, Sight.ready, "early")]

    assert lengths(record([*early, *ONE[:1]]))["schedule"] is None


def test_without_lost_pods_or_without_sightings_there_are_no_segments() -> None:
    assert record([]).segments == ()
    assert record(ONE, victims=()).segments == ()
