"""What users write becomes the nouns that it says, and what cannot be right is refused where it is written."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest

import chaosfw as cf
from chaosfw.authoring.experiments import ATTRIBUTE
from chaosfw.authoring.tolerances import as_tolerance
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone
from chaosfw.model.activity import HttpProvider, LoadProvider, ProcessProvider, PythonProvider, Victims
from chaosfw.model.slo import LatencyLimit, Objective
from chaosfw.model.tolerance import Between, Exactly, OneOf
from probes import shop

web = k8s.deployment("web", namespace="shop")
UP = cf.Hypothesis("up", cf.http("web"))
KILL = k8s.kill(web)


# -- refused -------------------------------------------------------------------------------------------------------------


class Shop:
    def orders(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda: cf.Hypothesis("up"), "'up' has no probes: it would hold whatever happens"),
        (lambda: cf.Hypothesis("up", cf.http("web"), cf.http("web")), "several probes named 'GET web/ answers 200'\nhint: give one"),
        (lambda: cf.k6("l.js", at="web", pods=2), "pods, and the namespace in which they run, go together"),
        (lambda: cf.k6("l.js", at="web", node_selector={"pool": "load"}), "go together"),
        (lambda: cf.probe(lambda: 1, 1), "can not be called by name from another process\nhint: put it at the top level"),
        (lambda: cf.probe(Shop().orders, 1), "'Shop.orders' can not be called by name"),
        (lambda: cf.probe(functools.partial(shop.answering_pod, "x"), 1), "can not be called by name"),
        (lambda: cf.probe("orders", 1), "'orders' is not a dotted name\nhint: write 'package.module.function'"),
        (lambda: cf.latency(), "latency takes one quantile, not 0"),
        (lambda: cf.latency(p95="1s", p99="2s"), "latency takes one quantile, not 2\nhint: write cf.latency"),
        (lambda: cf.latency(fast="1s"), "'fast' is not a quantile\nhint: write p50"),
        (lambda: cf.availability("lots"), "availability is 'lots'"),
        (lambda: cf.Load("web", rate=0), "load 'web': rate is 0, more than 0"),
        (lambda: cf.Load("web", rate=math.nan), "more than 0 requests a second"),
        (lambda: cf.Load("web", rate=math.inf), "more than 0 requests a second"),
        (lambda: cf.Load("web", rate="100"), "rate is '100'"),  # type: ignore[arg-type]
        (lambda: cf.Load("web", path="health"), "path is 'health', a path starts with '/'"),
        (lambda: cf.Load("web", timeout="soon"), "load 'web': timeout is 'soon'"),
        (lambda: cf.SLO("s", availability="100%"), "there is no error budget"),
        (lambda: cf.SLO("s", availability="99%", latency={"p95": "fast"}), "SLO 's': latency p95 is 'fast'"),
        (lambda: cf.limits(pods="some"), "limits: pods is 'some'"),
        (lambda: cf.Experiment("t", "kill it"), "'kill it' is neither a fault nor a probe\nhint: write k8s.kill"),  # type: ignore[arg-type]
        (lambda: cf.Experiment("t", lasts="soon"), "t: lasts is 'soon'"),
        (lambda: cf.Experiment("t", costs_at_most="2"), "t: costs_at_most is '2'"),
        (lambda: cf.Experiment("t", probe_every=0), "t: probe_every is 0"),
        (lambda: cf.Experiment("t", steady_state=cf.http("web")), r"steady_state is Probe\(.*: cf.Hypothesis"),  # type: ignore[arg-type]
        (lambda: cf.Experiment("t", load="web"), "load is 'web': cf.Load"),  # type: ignore[arg-type]
        (lambda: cf.Experiment("t", slo="99%"), "slo is '99%': cf.SLO"),  # type: ignore[arg-type]
        (lambda: cf.Experiment("t", limits={"pods": 1}), "limits is {'pods': 1}: cf.limits"),  # type: ignore[arg-type]
        (lambda: cf.Experiment("t", during_fault=cf.availability("97%")), "during_fault is .*: a list such as"),  # type: ignore[arg-type]
        (lambda: cf.Experiment("t", rollbacks=[cf.http("web")]), "rollbacks is .*: a list of actions"),  # type: ignore[list-item]
        (lambda: cf.Experiment("t").but("u", KILL, last="3s"), "'u': unknown 'last'\nhint: known: baseline"),
        (lambda: cf.experiment("kill"), "takes an Experiment or a function that makes one, not str"),  # type: ignore[arg-type]
        (lambda: cf.toolkit("", "f"), "takes a module and a function"),
        (lambda: cf.toolkit("m", "f", timeout="x"), "f: timeout is 'x'"),
        (lambda: cf.toolkit("m", "f", victims="web-1"), "f: victims is 'web-1': a workload, pods or names"),
        (lambda: cf.toolkit("m", "f", victims=()), r"f: victims is \(\): a workload, pods or names"),
        (lambda: cf.toolkit("m", "f", victims=("web-1", 2)), "a workload, pods or names"),  # type: ignore[arg-type]
        (lambda: cf.toolkit("m", "f", victims=3), "a workload, pods or names"),  # type: ignore[arg-type]
        (lambda: web.pods(count=0), "pods: count is 0, at least 1"),
        (lambda: k8s.pods("app=web", count=True), "pods: count is True"),
        (lambda: k8s.pods(""), "pods takes a label selector"),
        (lambda: cf.between(3, 1), r"between\(3, 1\) accepts nothing: low is above high"),
        (lambda: cf.below(math.nan), r"below\(nan\): a number was expected"),
        (lambda: cf.above("3"), r"above\('3'\): a number"),  # type: ignore[arg-type]
        (lambda: cf.at_least(True), r"at_least\(True\): a number"),
        (lambda: cf.at_most(None), r"at_most\(None\): a number"),  # type: ignore[arg-type]
        (lambda: cf.matches("["), r"matches\('\['\): not a regular expression: unterminated"),
        (lambda: cf.matches(3), "not a regular expression"),  # type: ignore[arg-type]
        (lambda: k8s.kill(), "a workload or a selector, one of the two\nhint: k8s.kill"),
        (lambda: k8s.kill(web, selector="app=web"), "one of the two"),
        (lambda: k8s.kill(web, count=1, percentage="10%"), "a count or a percentage"),
        (lambda: k8s.kill(web, count=0), "count is 0, at least 1"),
        (lambda: k8s.kill(web, percentage="lots"), "kill: percentage is 'lots'"),
        (lambda: k8s.drain(), "which nodes\\? name one"),
        (lambda: k8s.cordon(), "which nodes\\?"),
        (lambda: k8s.drain(count=1, percentage="50%"), "a count or a percentage"),
        (lambda: k8s.statefulset("db").available(), r"available\(\) is for deployments, this is a statefulset\nhint: use ready"),
        (lambda: zone.fail(""), "needs the name of a zone\nhint: take the fixture chaos_zone"),
        (lambda: zone.fail("a", backend="flood"), "unknown backend 'flood' for zone.fail\nhint: available: drain, power, network"),
        (lambda: zone.fail("a", backend="power", delete_emptydir_data=True), "delete_emptydir_data is of the backend drain, not of power"),
        (lambda: k8s.stop_machine("node-1", state="sleepy"), "state is 'sleepy', one of off, frozen, cut was expected"),
    ],
)
def test_what_can_not_be_right_is_refused_in_words(write: Callable[[], Any], message: str) -> None:
    with pytest.raises(cf.UsageError, match=message):
        write()


def test_an_unknown_public_name_tells_the_known_ones() -> None:
    with pytest.raises(AttributeError, match="chaosfw has no 'Experimnt'; it has: Chaos, "):
        cf.Experimnt  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", cf.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(cf, name).__doc__
    assert name in dir(cf)


# -- probes --------------------------------------------------------------------------------------------------------------


def test_an_endpoint_by_name_is_resolved_later() -> None:
    made = cf.http("shop", path="/health", status=(200, 204), headers={"A": "b"}, timeout="300ms")

    assert made.provider == HttpProvider(url={"$endpoint": "shop", "path": "/health"}, headers={"A": "b"}, timeout=0.3)
    assert (made.name, made.timeout, made.tolerance) == ("GET shop/health answers (200, 204)", 0.3, OneOf(values=(200, 204)))


def test_a_url_is_taken_as_it_is() -> None:
    assert cf.http("http://127.0.0.1:1/", path="/x").provider == HttpProvider(url="http://127.0.0.1:1/x")


@pytest.mark.parametrize(("where", "address"), [("shop", {"$endpoint": "shop", "path": ""}), ("127.0.0.1:80", "127.0.0.1:80")])
def test_a_port_by_name_or_address(where: str, address: object) -> None:
    made = cf.tcp(where)

    assert isinstance(made.provider, PythonProvider)
    assert made.provider.arguments == {"address": address, "timeout": 1.0}


def test_a_function_is_called_by_its_name() -> None:
    made = cf.probe(shop.answering_pod, cf.matches("^web"), url=cf.endpoint("shop"), timeout=2)

    arguments = {"url": {"$endpoint": "shop", "path": ""}}
    assert made.provider == PythonProvider(module="probes.shop", func="answering_pod", arguments=arguments)
    assert (made.name, made.timeout) == ("answering pod", 2.0)
    assert cf.probe("probes.shop.answering_pod", 1).provider == PythonProvider(module="probes.shop", func="answering_pod")


def test_a_program_is_judged_by_its_exit_code() -> None:
    made = cf.process("true", arguments={"-x": 1})

    assert made.provider == ProcessProvider(path="true", arguments={"-x": 1}, timeout=5.0)
    assert (made.name, made.tolerance) == ("true succeeds", Exactly(value=0))


def test_objectives_in_a_hypothesis_watch_the_load() -> None:
    hypothesis = cf.Hypothesis("fast", cf.availability("99.9%"), cf.latency(p99_9="1s"))

    assert [one.provider for one in hypothesis.probes] == [
        LoadProvider(sli="availability", window=5.0),
        LoadProvider(sli="latency", quantile=0.999, window=5.0),
    ]
    assert [one.tolerance for one in hypothesis.probes] == [Between(low=0.999), Between(high=1.0)]
    assert [one.name for one in hypothesis.probes] == ["load: availability ≥ 99.9 %", "load: p99.9 ≤ 1000 ms"]


def test_handles_make_probes() -> None:
    assert web.ready(at_least=2).tolerance == Between(low=2)
    assert web.available().name == "web: available"
    assert k8s.node_ready("n1").provider.name == "chaosfw.activities.kubernetes.node_is_ready"


# -- tolerances ----------------------------------------------------------------------------------------------------------

NONE_OF = (None, math.nan, "3", [3], {"status": 3}, True)


@pytest.mark.parametrize(
    ("tolerance", "good", "bad", "words"),
    [
        (cf.below(3), (2.9, -math.inf), (3, 4), "below 3"),
        (cf.above(3), (3.1, math.inf), (3, 2), "above 3"),
        (cf.at_least(3), (3, 4), (2.9,), "at least 3"),
        (cf.at_most(3), (3, 2), (3.1,), "at most 3"),
        (cf.between(1, 3), (1, 3, 2.5), (0.9, 3.1), "between 1 and 3"),
    ],
)
def test_ranges_accept_numbers_only(tolerance: Between, good: tuple[float, ...], bad: tuple[float, ...], words: str) -> None:
    assert [tolerance.accepts(value) for value in good] == [True] * len(good)
    assert [tolerance.accepts(value) for value in (*bad, *NONE_OF)] == [False] * (len(bad) + len(NONE_OF))
    assert str(tolerance) == words


@pytest.mark.parametrize(
    ("tolerance", "value", "accepted"),
    [
        (cf.exactly(1), 1, True),
        (cf.exactly(1), 1.0, True),
        (cf.exactly(1), True, False),
        (cf.exactly(True), 1, False),
        (cf.exactly(True), True, True),
        (cf.exactly(None), None, True),
        (cf.exactly(None), 0, False),
        (cf.exactly(math.nan), math.nan, False),
        (cf.exactly({"a": 1}), {"a": 1}, True),
        (cf.exactly("1"), 1, False),
        (cf.one_of(200, 204), 204, True),
        (cf.one_of(200, True), 1, False),
        (cf.one_of(200), None, False),
        (cf.matches("^we"), "web", True),
        (cf.matches("^we"), b"web", False),
        (cf.matches("."), None, False),
        (cf.matches("."), math.nan, False),
    ],
)
def test_equality_knows_true_from_one(tolerance: Any, value: object, accepted: bool) -> None:
    assert tolerance.accepts(value) is accepted


def test_a_plain_value_means_exactly_this() -> None:
    assert as_tolerance(200) == Exactly(value=200)
    assert as_tolerance(cf.below(3)) == cf.below(3)


# -- load, SLO, experiments ----------------------------------------------------------------------------------------------


def test_a_load_is_read() -> None:
    made = cf.Load("shop", rate=10, status=200, marker="X-Pod", timeout="2s", connection="keep-alive")

    assert (made.rate, made.expected_status, made.marker, made.timeout, made.connection) == (10.0, (200,), "x-pod", 2.0, "keep-alive")


def test_an_slo_is_read() -> None:
    made = cf.SLO("s", availability="99.9%", latency={"p95": "300ms", "p99": "1s"}, window="7d")

    assert (made.availability, made.window, made.limit) == (0.999, 7 * 86400.0, 1.0)
    assert made.latency == (LatencyLimit(quantile=0.95, limit=0.3), LatencyLimit(quantile=0.99, limit=1.0))


def test_but_changes_what_it_names_and_keeps_the_rest() -> None:
    base = cf.Experiment("base", KILL, steady_state=UP, lasts="20s", load=cf.Load("shop"))

    other = base.but("other", k8s.drain("n1"), lasts="1m", load=None, mitigate_within="5s").noun

    assert (other.title, other.lasts, other.load, other.mitigate_within, other.steady_state) == ("other", 60.0, None, 5.0, UP)
    assert [one.name for one in other.actions] == ["drain n1"]
    assert (base.noun.title, base.noun.lasts, base.noun.actions) == ("base", 20.0, (KILL,))
    assert base.but("same").noun.actions == (KILL,)


def test_what_nobody_wrote_is_known_as_a_default() -> None:
    made = cf.Experiment("t", KILL, steady_state=UP, lasts="20s").noun

    assert made.defaults == ("baseline", "stable_for", "recover_within", "probe_every")


def test_two_faults_of_one_name_are_told_apart() -> None:
    assert [one.name for one in cf.Experiment("t", KILL, KILL, cf.http("web")).noun.method] == [
        "kill 1 of web #1",
        "kill 1 of web #2",
        "GET web/ answers 200",
    ]


def test_all_values_are_read() -> None:
    made = cf.Experiment(
        "t", KILL, during_fault=[cf.availability("97%")], costs_at_most="0.02%", throughout=True, limits=cf.limits(pods="10%", nodes=1)
    ).noun

    assert made.during_fault == (Objective(sli="availability", target=0.97),)
    assert (made.costs_at_most, made.throughout) == (0.0002, True)
    assert made.limits is not None
    assert (made.limits.pods, made.limits.nodes, made.limits.zones, made.limits.budget) == (0.1, 1, None, None)


def test_a_test_carries_its_experiment() -> None:
    made = cf.Experiment("t", KILL)

    @cf.experiment(made)
    def test_it() -> None:
        raise AssertionError("never called")

    assert getattr(test_it, ATTRIBUTE) is made


# -- faults --------------------------------------------------------------------------------------------------------------

WEB = {"kind": "deployment", "name": "web", "namespace": "shop"}


@pytest.mark.parametrize(
    ("action", "name", "select"),
    [
        (k8s.kill(web), "kill 1 of web", {"workload": WEB}),
        (k8s.kill(web, count=2, zone="a"), "kill 2 of web in a", {"workload": WEB, "count": 2, "zone": "a"}),
        (k8s.kill(web, percentage="50%"), "kill 50% of web", {"workload": WEB, "share": 0.5}),
        (k8s.kill(selector="app=x", namespace="n"), "kill 1 of app=x", {"selector": "app=x", "namespace": "n"}),
        (k8s.drain("n1"), "drain n1", {"node": "n1"}),
        (k8s.drain(hosting=web, count=2), "drain 2 nodes hosting web", {"hosting": WEB, "count": 2}),
        (k8s.cordon(zone="a"), "cordon 1 node in a", {"zone": "a"}),
        (k8s.cordon(percentage="50%"), "cordon 50% of nodes", {"share": 0.5}),
        (zone.fail("a"), "lose a", {"zone": "a"}),
    ],
)
def test_a_fault_says_what_it_selects(action: Any, name: str, select: dict[str, object]) -> None:
    assert action.name == name
    assert {key: value for key, value in action.select.items() if value is not None} == select


def test_an_abrupt_kill_leaves_no_grace() -> None:
    assert k8s.kill(web, abrupt=True).provider == PythonProvider(
        module="chaosk8s.pod.actions", func="terminate_pods", arguments={"grace_period": 0}
    )
    assert k8s.kill(web).provider.arguments == {}  # type: ignore[union-attr]


def test_a_drain_waits_for_its_own_timeout_and_a_little_longer() -> None:
    made = k8s.drain("n1", timeout="20s", delete_emptydir_data=True)

    assert made.provider.arguments == {"timeout": 20.0, "delete_emptydir_data": True}  # type: ignore[union-attr]
    assert made.timeout == 25.0


def test_any_function_is_a_fault_with_its_undo() -> None:
    start = cf.toolkit("m", "start", id=1)

    made = cf.toolkit("m", "stop_it", undo=start, proof=cf.tcp("shop"), timeout="5s", id=1)

    assert (made.name, made.rollbacks, made.timeout, made.self_heals) == ("stop it", (start,), 5.0, False)
    assert made.provider == PythonProvider(module="m", func="stop_it", arguments={"id": 1})
    assert cf.toolkit("m", "f", undo=[start, start]).rollbacks == (start, start)


@pytest.mark.parametrize(
    ("said", "victims"),
    [
        (None, None),
        (web, Victims(workload=web.as_json())),
        (web.pods(), Victims(workload=web.as_json())),
        (web.pods(count=1), Victims(workload=web.as_json(), count=1)),
        (k8s.pods("app=web", namespace="shop", count=2), Victims(selector="app=web", namespace="shop", count=2)),
        (("web-1", "web-2"), Victims(names=("web-1", "web-2"))),
        (["web-1"], Victims(names=("web-1",))),
    ],
)
def test_an_action_says_what_it_hits(said: Any, victims: Victims | None) -> None:
    assert cf.toolkit("m", "f", victims=said).victims == victims


def test_arguments_that_are_called_like_ours_are_given_by_their_own_door() -> None:
    wanted = {"name": "node-1", "timeout": 20, "id": 1}

    action = cf.toolkit("m", "f", name="cordon", timeout=5, arguments={"name": "node-1", "timeout": 20}, id=1)
    probe = cf.probe("m.f", 1, name="look", timeout=5, arguments={"name": "node-1", "timeout": 20}, id=1)

    assert action.provider.arguments == probe.provider.arguments == wanted  # type: ignore[union-attr]
    assert (action.name, action.timeout, probe.name, probe.timeout) == ("cordon", 5.0, "look", 5.0)
