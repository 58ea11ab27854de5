"""
Replay: the same targets hit again. A pod that was replaced since is the same target when it is of the same workload on the same node;
everything else is the same by its name.

Called when a plan has been made, beside the guards. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from chaosfw.model.environment import Target
from chaosfw.model.facts import Facts
from chaosfw.model.plan import Plan, Refusal


def deviations(plan: Plan, past: Plan, facts: Facts) -> Iterator[Refusal]:
    """A refusal for everything that would not be hit again, and for a plan that means something else by now."""
    if plan.environment.name != past.environment.name:
        yield _refusal(f"the replayed run was on {past.environment.name}, this is {plan.environment.name}")
    if plan.intent != past.intent:
        yield _refusal(f"the experiment has changed: its intent is {plan.intent}, the replayed one was {past.intent}")
        return
    workloads = {pod.target.uid: pod.workload for pod in facts.pods}
    before = [_same(target, workloads) for bound in past.bound for target in bound.targets]
    now = [_same(target, workloads) for bound in plan.bound for target in bound.targets]
    for one in dict.fromkeys(before):
        if now.count(one) < before.count(one):
            yield _refusal(f"{one} would not be hit again", hint="without --chaos-replay others are chosen")


def _same(target: Target, workloads: Mapping[str, str]) -> str:
    if target.kind != "pod":
        return f"{target.kind} {target.namespace}{'/' if target.namespace else ''}{target.name}"
    workload = workloads.get(target.uid) or f"{target.namespace}/{_stem(target.name)}"
    return f"a pod of {workload.rpartition(' ')[2]} on {target.node or 'no node'}"


def _stem(name: str) -> str:
    """The workload's name in a pod's: without the ReplicaSet's hash and the pod's own letters."""
    return name.rsplit("-", 2)[0]


def _refusal(sentence: str, *, hint: str = "") -> Refusal:
    return Refusal(slug="replay", sentence=sentence, hint=hint)
