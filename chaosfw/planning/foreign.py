"""
Foreign hands: whether something that the environment was seen to do is somebody else's work, in the middle of our run. Evidence
after it is not about our fault any more (docs/protocols/verdict.md, roads to a false red).

Pure; asked by the engine's machine for every sighting. Restarts, rescheduling and autoscaling are how a system answers a
fault, and foreign to nobody.
"""

from __future__ import annotations

from chaosfw.model.environment import Target
from chaosfw.model.event import ClusterSaw, Sight
from chaosfw.model.fault import PLAIN, Bound
from chaosfw.model.plan import Plan


def why_foreign(saw: ClusterSaw, plan: Plan, *, called: bool) -> str:
    """
    In words why this is not our doing and disturbs the run, or nothing. ``called``: a fault's call has begun. From the call of an
    action that nobody adorned on, and where rollbacks are played, whatever changes may be their work.
    """
    subject = saw.subject
    if subject is None or (called and any(fault == PLAIN for bound in plan.bound for fault in (bound.fault, *_undone_by(bound)))):
        return ""
    if saw.reason in (Sight.deployed, Sight.scaled) and concerns(plan, subject) and not _is_hit(plan, subject):
        return f"{saw.what}, and not by this run"
    if saw.reason in (Sight.cordoned, Sight.uncordoned) and subject.name not in _nodes(plan) and _hosts(plan, subject):
        return f"{saw.what}, and not by this run"
    return ""


def concerns(plan: Plan, subject: Target) -> bool:
    """Whether something namespaced is in a namespace of what is hit or serves; without any, in one that may be touched."""
    ours = {target.namespace for target in (*_targets(plan), *plan.exposed) if target.kind == "pod"}
    ours = ours or set(plan.environment.namespaces.values())
    return subject.namespace in ours if ours else not subject.namespace.startswith("kube-")


def _is_hit(plan: Plan, subject: Target) -> bool:
    """Whether a fault of the plan changes this very object: what it is seen to do then is our doing."""
    return any((one.kind, one.namespace, one.name) == (subject.kind, subject.namespace, subject.name) for one in _targets(plan))


def _hosts(plan: Plan, node: Target) -> bool:
    """Whether a pod that is hit or serves runs on this node; a plan without any is about all nodes."""
    pods = [target for target in (*_targets(plan), *plan.exposed) if target.kind == "pod"]
    return not pods or any(target.node == node.name for target in pods)


def _undone_by(bound: Bound) -> tuple[str, ...]:
    return tuple(undo.fault for undo in bound.undo)


def _nodes(plan: Plan) -> set[str]:
    return {target.name for target in _targets(plan) if target.kind == "node"}


def _targets(plan: Plan) -> list[Target]:
    return [target for bound in plan.bound for target in bound.targets]
