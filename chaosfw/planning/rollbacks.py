"""
The rollbacks of an experiment as an undo record of their own: played once, before anything else is put back, by whoever heals.

Called when a plan is made. Actions that nobody adorned carry a file's rollbacks already, as their way back; then there is nothing to
add. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.model.activity import Action
from chaosfw.model.environment import Target
from chaosfw.model.fault import PLAIN, Bound, RunMark, Undo
from chaosfw.model.struct import but, to_json


def with_rollbacks(bound: Sequence[Bound], rollbacks: tuple[Action, ...], *, mark: RunMark, environment: str) -> tuple[Bound, ...]:
    """The same, with one more record on the last action: the newest, so that it is put back first, as stock Chaos Toolkit does."""
    if not bound or not rollbacks or any(one.action.rollbacks == rollbacks for one in bound):
        return tuple(bound)
    undo = Undo(
        id=f"{mark.run}.rollbacks",
        run=mark.run,
        epoch=mark.epoch,
        fault=PLAIN,
        environment=environment,
        subject=Target(kind="call", name="rollbacks"),
        before=[to_json(one) for one in rollbacks],
    )
    *others, last = bound
    words = "then roll back: " + ", ".join(one.name for one in rollbacks)
    return (*others, but(last, undo=(*last.undo, undo), changes=(*last.changes, words)))
