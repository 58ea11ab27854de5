"""Game days that never took place: records from ``chaosfw.testing``, one per verdict."""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.analysis.judge import judged
from chaosfw.analysis.summary import run_line
from chaosfw.model.event import Audited, BodyEnded, HealEnded, UndoMoved
from chaosfw.model.fault import UndoRecord, UndoState
from chaosfw.model.load import Outcome
from chaosfw.model.plan import Refusal
from chaosfw.model.record import GameDay, Mark, Record
from chaosfw.model.struct import but
from chaosfw.testing.journals import Script, Weather, bound, changed


def held() -> Record:
    return but(Script().record(), run="r-held")


def deviated() -> Record:
    """Four seconds of refused connections, 2 s after the fault: more than was accepted."""
    script = Script(weather=(Weather(begin=2, end=6),), out_of_tolerance=((2.5, 6.5),))
    record = script.record()
    marks = (Mark(at=script.at(0.3), what="pod shop/web-1 deleted", kind="cluster"),)
    return but(
        record, run="r-deviated", title="The shop survives losing a zone", marks=tuple(sorted(record.marks + marks, key=lambda one: one.at))
    )


def inconclusive() -> Record:
    """The fault faded in mid-hold, and some requests were never sent."""
    script = Script(gone=((6, 7),), weather=(Weather(begin=3, end=3.5, outcome=Outcome.dropped),), silent=((3, 4),))
    return but(script.record(), run="r-inconclusive", title="The shop survives a drained node")


def never_injected() -> Record:
    """The baseline did not hold: the run ends before the fault is called."""
    script = Script(out_of_tolerance=((-3, -2),))
    late = script.at(-0.5)
    return but(
        script.record(edit=lambda events: [event for event in events if event.at < late or isinstance(event, BodyEnded | Audited)]),
        run="r-early",
    )


def residue() -> Record:
    """One undo record is stuck."""
    undo = bound().undo[0]
    stuck = UndoRecord(undo=undo, state=UndoState.stuck, by="runner", reason="the server does not answer")
    script = Script(residue=("pod shop/web-1 is gone",))
    record = script.record(edit=lambda events: changed(changed(events, UndoMoved, record=stuck), HealEnded, ok=False, open=1))
    return but(record, run="r-residue", title="The shop survives the switch")


def refused() -> Record:
    plan = Script().plan()
    refusals = (
        Refusal(slug="no-targets", sentence="no pod matches app=webb in shop", hint="labels there: app=web"),
        Refusal(slug="limits.pods", sentence="3 of 3 pods are more than 34 %"),
    )
    return judged(
        Record(run="r-refused", title="The shop survives a typing error", slug="refused", plan=but(plan, bound=()), refusals=refusals),
        final=True,
    )


def blocked() -> Record:
    reason = Refusal(slug="blocked", sentence="blocked by test_switch: something was left behind")
    return Record(
        run="r-blocked", title="Never begun", slug="blocked", plan=None, refusals=(reason,), blocked_by="test_switch: left behind"
    )


def all_kinds() -> tuple[Record, ...]:
    return (held(), refused(), deviated(), inconclusive(), residue(), blocked())


def day(records: Sequence[Record], **changes: object) -> GameDay:
    """The game day of these records."""
    runs = tuple(
        run_line(record, f"runs/{number:02}-{record.run}", f"tests/test_shop.py::test_{record.run[2:]}")
        for number, record in enumerate(records, 1)
    )
    made = GameDay(
        name="19700101T000000Z-test",
        started=0,
        ended=90_000_000_000,
        environment="sandbox",
        environment_kind="sandbox",
        profile="fast",
        command="pytest experiments/ -k shop --chaos-seed 7",
        seed=7,
        versions={"python": "3.11.0", "chaosfw": "0.1.0"},
        settings={"environment": "sandbox", "defaults": {"baseline": 5.0}, "origins": {"environment": "pyproject.toml [tool.chaosfw]"}},
        runs=runs,
        exit_code=12,
    )
    return but(made, **changes)
