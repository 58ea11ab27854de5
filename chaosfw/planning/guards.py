"""
Every reason not to inject, each one function with one sentence. All of them are asked and all refusals are told at once; a
guard that breaks is a refusal too.

Adding a guard: one function here, one entry in ``GUARDS``, one paragraph in ``docs/reference/guards.md``, one test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from chaosfw.model.activity import LoadProvider
from chaosfw.model.arrivals import lowest
from chaosfw.model.environment import Limits, Target
from chaosfw.model.experiment import Experiment
from chaosfw.model.facts import BudgetFacts, Facts, NodeFacts
from chaosfw.model.fault import Bound
from chaosfw.model.plan import Plan, Refusal
from chaosfw.planning import standing
from chaosfw.planning.aimed import at_most, by_workload, hit_of, limit_words, targets
from chaosfw.planning.namespaces import named, words

Guard = Callable[[Plan, Facts, Limits], Iterator[Refusal]]

LEAST_SAMPLES = 20
"""Requests of a phase below which no objective above 90 % could ever be decided."""


def refusals(plan: Plan, facts: Facts, limits: Limits) -> tuple[Refusal, ...]:
    """
    All reasons not to inject; empty means go. The experiment's own limits, and those of variables and flags, are asked beside the
    environment's, because a count and a share can not be merged into one.
    """
    found: list[Refusal] = []
    asked = [one for one in (limits, plan.environment.beside, plan.experiment.limits) if one is not None]
    for slug, guard in GUARDS.items():
        for one in asked:
            try:
                found += guard(plan, facts, one)
            except Exception as trouble:  # a guard that breaks must not open the gate
                found.append(Refusal(slug=slug, sentence=f"the guard itself broke: {type(trouble).__name__}: {trouble}"))
    return tuple(dict.fromkeys(found))


def no_claims(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """An experiment without hypothesis and without objective claims nothing, so it could never be wrong."""
    one = plan.experiment
    if one.steady_state is None and not one.during_fault and one.costs_at_most is None:
        yield Refusal(
            slug="no-claims", sentence="there is neither a hypothesis nor an objective", hint="say what normal is: steady_state=…"
        )


def no_way_back(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Every action needs an undo, or must heal itself."""
    for bound in plan.bound:
        if not bound.undo and not bound.self_heals:
            name = bound.action.name
            yield Refusal(slug="no-way-back", sentence=f"action {name!r} has no undo", hint="name its undo=…, or set self_heals=True")


def two_faults_on_one_field(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Two faults that change one object could not be put back independently."""
    seen: dict[tuple[str, str], str] = {}
    for bound in plan.bound:
        for undo in bound.undo:
            key = (undo.fault, f"{undo.subject.kind} {undo.subject.namespace}/{undo.subject.name}")
            if key in seen and undo.subject.kind != "call":
                yield Refusal(slug="two-faults", sentence=f"{seen[key]!r} and {bound.action.name!r} both change {undo.subject}")
            seen[key] = bound.action.name


def identity(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """The environment must be the declared one: its API server, and the uid of kube-system where one is declared."""
    declared = plan.environment.identity
    if declared.uid and facts.identity.uid != declared.uid:
        yield Refusal(slug="identity", sentence=f"the cluster is {facts.identity.uid}, declared is {declared.uid}", hint="wrong context?")
    if declared.server and urlsplit(facts.identity.server).netloc != urlsplit(declared.server).netloc:
        yield Refusal(
            slug="identity", sentence=f"the API server is {facts.identity.server}, declared is {declared.server}", hint="wrong context?"
        )


def namespaces(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """
    Only declared namespaces are touched; in the sandbox all but the cluster's own. An action that found nothing is asked by the
    name that was written: a wrong name is the likeliest reason.
    """
    there = plan.environment.namespaces
    declared = set(there.values())
    allowed = words(there) or "all but kube-*"
    for target in (one for one in targets(plan) if one.namespace):
        foreign = target.namespace not in declared if declared else target.namespace.startswith("kube-")
        if foreign and not _is_bystander(plan, target):
            yield Refusal(slug="namespaces", sentence=f"{target} is outside the declared namespaces (allowed: {allowed})")
    found = {bound.action.name for bound in plan.bound}
    for action in (one for one in plan.experiment.actions if declared and one.name not in found):
        for name in (one for one in named(action) if one not in declared):
            yield Refusal(
                slug="namespaces", sentence=f"{action.name!r} names namespace {name!r}, which is not declared (allowed: {allowed})"
            )


def protected(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Nothing that carries a protected label is hit."""
    labels = {pod.target.uid: pod.labels for pod in facts.pods} | {node.target.uid: node.labels for node in facts.nodes}
    for target in targets(plan):
        for selector in limits.protect:
            key, _, value = selector.partition("=")
            carried = labels.get(target.uid, {})
            if key in carried and (not value or carried[key] == value):
                yield Refusal(slug="protected", sentence=f"{target} carries the protected label {selector}")


def too_many_pods(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Share or count of a workload's pods that may be hit."""
    if limits.pods is None:
        return
    for workload, pods in by_workload(facts).items():
        count = hit_of(plan, {pod.target.uid for pod in pods})
        allowed = at_most(limits.pods, len(pods))
        if count > allowed and not _loses_nodes(plan):
            sentence = f"{count} of {len(pods)} pods of {workload} would be hit, allowed: {limit_words(limits.pods, allowed)}"
            yield Refusal(slug="limits.pods", sentence=sentence)


def too_many_nodes(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Nodes that may be out at once, those included that are out already. Nodes of zones that are lost whole count as zones."""
    if limits.nodes is None:
        return
    lost = set(_nodes_of_lost_zones(plan, facts))
    hit = {target.name for target in targets(plan, "node")} - lost
    already = {node.target.name for node in facts.nodes if not (node.ready and node.schedulable)} - lost - hit
    if hit and len(hit) + len(already) > (allowed := at_most(limits.nodes, len(facts.nodes))):
        beside = f" beside {', '.join(sorted(already))}, out already" if already else ""
        words = limit_words(limits.nodes, allowed)
        yield Refusal(slug="limits.nodes", sentence=f"{len(hit)} nodes would be hit{beside}, allowed: {words}")


def too_many_zones(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Zones that may be lost whole."""
    if limits.zones is None:
        return
    lost = _lost_zones(plan, facts)
    if lost and len(lost) > (allowed := at_most(limits.zones, len(facts.zones))):
        yield Refusal(slug="limits.zones", sentence=f"zones {', '.join(lost)} would be lost, allowed: {limit_words(limits.zones, allowed)}")
    if lost and len(lost) == len(facts.zones):
        yield Refusal(slug="limits.zones", sentence="every zone would be lost: nothing could survive that, so nothing would be learnt")


def empty_zone(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """A zone without victims: its loss would prove nothing."""
    for bound in plan.bound:
        nodes = [target for target in bound.targets if target.kind == "node"]
        if bound.fault.startswith("zone.") and nodes and not any(target.kind == "pod" for target in bound.targets):
            yield Refusal(
                slug="no-victims", sentence=f"no pod runs in {nodes[0].zone}: its loss would prove nothing", hint="spread the workload"
            )


def budget_headroom(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """
    A PodDisruptionBudget must have room for the whole method, all of which is in at the same time: for every pod that is killed, once,
    and for the first one that is evicted, since an eviction asks again until there is room.
    """
    for budget in facts.budgets:
        kills = {bound.action.name: hit for bound in plan.bound if _kills(bound) and (hit := _covered(bound, budget))}
        some = {bound.action.name: (bound.hits, hit) for bound in plan.bound if bound.hits is not None and (hit := _covered(bound, budget))}
        killed = set[str]().union(*kills.values())
        possible = killed.union(*(hit for _, hit in some.values()))
        gone = min(len(possible), len(killed) + sum(min(hits, len(hit)) for hits, hit in some.values()))
        evictions = {bound.action.name for bound in plan.bound if _evicts(bound) and _covered(bound, budget) - killed}
        needed = gone + (1 if evictions else 0)
        if needed > budget.allowed:
            names = [repr(name) for name in (*kills, *some, *sorted(evictions))]
            who = f"{', '.join(names[:-1])} and {names[-1]} together need" if len(names) > 1 else f"{names[0]} needs"
            whose = f"PodDisruptionBudget {budget.namespace}/{budget.name}"
            sentence = f"{who} {needed} disruptions, {whose} allows {budget.allowed}"
            yield Refusal(slug="pdb-headroom", sentence=sentence, hint="kubectl get pdb; is something degraded already?")


def marked_already(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Something carries the mark of a fault: another run is in, or one was never healed."""
    for what in facts.marks:
        yield Refusal(slug="marked", sentence=f"{what} carries the mark of another fault", hint="chaosfw heal --dry-run")


def timeout_hides_latency(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """A latency limit at or above the request time-out could never be measured."""
    load = plan.experiment.load
    if load is None:
        return
    wanted = [objective.limit for objective in plan.experiment.during_fault if objective.sli == "latency"]
    wanted += [limit.limit for limit in plan.experiment.slo.latency] if plan.experiment.slo is not None else []
    for limit in wanted:
        if limit >= load.timeout:
            sentence = f"a latency limit of {limit * 1000:g} ms can not be measured with a request time-out of {load.timeout:g} s"
            yield Refusal(slug="timeout-hides-latency", sentence=sentence, hint="raise timeout= of the load")


def objectives_without_load(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Objectives and prices are about requests; without load there are none."""
    one = plan.experiment
    if one.load is None and (one.during_fault or one.costs_at_most is not None):
        yield Refusal(slug="no-load", sentence="objectives are claimed, but no load is declared", hint="load=cf.Load(…)")
    if one.costs_at_most is not None and one.slo is None:
        yield Refusal(slug="no-slo", sentence="costs_at_most prices a run in error budget, but no slo is declared", hint="slo=cf.SLO(…)")


def too_few_samples(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Objectives that the planned number of samples can not decide (measuring.md, rule 10)."""
    one = plan.experiment
    if one.load is None or not one.load.open:
        return
    rate = lowest(one.load)
    planned = rate * max(one.lasts, one.recover_within if _heals_itself(plan) else one.lasts)
    for objective in (wanted for wanted in one.during_fault if wanted.target > 0):
        needed = math.ceil(math.log(0.05) / math.log(objective.target)) if objective.target < 1 else math.inf
        if planned < needed:
            seconds = "for ever" if needed == math.inf else f"{needed / rate:.0f} s"
            yield Refusal(
                slug="too-few-samples",
                sentence=f"{objective}: {planned:.0f} requests are planned while the fault is in, {needed:g} are needed to decide it",
                hint=f"rate={needed / max(one.lasts, 0.001):.0f} or lasts={seconds}"
                if needed != math.inf
                else "100 % can only be refuted, never held",
            )
    if rate * one.stable_for < 100:
        needed_rate, lasts = 100 / max(one.stable_for, 0.001), 100 / rate
        sentence = f"stable recovery needs 100 requests in stable_for={one.stable_for:g} s, {rate * one.stable_for:.0f} are planned"
        yield Refusal(slug="too-few-samples", sentence=sentence, hint=f"rate={needed_rate:.0f} or stable_for='{lasts:.0f}s'")


def closed_loop_claims(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """Shares of a closed loop's requests are not those of the demand: claimed of it, they could never be decided (rule 18)."""
    one = plan.experiment
    if one.load is None or one.load.open or one.load.driver == "k6":
        return  # a k6 script may have a schedule of its own: its driver looks
    if claims := shares_claimed(one):
        yield Refusal(
            slug="closed-loop",
            sentence=f"{claims[0]} is claimed of a closed loop, whose users wait for answers: it can not be decided",
            hint="rate=… sends on a schedule; or claim only times (recover_within, mitigate_within)",
        )


def shares_claimed(experiment: Experiment) -> tuple[str, ...]:
    """What is claimed of shares of the load's requests, in words: objectives, a price, and probes of the hypothesis that read the load."""
    probes = experiment.steady_state.probes if experiment.steady_state is not None else ()
    read = [probe.name for probe in probes if isinstance(probe.provider, LoadProvider)]
    price = ["costs_at_most"] if experiment.costs_at_most is not None else []
    return (*(str(wanted) for wanted in experiment.during_fault), *price, *read)


def too_dear(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """The planned price in error budget is above the limit."""
    if limits.budget is not None and plan.price_budget is not None and plan.price_budget > limits.budget:
        sentence = f"the planned price is {plan.price_budget * 100:.2g} % of the error budget, allowed: {limits.budget * 100:.2g} %"
        yield Refusal(slug="limits.budget", sentence=sentence, hint="costs_at_most=… plans a lower one")


def unreliable_way_back(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
    """On a real cluster a watchdog on this host does not survive the host: a healer in the cluster is needed, or a reason to do without."""
    if plan.environment.kind == "sandbox" or plan.environment.accept_manual_heal or facts.reaper:
        return
    if any(bound.undo for bound in plan.bound):
        where = plan.environment.state_namespace
        yield Refusal(
            slug="way-back",
            sentence=f"nothing outside this host would heal if this host were lost: no reaper shows life in {where}",
            hint='deploy/reaper/ is one; or accept_manual_heal = "reason" in the environment accepts that, and the report prints it',
        )


GUARDS: dict[str, Guard] = {
    "no-claims": no_claims,
    "no-way-back": no_way_back,
    "two-faults": two_faults_on_one_field,
    "identity": identity,
    "namespaces": namespaces,
    "protected": protected,
    "limits.pods": too_many_pods,
    "limits.nodes": too_many_nodes,
    "limits.zones": too_many_zones,
    "no-victims": empty_zone,
    "pdb-headroom": budget_headroom,
    "marked": marked_already,
    "timeout-hides-latency": timeout_hides_latency,
    "no-load": objectives_without_load,
    "too-few-samples": too_few_samples,
    "closed-loop": closed_loop_claims,
    "limits.budget": too_dear,
    "way-back": unreliable_way_back,
    "degraded": standing.degraded,
    "rollout": standing.rollout,
    "node-not-ready": standing.node_not_ready,
    "other-chaos": standing.other_chaos,
    "hours": standing.outside_hours,
    "limits.min_ready": standing.too_few_left,
    "opt-in": standing.not_opted_in,
    "rights": standing.lacking_rights,
    "owners": standing.owned_by_others,
    "clock": standing.clock,
    "ourselves": standing.ourselves,
    "budget-left": standing.budget_gone,
}
NEVER_SUPPRESSED = ("no-claims", "no-way-back", "two-faults", "identity", "namespaces", "marked", "no-load", "no-slo")
"""Guards without which a verdict could be wrong, or nobody could put things back."""


def suppressed(found: Sequence[Refusal], plan: Plan) -> tuple[tuple[Refusal, ...], tuple[str, ...]]:
    """
    What still refuses, and which guards did not because the environment's settings say so, with the reason and with what they said: a
    reason that was written for one thing silences the next one too, and that must be seen.
    """
    reasons = plan.environment.suppress
    silenced: dict[str, list[str]] = {}
    for one in found:
        if one.slug in reasons and one.slug not in NEVER_SUPPRESSED:
            silenced.setdefault(one.slug, []).append(one.sentence)
    left = tuple(one for one in found if one.slug not in silenced)
    return left, tuple(f"{slug}: {reasons[slug]} ({_first(said)})" for slug, said in sorted(silenced.items()))


def _first(said: list[str]) -> str:
    return said[0] + (f", and {len(said) - 1} more" if len(said) > 1 else "")


_KILLERS = ("kubernetes.kill", "kubernetes.delete-node", "kubernetes.pause", "kubernetes.taint", "kubernetes.machine")


def _kills(bound: Bound) -> bool:
    """Whether its pods serve no more without the eviction API having been asked."""
    return bound.fault.partition("/")[0] in _KILLERS


def _covered(bound: Bound, budget: BudgetFacts) -> set[str]:
    """The uids of the pods under this budget that an action hits."""
    return {target.uid for target in bound.targets if target.kind == "pod" and target.uid in budget.covers}


def _evicts(bound: Bound) -> bool:
    """Evictions wait for each other; what is killed, or said to be hit, is gone at once."""
    return not _kills(bound) and bound.hits is None


def _loses_nodes(plan: Plan) -> bool:
    """Whether pods are hit only because their node is: then nodes and zones are what is limited."""
    return all(any(target.kind == "node" for target in bound.targets) for bound in plan.bound)


def _is_bystander(plan: Plan, target: Target) -> bool:
    """A pod that is only hit because its node is drained: the node is what was aimed at."""
    return any(target in bound.targets and any(one.kind == "node" for one in bound.targets) for bound in plan.bound)


def _lost_zones(plan: Plan, facts: Facts) -> list[str]:
    hit = {target.name for target in targets(plan, "node")}
    zones: dict[str, list[NodeFacts]] = {}
    for node in facts.nodes:
        zones.setdefault(node.target.zone, []).append(node)
    return sorted(
        zone for zone, nodes in zones.items() if zone and all(node.target.name in hit for node in nodes) and _aims_at_zone(plan, zone)
    )


def _aims_at_zone(plan: Plan, zone: str) -> bool:
    return any(bound.fault.startswith("zone.") and any(target.zone == zone for target in bound.targets) for bound in plan.bound)


def _nodes_of_lost_zones(plan: Plan, facts: Facts) -> list[str]:
    lost = _lost_zones(plan, facts)
    return [node.target.name for node in facts.nodes if node.target.zone in lost]


def _heals_itself(plan: Plan) -> bool:
    return bool(plan.bound) and all(bound.self_heals and not bound.undo for bound in plan.bound)
