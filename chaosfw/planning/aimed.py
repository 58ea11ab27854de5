"""What a plan aims at, counted: targets by kind and pods by workload. Pure; asked by the guards."""

from __future__ import annotations

import math
from collections.abc import Iterator

from chaosfw.model.environment import Target
from chaosfw.model.facts import Facts, PodFacts, WorkloadFacts
from chaosfw.model.plan import Plan


def targets(plan: Plan, kind: str = "") -> list[Target]:
    return [target for bound in plan.bound for target in bound.targets if not kind or target.kind == kind]


def by_workload(facts: Facts) -> dict[str, list[PodFacts]]:
    grouped: dict[str, list[PodFacts]] = {}
    for pod in facts.pods:
        if pod.workload:
            grouped.setdefault(pod.workload, []).append(pod)
    return grouped


def hit_of(plan: Plan, pods: set[str]) -> int:
    """How many of these pods would be hit at most: a fault that hits some of its targets may hit others than the next one does."""
    every: set[str] = set()
    some = 0
    for bound in plan.bound:
        named = {target.uid for target in bound.targets if target.kind == "pod"} & pods
        if bound.hits is None or bound.hits >= len(bound.targets):
            every |= named
        else:
            some += min(bound.hits, len(named))
    return min(len(pods), len(every) + some)


def hit_workloads(plan: Plan, facts: Facts) -> Iterator[WorkloadFacts]:
    """Workloads of which a pod is hit, or which are changed themselves."""
    pods = {pod.target.uid: pod.workload for pod in facts.pods}
    hit = {pods.get(target.uid, "") for target in targets(plan, "pod")}
    hit |= {f"{target.kind} {target.namespace}/{target.name}" for target in targets(plan)}
    return (workload for workload in facts.workloads if workload.name in hit)


def at_most(limit: float | int, there: int) -> int:
    """A count as it is; a share rounded down, but never below one where the share is above nothing."""
    if isinstance(limit, int):
        return limit
    return max(1 if limit > 0 else 0, math.floor(limit * there + 1e-9))


def limit_words(limit: float | int, count: int) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit * 100:g} % = {count}"
