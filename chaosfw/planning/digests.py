"""Digests of what was written (intent) and of what was found as well (plan): equal ones mean the same is done to the same."""

from __future__ import annotations

import hashlib
import json

from chaosfw.model.experiment import Experiment, Origin
from chaosfw.model.plan import Plan
from chaosfw.model.struct import Json, but, to_json


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
    return hashlib.sha256(json.dumps(_canonical(value), sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:12]


def _canonical(value: Json) -> Json:
    """Equal values, written equally: 2 and 2.0 are one number, whichever of them was read back from a file."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _canonical(one) for key, one in value.items()}
    return [_canonical(one) for one in value] if isinstance(value, list | tuple) else value
