"""Every guard refuses what it is there for and lets everything else pass; a guard that breaks refuses too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from chaosfw.faults import kubernetes
from chaosfw.model.activity import Action, Hypothesis, LoadProvider, Probe, PythonProvider
from chaosfw.model.environment import Environment, Identity, Limits, Target
from chaosfw.model.experiment import Experiment
from chaosfw.model.facts import REAPER, BudgetFacts, Facts, NodeFacts, PodFacts, WorkloadFacts
from chaosfw.model.fault import Bound, Undo
from chaosfw.model.load import Load, Script
from chaosfw.model.plan import Plan, Refusal
from chaosfw.model.slo import SLO, LatencyLimit, Objective
from chaosfw.model.struct import but
from chaosfw.model.tolerance import Exactly
from chaosfw.planning import guards

ZONES = ("a", "b", "c")
NODES = tuple(Target(kind="node", name=f"node-{zone}", uid=f"n-{zone}", zone=zone, node=f"node-{zone}") for zone in ZONES)
PODS = tuple(Target(kind="pod", name=f"web-{zone}", namespace="shop", uid=f"p-{zone}", zone=zone, node=f"node-{zone}") for zone in ZONES)
CALL = PythonProvider(module="made.up", func="act")
WATCHING = Hypothesis(
    title="up", probes=(Probe(name="availability", provider=LoadProvider(sli="availability"), tolerance=Exactly(value=True)),)
)
HYPOTHESIS = Hypothesis(title="up", probes=(Probe(name="up", provider=CALL, tolerance=Exactly(value=True)),))

PLAIN = Experiment(title="t", steady_state=HYPOTHESIS)
SANDBOX = Environment(name="e", kind="sandbox")
USUAL = Limits()


def undo(target: Target, *, name: str = "u", fault: str = "kubernetes.cordon/1") -> Undo:
    return Undo(id=name, run="r", fault=fault, environment="e", subject=target)


def bound(*targets: Target, name: str = "break", fault: str = "kubernetes.drain/1", heals: bool = False) -> Bound:
    action = Action(name=name, provider=CALL, self_heals=heals)
    undos = () if heals else tuple(undo(target, name=target.name) for target in targets if target.kind == "node")
    return Bound(action=action, fault=fault, targets=targets, undo=undos, self_heals=heals)


def stated(*pods: Target, hits: int, name: str = "scale") -> Bound:
    """A fault whose author says which pods it hits so many of."""
    return but(bound(*pods, name=name, fault="toolkit.plain/1", heals=True), hits=hits)


def kill(*pods: Target, name: str = "kill") -> Bound:
    return bound(*pods, name=name, fault="kubernetes.kill/1", heals=True)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a guard is asked. The default is a good plan: one pod of three killed, everything else as it should be."""

    experiment: Experiment = PLAIN
    environment: Environment = SANDBOX
    bound: tuple[Bound, ...] = (kill(PODS[0]),)
    facts: Facts = field(
        default_factory=lambda: Facts(
            identity=Identity(server="https://api:6443", uid="uid-1"),
            nodes=tuple(NodeFacts(target=node, ready=True) for node in NODES),
            pods=tuple(PodFacts(target=pod, workload="deployment shop/web", labels={"app": "web"}, ready=True) for pod in PODS),
            budgets=(BudgetFacts(namespace="shop", name="web", allowed=1, covers=tuple(pod.uid for pod in PODS)),),
        )
    )
    limits: Limits = USUAL
    price: float | None = None

    def plan(self) -> Plan:
        return Plan(experiment=self.experiment, environment=self.environment, seed=1, bound=self.bound, price_budget=self.price)

    def refused(self) -> tuple[Refusal, ...]:
        return guards.refusals(self.plan(), self.facts, self.limits)

    def changed(self, **facts: object) -> Facts:
        return but(self.facts, **facts)


GOOD = Case()
LOADED = Experiment(title="t", steady_state=HYPOTHESIS, load=Load(endpoint="web", rate=100.0), lasts=10.0, recover_within=10.0)
CLOSED = but(
    LOADED,
    load=Load(endpoint="web", rate=0.0, driver="locust", script=Script(file="locustfile.py", users=8)),
    during_fault=(Objective(sli="availability", target=0.9),),
)
WEB_A, NODE_A, NODE_B = PODS[0], NODES[0], NODES[1]
CORDONED = tuple(but(node, schedulable=node.target != NODE_B) for node in GOOD.facts.nodes)
GONE = tuple(but(node, ready=node.target != NODE_B) for node in GOOD.facts.nodes)
MARKED_A = tuple(but(pod, labels={"chaos": "never"}) if pod.target == WEB_A else pod for pod in GOOD.facts.pods)


def real(**changes: object) -> Environment:
    return but(Environment(name="e", kind="kubernetes", namespaces={"shop": "shop"}, accept_manual_heal="a test"), **changes)


LOST = but(PLAIN, method=(kubernetes.kill(selector="a=b", namespace="nowhere"),))
SLOW = Objective(sli="latency", target=0.95, limit=5.0)
DEAR = but(LOADED, costs_at_most=0.01)
CHEAP = but(DEAR, slo=SLO(name="s", availability=0.999))
EVERY_NODE = tuple(bound(node, WEB_A, name=f"lose {node.zone}", fault="zone.drain/1") for node in NODES)

WEB = WorkloadFacts(name="deployment shop/web", wanted=3, ready=3)
DEPLOYMENT = Target(kind="deployment", name="web", namespace="shop", uid="d-web")
SCALED = but(bound(DEPLOYMENT, name="scale", fault="kubernetes.scale/1"), undo=(undo(DEPLOYMENT, fault="kubernetes.scale/1"),))
HPA = "HorizontalPodAutoscaler shop/web"
OPT_IN = Limits(opt_in=("chaos=yes",))
OURS = tuple(but(pod, ours="of chaosfw") if pod.target == WEB_A else pod for pod in GOOD.facts.pods)
REAPERS = tuple(
    PodFacts(
        target=Target(kind="pod", name=f"reaper-{node.zone}", namespace="chaosfw", uid=f"r-{node.zone}", node=node.name),
        ours=REAPER,
        ready=True,
    )
    for node in NODES[:2]
)
WATCHED = GOOD.changed(pods=(*GOOD.facts.pods, *REAPERS))
LAME = GOOD.changed(pods=(*GOOD.facts.pods, REAPERS[0], but(REAPERS[1], ready=False)))
AT_WORK = but(SANDBOX, hours=("mon-fri 09:00-17:00 Europe/Berlin",))
SUNDAY = datetime(2026, 11, 22, 9, 0, tzinfo=UTC).timestamp()

NO_SCALERS = GOOD.changed(unread=("horizontalpodautoscalers.autoscaling",))
REFUSED: list[tuple[str, str, Case]] = [
    ("no-claims", "neither a hypothesis nor an objective", Case(experiment=Experiment(title="t"))),
    ("no-way-back", "'break' has no undo", Case(bound=(but(bound(NODE_A), undo=()),))),
    ("two-faults", "'one' and 'two' both change node node-a in a", Case(bound=(bound(NODE_A, name="one"), bound(NODE_A, name="two")))),
    ("identity", "declared is other", Case(environment=real(identity=Identity(uid="other")))),
    ("identity", "the API server is https://api:6443", Case(environment=real(identity=Identity(server="https://elsewhere:6443")))),
    ("namespaces", "allowed: bank", Case(environment=real(namespaces={"bank": "bank"}))),
    ("namespaces", "allowed: shop (here shop-stg)", Case(environment=real(namespaces={"shop": "shop-stg"}))),
    (
        "namespaces",
        "'kill 1 of a=b' names namespace 'nowhere', which is not declared (allowed: shop)",
        Case(environment=real(), experiment=LOST, bound=()),
    ),
    ("namespaces", "allowed: all but kube-", Case(bound=(kill(but(WEB_A, namespace="kube-system")),))),
    ("protected", "carries the protected label chaos=never", Case(facts=GOOD.changed(pods=MARKED_A))),
    ("protected", "protected label app", Case(limits=Limits(protect=("app",)))),
    ("limits.pods", "2 of 3 pods of deployment shop/web would be hit, allowed: 34 % = 1", Case(bound=(kill(*PODS[:2]),))),
    ("limits.pods", "allowed: 0", Case(limits=Limits(pods=0))),
    ("limits.pods", "2 of 3 pods of deployment shop/web would be hit", Case(bound=(stated(*PODS, hits=2),))),
    ("limits.pods", "3 of 3 pods of deployment shop/web would be hit", Case(bound=(stated(*PODS, hits=3),))),
    ("limits.pods", "2 of 3 pods of deployment shop/web would be hit", Case(bound=(stated(*PODS, hits=1), kill(PODS[0])))),
    ("protected", "carries the protected label chaos=never", Case(facts=GOOD.changed(pods=MARKED_A), bound=(stated(*PODS, hits=1),))),
    ("pdb-headroom", "'scale' needs 2 disruptions", Case(bound=(stated(*PODS, hits=2),), limits=Limits(pods=None))),
    ("limits.nodes", "2 nodes would be hit, allowed: 1", Case(bound=(bound(NODE_A, NODE_B),))),
    ("limits.nodes", "1 nodes would be hit beside node-b, out already", Case(bound=(bound(NODE_A),), facts=GOOD.changed(nodes=CORDONED))),
    ("limits.nodes", "beside node-b", Case(bound=(bound(NODE_A),), facts=GOOD.changed(nodes=GONE))),
    ("limits.zones", "zones a, b would be lost, allowed: 1", Case(bound=EVERY_NODE[:2])),
    ("limits.zones", "every zone would be lost", Case(bound=EVERY_NODE, limits=Limits(zones=3))),
    ("no-victims", "no pod runs in a", Case(bound=(bound(NODE_A, fault="zone.drain/1"),))),
    (
        "pdb-headroom",
        "'kill' needs 1 disruptions, PodDisruptionBudget shop/web allows 0",
        Case(facts=GOOD.changed(budgets=(but(GOOD.facts.budgets[0], allowed=0),))),
    ),
    (
        "pdb-headroom",
        "'one' and 'two' together need 2 disruptions, PodDisruptionBudget shop/web allows 1",
        Case(bound=(kill(PODS[0], name="one"), kill(PODS[1], name="two"))),
    ),
    (
        "pdb-headroom",
        "'kill' and 'break' together need 2 disruptions, PodDisruptionBudget shop/web allows 1",
        Case(bound=(bound(NODE_A, PODS[0]), kill(PODS[1]))),
    ),
    ("marked", "node node-c carries the mark", Case(facts=GOOD.changed(marks=("node node-c",)))),
    ("timeout-hides-latency", "5000 ms", Case(experiment=but(LOADED, during_fault=(SLOW,)))),
    (
        "timeout-hides-latency",
        "6000 ms",
        Case(experiment=but(LOADED, slo=SLO(name="s", availability=0.9, latency=(LatencyLimit(quantile=0.9, limit=6.0),)))),
    ),
    ("no-load", "no load is declared", Case(experiment=but(GOOD.experiment, during_fault=(Objective(sli="availability", target=0.9),)))),
    ("no-slo", "no slo is declared", Case(experiment=DEAR)),
    ("too-few-samples", "2995 are needed", Case(experiment=but(LOADED, during_fault=(Objective(sli="availability", target=0.999),)))),
    ("too-few-samples", "inf are needed", Case(experiment=but(LOADED, during_fault=(Objective(sli="availability", target=1.0),)))),
    ("too-few-samples", "stable recovery needs 100 requests", Case(experiment=but(LOADED, load=Load(endpoint="web", rate=1.0)))),
    ("closed-loop", "availability ≥ 90 % is claimed of a closed loop", Case(experiment=CLOSED)),
    ("closed-loop", "availability is claimed", Case(experiment=but(CLOSED, during_fault=(), steady_state=WATCHING))),
    ("closed-loop", "costs_at_most is claimed of a closed loop", Case(experiment=but(CLOSED, during_fault=(), costs_at_most=0.1))),
    ("limits.budget", "the planned price is 9 % of the error budget, allowed: 5 %", Case(price=0.09)),
    ("way-back", "nothing outside this host would heal", Case(environment=real(accept_manual_heal=""), bound=(bound(NODE_A),))),
    ("way-back", "no reaper shows life in default", Case(environment=real(accept_manual_heal=""), bound=(bound(NODE_A),))),
    ("degraded", "deployment shop/web is degraded already: 2 of 3 pods ready", Case(facts=GOOD.changed(workloads=(but(WEB, ready=2),)))),
    ("rollout", "deployment shop/web is being rolled out", Case(facts=GOOD.changed(workloads=(but(WEB, rolling=True),)))),
    ("rollout", "is being rolled out", Case(bound=(SCALED,), facts=GOOD.changed(pods=(), workloads=(but(WEB, rolling=True),)))),
    ("node-not-ready", "node node-b in b is not Ready", Case(bound=(bound(NODE_B),), facts=GOOD.changed(nodes=GONE))),
    ("node-not-ready", "node node-b in b is not Ready", Case(bound=(kill(PODS[1]),), facts=GOOD.changed(nodes=GONE))),
    ("other-chaos", "other chaos is running: Litmus", Case(facts=GOOD.changed(others=("Litmus ChaosEngine shop/pods",)))),
    ("hours", "would not lie within the hours of e (mon-fri", Case(environment=AT_WORK, facts=GOOD.changed(now=SUNDAY))),
    ("limits.min_ready", "2 ready pods of deployment shop/web would be left, at least 3", Case(limits=Limits(min_ready=3))),
    ("limits.min_ready", "2 ready pods", Case(limits=Limits(min_ready=0.9))),
    ("opt-in", "pod shop/web-a in a does not carry any of chaos=yes", Case(limits=OPT_IN)),
    ("opt-in", "node node-a in a does not carry", Case(limits=OPT_IN, bound=(bound(NODE_A),))),
    ("rights", "these credentials may not patch nodes", Case(facts=GOOD.changed(lacking=("patch nodes",)))),
    ("owners", "HorizontalPodAutoscaler shop/web decides", Case(bound=(SCALED,), facts=GOOD.changed(workloads=(but(WEB, scaled_by=HPA),)))),
    ("owners", "kept as declared by Flux", Case(bound=(SCALED,), facts=GOOD.changed(delivered={WEB.name: "Flux"}))),
    (
        "owners",
        "horizontalpodautoscalers.autoscaling may not be listed",
        Case(bound=(SCALED,), facts=GOOD.changed(unread=("horizontalpodautoscalers.autoscaling",))),
    ),
    ("degraded", "deployments.apps may not be listed", Case(facts=GOOD.changed(unread=("deployments.apps",)))),
    ("rollout", "whether what is hit there is being rolled out", Case(facts=GOOD.changed(unread=("deployments.apps",)))),
    ("other-chaos", "podchaos.chaos-mesh.org may not be listed", Case(facts=GOOD.changed(unread=("podchaos.chaos-mesh.org",)))),
    ("budget-left", "2 % of the error budget, 1 % of it are left", Case(price=0.02, environment=but(SANDBOX, budget_left=0.01))),
    ("clock", "the API server's clock is 31 s behind ours", Case(facts=GOOD.changed(clock_ahead=-31.0))),
    ("ourselves", "is of chaosfw, and would be hit", Case(facts=GOOD.changed(pods=OURS))),
    ("ourselves", "is of chaosfw, and would be hit", Case(facts=GOOD.changed(pods=OURS), bound=(bound(NODE_A),))),
    (
        "ourselves",
        "reaper-a is a reaper, and would be hit with every other",
        Case(facts=WATCHED, bound=(bound(*NODES[:2]),)),
    ),
    (
        "ourselves",
        "reaper-b is a reaper, and would be hit with every other",
        Case(facts=WATCHED, bound=(bound(*NODES[:2]),)),
    ),
    ("ourselves", "reaper-a is a reaper, and would be hit with every other one", Case(facts=LAME, bound=(bound(NODE_A),))),
]

PASSED: list[tuple[str, Case]] = [
    ("no-claims", Case(experiment=but(CHEAP, steady_state=None))),
    ("no-way-back", Case(bound=(bound(NODE_A),))),
    ("two-faults", Case(bound=(bound(NODE_A, name="one"), bound(NODE_B, name="two")), limits=Limits(nodes=2))),
    ("identity", Case(environment=real(identity=Identity(server="https://api:6443/", uid="uid-1")))),
    ("namespaces", Case(environment=real())),
    ("namespaces", Case(environment=real(namespaces={"bank": "bank"}), bound=(bound(NODE_A, WEB_A),))),
    ("namespaces", Case(environment=real(namespaces={"store": "shop"}))),
    ("namespaces", Case(experiment=LOST, bound=())),
    ("protected", Case(facts=GOOD.changed(pods=MARKED_A), bound=(kill(PODS[1]),))),
    ("limits.pods", Case(bound=(kill(*PODS[:2]),), limits=Limits(pods=None))),
    ("limits.pods", Case(bound=(bound(NODE_A, *PODS[:2]),))),
    ("limits.pods", Case(bound=(stated(*PODS, hits=1),))),
    ("limits.pods", Case(bound=(stated(PODS[0], hits=1), stated(PODS[0], hits=1, name="again")))),
    ("pdb-headroom", Case(bound=(stated(*PODS, hits=1),))),
    ("limits.nodes", Case(bound=(bound(NODE_A, NODE_B),), limits=Limits(nodes=0.67))),
    ("limits.nodes", Case(facts=GOOD.changed(nodes=CORDONED))),
    ("limits.zones", Case(bound=EVERY_NODE[:1])),
    ("no-victims", Case(bound=(bound(NODE_A, WEB_A, fault="zone.drain/1"),))),
    ("pdb-headroom", Case(bound=(bound(NODE_A, *PODS[:2]),))),
    ("pdb-headroom", Case(bound=(kill(PODS[0], name="one"), kill(PODS[0], name="two")))),
    ("pdb-headroom", Case(bound=(kill(PODS[0]), bound(NODE_A, PODS[0])))),
    ("pdb-headroom", Case(bound=(bound(NODE_A, *PODS[:2], name="one"), bound(NODE_B, PODS[2], name="two")))),
    ("marked", GOOD),
    ("timeout-hides-latency", Case(experiment=but(LOADED, during_fault=(but(SLOW, limit=4.9),)))),
    ("no-load", Case(experiment=CHEAP)),
    ("no-slo", Case(experiment=CHEAP)),
    ("too-few-samples", Case(experiment=but(LOADED, during_fault=(Objective(sli="availability", target=0.97),)))),
    ("too-few-samples", Case(experiment=but(LOADED, during_fault=(Objective(sli="availability", target=0.0),)))),
    ("closed-loop", Case(experiment=but(CLOSED, during_fault=()))),
    ("closed-loop", Case(experiment=but(CLOSED, load=but(CLOSED.load, rate=50.0)))),
    ("limits.budget", Case(price=0.05)),
    ("limits.budget", Case(price=0.9, limits=Limits(budget=None))),
    ("way-back", Case(environment=real(), bound=(bound(NODE_A),))),
    ("way-back", Case(environment=real(accept_manual_heal=""))),
    ("way-back", Case(environment=real(accept_manual_heal=""), bound=(bound(NODE_A),), facts=GOOD.changed(reaper="reaper x"))),
    ("degraded", Case(facts=GOOD.changed(workloads=(WEB, but(WEB, name="deployment shop/other", ready=1))))),
    ("degraded", Case(facts=GOOD.changed(workloads=(but(WEB, ready=0),)))),
    ("degraded", Case(facts=GOOD.changed(workloads=(but(WEB, ready=2, rolling=True),)))),
    ("rollout", Case(facts=GOOD.changed(workloads=(but(WEB, name="deployment shop/other", rolling=True),)))),
    ("node-not-ready", Case(facts=GOOD.changed(nodes=GONE))),
    ("other-chaos", GOOD),
    ("hours", Case(environment=AT_WORK, facts=GOOD.changed(now=SUNDAY + 86_400))),
    ("hours", Case(facts=GOOD.changed(now=SUNDAY))),
    ("limits.min_ready", Case(limits=Limits(min_ready=2))),
    ("opt-in", Case(limits=Limits(opt_in=("nothing", "app=web")))),
    ("opt-in", Case(limits=OPT_IN, facts=GOOD.changed(workloads=(but(WEB, labels={"chaos": "yes"}),)))),
    ("opt-in", Case(limits=OPT_IN, facts=GOOD.changed(namespaces={"shop": {"chaos": "yes"}}))),
    ("rights", GOOD),
    ("owners", Case(facts=GOOD.changed(workloads=(but(WEB, scaled_by=HPA),), delivered={WEB.name: "Flux"}))),
    ("owners", Case(facts=GOOD.changed(unread=("horizontalpodautoscalers.autoscaling",)))),
    ("degraded", Case(facts=GOOD.changed(unread=("statefulsets.apps",)))),
    ("rollout", Case(facts=GOOD.changed(unread=("statefulsets.apps",)))),
    ("other-chaos", Case(facts=GOOD.changed(unread=("namespaces",)))),
    ("clock", Case(facts=GOOD.changed(clock_ahead=1.9))),
    ("budget-left", Case(price=0.02, environment=but(SANDBOX, budget_left=0.02))),
    ("budget-left", Case(environment=but(SANDBOX, budget_left=0.0))),
    ("ourselves", Case(facts=GOOD.changed(pods=OURS), bound=(kill(PODS[1]),))),
    ("ourselves", Case(facts=WATCHED, bound=(bound(NODE_A),))),
    ("ourselves", Case(facts=LAME, bound=(bound(NODES[2]),))),
]


@pytest.mark.parametrize(("slug", "words", "case"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_guard_refuses_with_its_own_sentence(slug: str, words: str, case: Case) -> None:
    said = [one.sentence for one in case.refused() if one.slug == slug]

    assert any(words in sentence for sentence in said), case.refused()


@pytest.mark.parametrize(("slug", "case"), PASSED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_guard_lets_pass_what_it_is_not_there_for(slug: str, case: Case) -> None:
    assert [one for one in case.refused() if one.slug == slug] == []


def test_a_good_plan_is_refused_by_nobody() -> None:
    assert GOOD.refused() == ()


def test_every_guard_is_tested_both_ways() -> None:
    """A new guard without tests turns this red. ``no-slo`` is said by the guard ``no-load``."""
    assert {slug for slug, _, _ in REFUSED} - {"no-slo"} == set(guards.GUARDS)
    assert {slug for slug, _ in PASSED} - {"no-slo"} == set(guards.GUARDS)


def test_all_refusals_are_told_at_once() -> None:
    slugs = {one.slug for one in Case(bound=(kill(*PODS[:2]),), price=1.0, experiment=Experiment(title="t")).refused()}

    assert slugs == {"no-claims", "limits.pods", "limits.budget", "pdb-headroom"}


@pytest.mark.parametrize("slug", guards.GUARDS)
def test_a_guard_that_breaks_refuses(monkeypatch: pytest.MonkeyPatch, slug: str) -> None:
    def broken(plan: Plan, facts: Facts, limits: Limits) -> Iterator[Refusal]:
        raise ZeroDivisionError("oh")

    replaced: dict[str, Callable[..., Iterator[Refusal]]] = {slug: broken}
    monkeypatch.setitem(guards.GUARDS, slug, replaced[slug])

    assert [str(one) for one in GOOD.refused()] == [f"{slug}: the guard itself broke: ZeroDivisionError: oh"]


def test_a_share_in_the_experiment_narrows_a_count_in_the_environment() -> None:
    """The two can not be merged into one number, so both are asked."""
    two = (kill(*PODS[:2]),)
    narrow = Limits(pods=0.34, nodes=None, zones=None, budget=None, protect=())
    written = but(GOOD.experiment, limits=narrow)

    assert "limits.pods" not in [one.slug for one in Case(bound=two, limits=Limits(pods=2)).refused()]
    assert "limits.pods" in [one.slug for one in Case(bound=two, limits=Limits(pods=2), experiment=written).refused()]


def test_a_share_never_forbids_everything_unless_it_is_nothing() -> None:
    """34 % of one pod is none, which would forbid every experiment with it; 0 % is meant as it stands."""
    alone = GOOD.changed(pods=GOOD.facts.pods[:1])

    assert Case(facts=alone).refused() == ()
    assert [one.slug for one in Case(facts=alone, limits=Limits(pods=0.0)).refused()] == ["limits.pods"]


def test_what_variables_and_flags_narrow_to_is_asked_beside_the_environment() -> None:
    beside = but(SANDBOX, beside=Limits(pods=0.34, nodes=None, zones=None, budget=None, protect=()))
    two = (kill(*PODS[:2]),)

    assert "limits.pods" not in [one.slug for one in Case(bound=two, limits=Limits(pods=2)).refused()]
    assert "limits.pods" in [one.slug for one in Case(bound=two, limits=Limits(pods=2), environment=beside).refused()]


def test_what_the_environment_suppresses_passes_with_its_reason() -> None:
    case = Case(environment=but(SANDBOX, suppress={"degraded": "known since Monday", "hours": "never said"}), facts=DEGRADED)

    left, silenced = guards.suppressed(case.refused(), case.plan())

    assert (left, silenced) == ((), ("degraded: known since Monday (deployment shop/web is degraded already: 1 of 3 pods ready)",))


def test_a_reason_that_silences_more_than_one_thing_says_so() -> None:
    found = [Refusal(slug="degraded", sentence=f"{name} is degraded") for name in ("a", "b", "c")]
    plan = Case(environment=but(SANDBOX, suppress={"degraded": "a is known"})).plan()

    assert guards.suppressed(found, plan) == ((), ("degraded: a is known (a is degraded, and 2 more)",))


@pytest.mark.parametrize("slug", guards.NEVER_SUPPRESSED)
def test_without_these_a_verdict_could_lie_so_they_always_refuse(slug: str) -> None:
    refusal = Refusal(slug=slug, sentence="no")

    assert guards.suppressed([refusal], Case(environment=but(SANDBOX, suppress={slug: "because"})).plan()) == ((refusal,), ())


DEGRADED = GOOD.changed(workloads=(but(WEB, ready=1),))
