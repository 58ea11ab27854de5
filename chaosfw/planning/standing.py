"""
Guards about how things stand before the run: what is degraded, being rolled out, owned by somebody else, or broken by other chaos;
whether it is the hour for it, and whether these credentials may do it and undo it.

Asked through ``guards.GUARDS``. Pure: the facts were gathered by the driver.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from chaosfw.model.environment import Limits, Target
from chaosfw.model.facts import REAPER, Facts
from chaosfw.model.fault import Undo
from chaosfw.model.plan import Plan, Refusal
from chaosfw.planning import hours
from chaosfw.planning.aimed import by_workload, hit_of, hit_workloads, targets

CLOCK = 2.0
"""Seconds by which the API server's clock may differ: its answers tell the time in whole seconds."""
CHANGED_BY_US = ("deployment", "statefulset", "service")
"""Kinds whose fields faults change."""
CHAOS = (".chaos-mesh.org", ".litmuschaos.io")
"""Groups of the lists that other chaos is in."""


def degraded(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """
    A workload that is hit has lost a part of its pods already: the fault would add to somebody else's. One that has none ready at all
    is not refused here: then the steady state does not hold, and the baseline says so with its evidence.
    """
    yield from _not_known("degraded", _unread_workloads(plan, facts), "whether what is hit there is degraded")
    for workload in hit_workloads(plan, facts):
        if 0 < workload.ready < workload.wanted and not workload.rolling:
            sentence = f"{workload.name} is degraded already: {workload.ready} of {workload.wanted} pods ready"
            yield Refusal(slug="degraded", sentence=sentence, hint="wait for it, or find out why")


def rollout(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """A workload that is hit is being rolled out: what would be seen is not about the fault."""
    yield from _not_known("rollout", _unread_workloads(plan, facts), "whether what is hit there is being rolled out")
    for workload in hit_workloads(plan, facts):
        if workload.rolling and workload.ready:
            kind, _, full = workload.name.partition(" ")
            namespace, _, short = full.partition("/")
            yield Refusal(
                slug="rollout",
                sentence=f"{workload.name} is being rolled out",
                hint=f"kubectl rollout status {kind} {short} -n {namespace}",
            )


def node_not_ready(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """A node that is hit, or that hosts what is hit, is not Ready: it is lost already, or about to be."""
    wanted = {target.name for target in targets(plan, "node")} | {target.node for target in targets(plan, "pod")}
    for node in facts.nodes:
        if node.target.name in wanted and not node.ready:
            yield Refusal(slug="node-not-ready", sentence=f"{node.target} is not Ready", hint=f"kubectl describe node {node.target.name}")


def other_chaos(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Chaos Mesh, Litmus or krkn breaks something at the same time."""
    yield from _not_known("other-chaos", [one for one in facts.unread if one.endswith(CHAOS)], "whether other chaos is running")
    for what in facts.others:
        yield Refusal(slug="other-chaos", sentence=f"other chaos is running: {what}", hint="one experiment at a time")


def outside_hours(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """The whole run must lie within one of the environment's hours."""
    windows = plan.environment.hours
    if windows and not any(hours.read(one).holds(facts.now, facts.now + plan.seconds) for one in windows):
        sentence = f"a run of {plan.seconds:.0f} s would not lie within the hours of {plan.environment.name} ({'; '.join(windows)})"
        yield Refusal(slug="hours", sentence=sentence)


def too_few_left(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """At least so many pods of each workload that is hit must stay ready, as a count or a share."""
    if limits.min_ready is None:
        return
    for workload, pods in by_workload(facts).items():
        hit = hit_of(plan, {pod.target.uid for pod in pods})
        least = limits.min_ready if isinstance(limits.min_ready, int) else math.ceil(limits.min_ready * len(pods) - 1e-9)
        left = sum(pod.ready for pod in pods) - hit
        if hit and left < least:
            yield Refusal(
                slug="limits.min_ready", sentence=f"{max(0, left)} ready pods of {workload} would be left, at least {least} have to"
            )


def not_opted_in(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Where labels opt in, only what carries one is hit: itself, its workload, or its namespace."""
    if not limits.opt_in:
        return
    pods = {pod.target.uid: pod for pod in facts.pods}
    labels = {node.target.uid: node.labels for node in facts.nodes}
    workloads = {workload.name: workload.labels for workload in facts.workloads}
    for target in dict.fromkeys(one for one in targets(plan) if one.kind in ("pod", "node", *CHANGED_BY_US)):
        pod = pods.get(target.uid)
        carried = [
            pod.labels if pod is not None else labels.get(target.uid, {}),
            workloads.get(pod.workload if pod is not None else f"{target.kind} {target.namespace}/{target.name}", {}),
            facts.namespaces.get(target.namespace, {}),
        ]
        if not any(_selects(selector, one) for selector in limits.opt_in for one in carried):
            yield Refusal(
                slug="opt-in", sentence=f"{target} does not carry any of {', '.join(limits.opt_in)}", hint="label it, or leave it alone"
            )


def lacking_rights(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """These credentials must be allowed to break it, and to put it back."""
    for what in facts.lacking:
        yield Refusal(slug="rights", sentence=f"these credentials may not {what}", hint="kubectl auth can-i --list")


def owned_by_others(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """An autoscaler or a GitOps controller would put back what the fault changes, while it is in."""
    scaled = {_words(undo.subject) for undo in _undos(plan) if undo.fault.startswith("kubernetes.scale/")}
    changed = dict.fromkeys(_words(undo.subject) for undo in _undos(plan))
    unread = [one for one in facts.unread if scaled and one.startswith("horizontalpodautoscalers.")]
    yield from _not_known("owners", unread, "whether one of them decides how many replicas there are")
    for workload in facts.workloads:
        if workload.name in scaled and workload.scaled_by:
            yield Refusal(slug="owners", sentence=f"{workload.scaled_by} decides how many replicas {workload.name} has")
    for what in changed:
        if who := facts.delivered.get(what):
            sentence = f"{what} is kept as declared by {who}, which would put it back"
            yield Refusal(slug="owners", sentence=sentence, hint="pause it there for the run")


def clock(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """The API server's clock and ours must agree: marks, leases and the report's times would not mean what they say."""
    if abs(facts.clock_ahead) > CLOCK:
        ahead = "ahead of" if facts.clock_ahead > 0 else "behind"
        sentence = f"the API server's clock is {abs(facts.clock_ahead):.0f} s {ahead} ours"
        yield Refusal(slug="clock", sentence=sentence, hint="timedatectl; is NTP on?")


def ourselves(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """The load, the run and whoever heals must not be within the blast radius. Of several reapers one has to be left."""
    lost, pods = {target.name for target in targets(plan, "node")}, targets(plan, "pod")
    hit = [pod for pod in facts.pods if pod.ours and (pod.target in pods or pod.target.node in lost)]
    spared = any(pod.ours == REAPER and pod.ready and pod not in hit for pod in facts.pods)
    for pod in hit:
        if pod.ours == REAPER and spared:
            continue
        whole = f"{pod.target} is {pod.ours}, and would be hit" + (" with every other one" if pod.ours == REAPER else "")
        yield Refusal(slug="ourselves", sentence=whole, hint="run it elsewhere, or protect its node")


def budget_gone(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """What is left of the error budget must pay for the planned price."""
    left, price = plan.environment.budget_left, plan.price_budget
    if left is not None and price is not None and price > left:
        sentence = f"the planned price is {price * 100:.2g} % of the error budget, {left * 100:.2g} % of it are left"
        yield Refusal(slug="budget-left", sentence=sentence, hint="wait until there is budget again, or plan less with costs_at_most=…")


def _selects(selector: str, labels: dict[str, str]) -> bool:
    key, _, value = selector.partition("=")
    return key in labels and (not value or labels[key] == value)


def _not_known(slug: str, lists: Iterable[str], what: str) -> Iterator[Refusal]:
    """A question that nobody could answer is not answered with no."""
    for one in lists:
        sentence = f"{one} may not be listed with these credentials: {what} is not known"
        yield Refusal(slug=slug, sentence=sentence, hint=f"kubectl auth can-i list {one}")


def _unread_workloads(plan: Plan, facts: Facts) -> list[str]:
    """Lists of workloads that could not be read, of the kinds that are hit."""
    hit = {target.uid for target in targets(plan, "pod")}
    kinds = {pod.workload.partition(" ")[0] for pod in facts.pods if pod.target.uid in hit} | {target.kind for target in targets(plan)}
    return [one for one in facts.unread if one.removesuffix("s.apps") in kinds]


def _undos(plan: Plan) -> list[Undo]:
    return [undo for bound in plan.bound for undo in bound.undo]


def _words(subject: Target) -> str:
    return f"{subject.kind} {subject.namespace}/{subject.name}"
