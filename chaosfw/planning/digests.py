"""Digests of what was written (intent) and of what was found as well (plan): equal ones mean the same is done to the same."""

from __future__ import annotations

import hashlib
import json

from chaosfw.model.experiment import Experiment, Origin
from chaosfw.model.plan import Plan
from chaosfw.model.struct import but, to_json


def intent(experiment: Experiment, environment: str) -> str:
    """Twelve hexadecimal digits over the experiment without its place in a file, and the environment's name."""
    return _digest([to_json(but(experiment, origin=Origin())), environment])


def plan_digest(plan: Plan) -> str:
    """Over the intent and every bound action with its targets, without ids of the run: a plan can be approved before it runs."""
    bound = [
        [one.fault, one.action.name, one.action.provider.name, [to_json(target) for target in one.targets], list(one.changes)]
        for one in plan.bound
    ]
    return _digest([plan.intent, bound])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]
