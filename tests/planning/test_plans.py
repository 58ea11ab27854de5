"""Digests say whether the same is done to the same; price and length are told before anything runs."""

from __future__ import annotations

import msgspec
import pytest

from chaosfw.model.activity import Action, Hypothesis, Probe, PythonProvider
from chaosfw.model.environment import Environment, Limits, Target
from chaosfw.model.experiment import Experiment, Origin
from chaosfw.model.fault import Bound, Undo
from chaosfw.model.load import Load, Request, Script, Stage
from chaosfw.model.plan import Plan, Refusal
from chaosfw.model.slo import SLO, Objective
from chaosfw.model.struct import but
from chaosfw.model.tolerance import Between
from chaosfw.planning.digests import intent, plan_digest
from chaosfw.planning.guards import GUARDS
from chaosfw.planning.preview import preview, sent
from chaosfw.planning.price import expected_seconds, planned_price

CALL = PythonProvider(module="made.up", func="act", arguments={"n": 1})
PROBE = Probe(name="ready", provider=CALL, tolerance=Between(low=2))
FULL = Experiment(
    title="t",
    steady_state=Hypothesis(title="up", probes=(PROBE,)),
    method=(Action(name="break", provider=CALL),),
    load=Load(endpoint="web", rate=10.0),
    slo=SLO(name="s", availability=0.999, window=86400.0),
    baseline=10.0,
    lasts=20.0,
    recover_within=30.0,
    stable_for=5.0,
)

OTHER: dict[str, object] = {
    "title": "u",
    "steady_state": Hypothesis(title="up", probes=(but(PROBE, tolerance=Between(low=3)),)),
    "throughout": True,
    "during_fault": (Objective(sli="availability", target=0.9),),
    "method": (Action(name="break", provider=but(CALL, arguments={"n": 2})),),
    "rollbacks": (Action(name="back", provider=CALL),),
    "load": Load(endpoint="web", rate=11.0),
    "slo": None,
    "halt": (PROBE,),
    "limits": Limits(pods=1),
    "baseline": 11.0,
    "lasts": 21.0,
    "stable_for": 6.0,
    "mitigate_within": 1.0,
    "recover_within": 31.0,
    "costs_at_most": 0.01,
    "probe_every": 0.25,
    "stock": True,
    "defaults": ("lasts",),
    "configuration": {"a": 1},
    "environment": "elsewhere",
}


def test_equal_experiments_have_equal_digests() -> None:
    again = msgspec.json.decode(msgspec.json.encode(FULL), type=Experiment)

    assert intent(again, "e") == intent(FULL, "e")
    assert len(intent(FULL, "e")) == 12


@pytest.mark.parametrize("name", [name for name in Experiment.__struct_fields__ if name != "origin"])
def test_every_field_but_the_origin_changes_the_intent(name: str) -> None:
    assert intent(but(FULL, **{name: OTHER[name]}), "e") != intent(FULL, "e")


def test_where_it_was_written_does_not_change_the_intent() -> None:
    assert intent(but(FULL, origin=Origin(file="a.py", line=3, name="x")), "e") == intent(FULL, "e")


def test_another_environment_is_another_intent() -> None:
    assert intent(FULL, "staging") != intent(FULL, "e")


TARGET = Target(kind="pod", name="web-1", namespace="shop", uid="u1")
BOUND = Bound(action=FULL.actions[0], fault="kubernetes.kill/1", targets=(TARGET,), changes=("delete pod",), self_heals=True)
PLAN = Plan(experiment=FULL, environment=Environment(name="e", kind="sandbox"), seed=7, bound=(BOUND,), intent="i" * 12, digest="d" * 12)


@pytest.mark.parametrize(
    "changed",
    [
        but(BOUND, targets=(but(TARGET, uid="u2"),)),
        but(BOUND, fault="kubernetes.drain/1"),
        but(BOUND, changes=("delete pod abruptly",)),
        but(BOUND, action=but(BOUND.action, name="other")),
        but(BOUND, action=but(BOUND.action, provider=but(CALL, func="other"))),
    ],
)
def test_the_plan_digest_names_what_is_done_to_whom(changed: Bound) -> None:
    assert plan_digest(but(PLAN, bound=(changed,))) != plan_digest(PLAN)


def test_the_plan_digest_is_of_no_run() -> None:
    """Ids of runs and marks are new each time: a plan can be approved before it runs."""
    marked = but(BOUND.action, provider=but(CALL, arguments={"marks": {"node-1": "run-17"}}))
    back = Undo(id="run-17.x", run="run-17", fault="f/1", environment="e", subject=TARGET)

    assert plan_digest(but(PLAN, bound=(but(BOUND, action=marked, undo=(back,)),), seed=8)) == plan_digest(PLAN)


def test_the_length_is_the_declared_phases() -> None:
    assert expected_seconds(FULL, heals_itself=False) == 10 + 20 + 30 + 5


def test_recovery_of_what_heals_itself_runs_while_the_fault_lasts() -> None:
    assert expected_seconds(FULL, heals_itself=True) == 10 + 20 + (30 - 20) + 5
    assert expected_seconds(but(FULL, recover_within=1.0), heals_itself=True) == 10 + 20 + 5


def test_without_a_promise_the_planned_price_is_a_total_outage() -> None:
    requests, budget = planned_price(FULL, seconds=65.0)

    assert requests == 650
    assert budget == pytest.approx(650 / (10 * 86400 * 0.001))


def test_a_promise_is_the_planned_price() -> None:
    requests, budget = planned_price(but(FULL, costs_at_most=0.02), seconds=65.0)

    assert (requests, budget) == (pytest.approx(0.02 * 864), 0.02)


def test_declared_traffic_is_what_the_budget_is_counted_over() -> None:
    slo = SLO(name="s", availability=0.9, requests_per_window=1000.0)

    assert planned_price(but(FULL, slo=slo), seconds=1.0) == (10.0, pytest.approx(0.1))


@pytest.mark.parametrize("missing", ["load", "slo"])
def test_there_is_no_price_without_load_or_slo(missing: str) -> None:
    assert planned_price(but(FULL, **{missing: None}), seconds=65.0) == (None, None)


def test_a_plan_reads_as_sentences() -> None:
    node = Target(kind="node", name="node-1", zone="zone-a")
    back = Undo(id="x", run="r", fault="kubernetes.cordon/1", environment="e", subject=node)
    drained = Bound(action=Action(name="drain", provider=CALL), fault="kubernetes.drain/1", changes=("drain node node-1",), undo=(back,))
    lost = Bound(action=Action(name="lose", provider=CALL), fault="toolkit.plain/1")
    promised = but(FULL, during_fault=(Objective(sli="latency", target=0.95, limit=0.8),), defaults=("recover_within",))
    plan = but(PLAN, experiment=promised, bound=(BOUND, drained, lost), seconds=65.0, price_requests=650.0, price_budget=0.01)

    assert preview(plan).splitlines() == [
        "t",
        "  on e (sandbox), about 65 s, seed 7",
        "  normal is: up",
        "    ready (at least 2)",
        "  break: made.up.act",
        "    ~ delete pod",
        "    undo: heals itself",
        "  drain: made.up.act",
        "    ~ drain node node-1",
        "    undo: put back node node-1 in zone-a",
        "  lose: made.up.act",
        "    undo: NO WAY BACK",
        "  accepted while the fault is in: p95 ≤ 800 ms",
        "  claims: recovered within 30 s (default)",
        "  load: 10 requests/s at web/",
        "  planned price: 650 requests, 1 % of the error budget",
        "  30 guards asked, none refuses",
        "  if this host is lost: the sandbox is lost with it",
        "  intent iiiiiiiiiiii   plan dddddddddddd",
    ]


def test_a_plan_says_what_guards_said() -> None:
    no = Refusal(slug="degraded", sentence="deployment shop/web is degraded already", hint="wait")

    lines = preview(PLAN, refusals=(no,), suppressed=("clock: known (3 s apart)",)).splitlines()

    at = lines.index("  30 guards asked, REFUSED:")
    assert lines[at + 1 : at + 3] == ["    degraded: deployment shop/web is degraded already", "    not heeded: clock: known (3 s apart)"]
    assert len(GUARDS) == 30


@pytest.mark.parametrize(
    ("accepted", "reaper", "words"),
    [
        ("", "reaper r", "reaper r"),
        ("", "", "NOBODY puts it back"),
        ("we watch", "", "somebody by hand (we watch)"),
        ("we watch", "reaper r", "reaper r, or somebody by hand (we watch)"),
    ],
)
def test_a_plan_says_who_heals_when_this_host_is_lost(accepted: str, reaper: str, words: str) -> None:
    back = Undo(id="x", run="r", fault="kubernetes.cordon/1", environment="e", subject=Target(kind="node", name="node-1"))
    real = but(PLAN, environment=but(PLAN.environment, kind="kubernetes", accept_manual_heal=accepted), bound=(but(BOUND, undo=(back,)),))

    assert f"  if this host is lost: {words}" in preview(real, reaper=reaper).splitlines()
    assert "  if this host is lost: nothing has to be put back" in preview(but(real, bound=(BOUND,))).splitlines()


def test_a_plan_without_claims_in_numbers_says_no_numbers() -> None:
    bare = but(PLAN, experiment=Experiment(title="bare", steady_state=None), bound=())

    assert "price" not in preview(bare)


def test_a_plan_says_what_the_namespaces_of_the_experiment_are() -> None:
    here = but(PLAN.environment, namespaces={"shop": "shop-stg", "bank": "bank"})

    assert [line for line in preview(but(PLAN, environment=here)).splitlines() if "namespace" in line] == [
        "  namespace shop is shop-stg here"
    ]


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (Load(endpoint="web", rate=10.0, driver="k6"), "10 requests/s at web/, by k6"),
        (Load(endpoint="web", rate=10.0, driver="locust", script=Script(file="l.py")), "10 tasks/s of l.py at web"),
        (
            Load(endpoint="web", rate=10.0, driver="locust", processes=3, script=Script(file="l.py", listen="0.0.0.0:5557")),
            "10 tasks/s of l.py at web, by 3 workers that join at 0.0.0.0:5557",
        ),
        (
            Load(endpoint="web", rate=10.0, stages=(Stage(rate=50.0, seconds=5.0), Stage(rate=20.0))),
            "10 requests/s, then 50 within 5 s, then 20 at web/",
        ),
        (
            Load(endpoint="web", rate=10.0, requests=(Request(path="/a", weight=3), Request(path="/b", method="POST"))),
            "10 requests/s at web: 75 % GET /a, 25 % POST /b",
        ),
        (Load(endpoint="web", rate=0.0, driver="locust", script=Script(file="l.py", users=8)), "8 users of l.py at web"),
        (Load(endpoint="web", rate=0.0, driver="k6", script=Script(file="l.js", users=8)), "8 VUs of l.js at web"),
        (Load(endpoint="web", rate=0.0, driver="k6", script=Script(file="l.js")), "as it says: l.js at web"),
    ],
)
def test_what_is_sent_reads_as_words(load: Load, words: str) -> None:
    assert sent(load) == words


def test_the_price_of_a_load_whose_rate_nobody_knows_is_a_share() -> None:
    unplanned = but(FULL, load=Load(endpoint="web", rate=0.0, driver="k6", script=Script(file="l.js")))

    requests, part = planned_price(unplanned, seconds=60.0)

    assert requests is None
    assert part == pytest.approx(planned_price(FULL, seconds=60.0)[1])
