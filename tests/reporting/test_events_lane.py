"""The lane of events and the recovery's segments, as the page gets them."""

from __future__ import annotations

from chaosfw.model.environment import Target
from chaosfw.model.event import AnyEvent, ClusterSaw, Sight
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.reporting import sections, timeline
from chaosfw.testing.journals import Script, bound

STEPS = ((0.02, Sight.terminating, "old"), (0.03, Sight.created, "new"), (0.04, Sight.scheduled, "new"), (2.5, Sight.started, "new"))


def record(*, hit: tuple[Target, ...]) -> Record:
    script = Script(bound=(but(bound(), targets=hit),))

    def edit(events: list[AnyEvent]) -> list[AnyEvent]:
        call = next(event.at for event in events if type(event).__name__ == "CallBegan")
        return [*events, *(saw(call + round(at * 1e9), reason, name) for at, reason, name in STEPS)]

    return script.record(edit=edit)


def saw(at: int, reason: Sight, name: str) -> ClusterSaw:
    return ClusterSaw(at=at, what=f"pod {name}: {reason}", subject=pod(name), reason=reason, of="deployment shop/web")


def pod(name: str) -> Target:
    return Target(kind="pod", name=name, namespace="shop", uid=f"uid-{name}")


def test_events_that_crowd_share_a_label_and_keep_their_own_words() -> None:
    drawn = timeline.timeline(record(hit=(pod("old"),)))

    assert drawn is not None
    assert [(note.number, note.when, note.what) for note in drawn.notes] == [
        ("1", "+0.02 s", "pod old: terminating"),
        ("2", "+0.03 s", "pod new: created"),
        ("3", "+0.04 s", "pod new: scheduled"),
        ("4", "+2.50 s", "pod new: started"),
    ]
    assert {"1–3", "4"} <= {shape.text for shape in drawn.shapes}


def test_segments_stand_beside_the_outages_and_say_what_was_not_seen() -> None:
    found = record(hit=(pod("old"),))
    section = sections._recovery(found)

    assert section is not None
    (table,) = [one for one in section.tables if one.caption.startswith("Recovery of the lost pods")]
    assert [row[0].text for row in table.rows] == ["detect", "evict", "schedule", "start", "ready"]
    assert table.rows[-1][2].text == "not seen"


def test_a_run_that_lost_no_pod_has_no_segments() -> None:
    section = sections._recovery(record(hit=()))

    assert section is None or not [one for one in section.tables if one.caption.startswith("Recovery of the lost pods")]
