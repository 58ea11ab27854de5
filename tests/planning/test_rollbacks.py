"""Rollbacks are undo data like any other: in the ledger before the fault, put back first, played once."""

from __future__ import annotations

from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Target
from chaosfw.model.fault import PLAIN, Bound, RunMark, Undo
from chaosfw.planning.rollbacks import with_rollbacks

BACK = (Action(name="scale up", provider=PythonProvider(module="made.up", func="scale")),)
MARK = RunMark(run="r1", epoch=4, expiry="later")
OWN = Undo(id="own", run="r1", fault="kubernetes.cordon/1", environment="e", subject=Target(kind="node", name="n"))


def bound(name: str, *, rollbacks: tuple[Action, ...] = (), undo: tuple[Undo, ...] = ()) -> Bound:
    action = Action(name=name, provider=PythonProvider(module="made.up", func="act"), rollbacks=rollbacks)
    return Bound(action=action, fault="made.up/1", undo=undo)


def test_they_are_the_newest_record_of_the_last_action() -> None:
    first, last = with_rollbacks([bound("one"), bound("two", undo=(OWN,))], BACK, mark=MARK, environment="e")

    assert first.undo == ()
    assert [undo.id for undo in last.undo] == ["own", "r1.rollbacks"]
    assert (last.undo[-1].fault, last.undo[-1].epoch) == (PLAIN, 4)
    assert last.changes == ("then roll back: scale up",)


def test_an_action_that_carries_them_already_is_enough() -> None:
    made = with_rollbacks([bound("one", rollbacks=BACK)], BACK, mark=MARK, environment="e")

    assert made[0].undo == ()


def test_without_rollbacks_or_without_actions_nothing_is_added() -> None:
    assert with_rollbacks([bound("one")], (), mark=MARK, environment="e")[0].undo == ()
    assert with_rollbacks([], BACK, mark=MARK, environment="e") == ()
