"""
An experiment with every activity changed in the same way, wherever it stands: hypothesis, method, rollbacks, and the rollbacks and
proofs of actions. Pure; used when an experiment is located for an environment.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from chaosfw.model.activity import Action, Hypothesis, Probe
from chaosfw.model.experiment import Experiment
from chaosfw.model.struct import but

Activity = TypeVar("Activity", Action, Probe)


class Change(Protocol):
    """What is done to each activity; it leaves rollbacks and proof alone, which are visited by themselves."""

    def __call__(self, activity: Activity, /) -> Activity: ...


def everywhere(experiment: Experiment, change: Change) -> Experiment:
    """The experiment with ``change`` applied to every probe and every action once."""
    return but(
        experiment,
        steady_state=_hypothesis(experiment.steady_state, change),
        method=tuple(_action(step, change) if isinstance(step, Action) else change(step) for step in experiment.method),
        rollbacks=tuple(_action(one, change) for one in experiment.rollbacks),
        halt=tuple(change(one) for one in experiment.halt),
    )


def _action(one: Action, change: Change) -> Action:
    rollbacks = tuple(_action(back, change) for back in one.rollbacks)
    return but(change(one), rollbacks=rollbacks, proof=change(one.proof) if one.proof is not None else None)


def _hypothesis(one: Hypothesis | None, change: Change) -> Hypothesis | None:
    return but(one, probes=tuple(change(probe) for probe in one.probes)) if one is not None else None
