"""Chaos Toolkit files become experiments, or all of their problems are told with line and path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import chaosfw as cf
from chaosfw.assembly import catalogue
from chaosfw.definitions.toolkit_file import KNOWN, load_file
from chaosfw.model.activity import HttpProvider, ProcessProvider, PythonProvider, Victims
from chaosfw.model.experiment import Experiment
from chaosfw.model.load import Auth, Load, Request, Script, Stage, Tls
from chaosfw.model.struct import but
from chaosfw.model.tolerance import Between, Exactly, OneOf, ToolkitTolerance
from tests.definitions.conftest import ACTION, PROBE, PYTHON, Read, Wrong, whole

ROOT = Path(__file__).parents[2]

KILL = {"type": "action", "name": "kill", "provider": {"type": "python", "module": "chaosk8s.pod.actions", "func": "terminate_pods"}}
TARGETED = {"type": "range", "range": [1, 4], "target": "status"}


def probing(**changes: Any) -> dict[str, Any]:
    return whole(steady_state_hypothesis={"title": "up", "probes": [{**PROBE, **changes}]})


def acting(**changes: Any) -> dict[str, Any]:
    return whole(method=[{**ACTION, **changes}])


def configured(wait: Any) -> dict[str, Any]:
    """A file whose pause is ``wait`` of the configuration."""
    return whole(method=[{**ACTION, "pauses": {"before": "${wait}"}}], configuration={"wait": wait})


def block(**values: Any) -> dict[str, Any]:
    return whole(extensions=[{"name": "other"}, {"name": "chaosfw", **values}])


# -- read ----------------------------------------------------------------------------------------------------------------

YAML = """
title: t
description: d
configuration:
  shop: {type: env, key: SHOP}
secrets:
  vault:
    token: {type: env, key: TOKEN}
steady-state-hypothesis:
  title: up
  probes:
    - type: probe
      name: ready
      tolerance: 200
      provider: {type: http, url: "${shop}/health", timeout: [1, 2], headers: {a: 1}, method: POST, verify_tls: false}
method:
  - type: action
    name: break
    background: true
    pauses: {before: 1, after: "2s"}
    provider: {type: python, module: m, func: f, secrets: [vault], arguments: {n: 1, url: "${shop}"}}
  - {type: probe, name: see, provider: {type: process, path: "true", arguments: "-x", timeout: 3}}
rollbacks:
  - {type: action, name: back, provider: {type: python, module: m, func: g}}
"""


def test_a_file_is_read_whole(read: Read) -> None:
    made = read(YAML, name="it.yaml")

    assert made.steady_state is not None
    (ready,) = made.steady_state.probes
    action, see = made.method
    assert made.configuration == ready.configuration == {"shop": {"type": "env", "key": "SHOP"}}
    assert ready.secrets == {"vault": {"token": {"type": "env", "key": "TOKEN"}}}
    assert ready.provider == HttpProvider(url="${shop}/health", timeout=3.0, headers={"a": "1"}, method="POST", verify_tls=False)
    assert isinstance(action, cf.toolkit("m", "f").__class__)
    assert (action.background, action.pause_before, action.pause_after) == (True, 1.0, 2.0)
    assert action.provider == PythonProvider(module="m", func="f", secrets=("vault",), arguments={"n": 1, "url": "${shop}"})
    assert [one.name for one in action.rollbacks] == [one.name for one in made.rollbacks] == ["back"]
    assert see.provider == ProcessProvider(path="true", arguments="-x", timeout=3.0)


def test_json_and_yaml_say_the_same(read: Read) -> None:
    same = read(yaml.safe_load(YAML), name="it.json")

    assert but(same, origin=read(YAML, name="it.yaml").origin) == read(YAML, name="it.yaml")


def test_json_may_be_indented_by_tabs(read: Read, wrong: Wrong) -> None:
    assert read(json.dumps(whole(), indent="\t")).title == "t"
    assert wrong(json.dumps(whole(title=3), indent="\t")) == ("it.json:2: title is 3: a text was expected",)


def test_json_is_read_as_json_and_not_as_the_yaml_that_it_nearly_is(read: Read) -> None:
    """In YAML 1.1 ``1e3`` is a text, and half of a character is one."""
    made = read(json.dumps(acting(provider={**PYTHON, "arguments": {"face": "😀", "n": 1}})).replace('"n": 1', '"n": 1e3'))

    assert made.actions[0].provider.arguments == {"face": "😀", "n": 1000.0}  # type: ignore[union-attr]


def test_stock_files_claim_what_chaos_toolkit_judges_and_no_more(read: Read) -> None:
    made = read(whole())

    assert made.stock
    assert not made.throughout
    assert (made.baseline, made.lasts, made.stable_for, made.recover_within) == (0, 0, 0, 0)
    assert (made.load, made.slo, made.during_fault) == (None, None, ())


@pytest.mark.parametrize(
    ("strategy", "throughout"),
    [
        ("default", False),
        ("before-method-only", False),
        ("after-method-only", False),
        ("during-method-only", True),
        ("continuously", True),
    ],
)
def test_strategies_that_watch_meanwhile_mean_throughout(read: Read, strategy: str, throughout: bool) -> None:
    assert read(whole(runtime={"hypothesis": {"strategy": strategy}})).throughout is throughout


@pytest.mark.parametrize(
    ("tolerance", "made"),
    [
        (200, Exactly(value=200)),
        (True, Exactly(value=True)),
        ("ok", Exactly(value="ok")),
        ([200, 204, 301], OneOf(values=(200, 204, 301))),
        ([200], OneOf(values=(200,))),
        (["a", "b"], OneOf(values=("a", "b"))),
        ([1, 4], ToolkitTolerance(value=[1, 4])),
        ({"type": "range", "range": [1, 4]}, Between(low=1, high=4)),
        (TARGETED, ToolkitTolerance(value=TARGETED)),
        ({"type": "regex", "pattern": "^a"}, ToolkitTolerance(value={"type": "regex", "pattern": "^a"})),
        ({"type": "jsonpath", "path": "$.a"}, ToolkitTolerance(value={"type": "jsonpath", "path": "$.a"})),
        ({**PROBE, "provider": PYTHON}, ToolkitTolerance(value={**PROBE, "provider": PYTHON})),
    ],
)  # fmt: skip
def test_tolerances_of_every_kind(read: Read, tolerance: Any, made: Any) -> None:
    hypothesis = read(probing(tolerance=tolerance)).steady_state

    assert hypothesis is not None
    assert hypothesis.probes[0].tolerance == made


def test_a_ref_names_an_activity_before_or_after_it(read: Read) -> None:
    made = read(whole(method=[{"ref": "later"}, {"ref": "ready"}, {**ACTION, "name": "later"}], rollbacks=[{"ref": "later"}]))

    assert [one.name for one in made.method] == ["later", "ready", "later #2"]
    assert [one.name for one in made.rollbacks] == ["later"]
    assert made.method[0].provider == made.method[2].provider


def test_activities_of_one_name_are_told_apart(read: Read) -> None:
    """Undo records and rounds go by name."""
    made = read(whole(method=[ACTION, ACTION], steady_state_hypothesis={"title": "up", "probes": [PROBE, PROBE]}))

    assert [one.name for one in made.method] == ["break", "break #2"]
    assert made.steady_state is not None
    assert [one.name for one in made.steady_state.probes] == ["ready", "ready #2"]


def test_rollbacks_are_the_undo_of_the_first_action_that_nobody_else_puts_back(read: Read) -> None:
    back = {"type": "action", "name": "back", "provider": PYTHON}

    made = read(whole(method=[KILL, ACTION, {**ACTION, "name": "again"}], rollbacks=[back]))

    assert [[one.name for one in action.rollbacks] for action in made.actions] == [[], ["back"], []]


def test_known_functions_are_those_of_the_catalogue() -> None:
    assert {function for kind in catalogue.kinds().values() for function in kind.functions} == KNOWN


@pytest.mark.parametrize("missing", [{"steady-state-hypothesis": None}, {"steady-state-hypothesis": {}}])
def test_a_file_without_hypothesis_has_none(read: Read, missing: dict[str, Any]) -> None:
    assert read({**{key: value for key, value in whole().items() if key != "steady-state-hypothesis"}, **missing}).steady_state is None


def test_our_own_file_is_read() -> None:
    made = load_file(ROOT / "experiments" / "pod-loss.json")

    assert made is not None
    assert not made.stock
    assert made.load == cf.Load("shop", rate=100)
    assert (made.costs_at_most, made.lasts, made.origin.name) == (0.001, 5.0, "pod-loss.json")


def test_probes_of_the_method_pause_and_go_to_the_background(read: Read) -> None:
    """In a hypothesis Chaos Toolkit waits for each probe, whatever it says of a background."""
    see = {**PROBE, "name": "see", "background": True, "pauses": {"before": 1, "after": 0.5}}

    made = read(whole(method=[see, ACTION], steady_state_hypothesis={"title": "up", "probes": [{**PROBE, "background": True}]}))

    (probe,) = made.probes
    assert (probe.background, probe.pause_before, probe.pause_after) == (True, 1.0, 0.5)
    assert made.steady_state is not None
    assert not made.steady_state.probes[0].background


def test_a_ref_is_in_the_background_when_it_says_so_itself(read: Read) -> None:
    """As Chaos Toolkit does: pauses come with the activity that is named, the background does not."""
    see = {**PROBE, "name": "see", "background": True, "pauses": {"before": 1}}

    made = read(whole(method=[see, {"ref": "see"}, {"ref": "see", "background": True}]))

    assert [(one.background, one.pause_before) for one in made.probes] == [(True, 1.0), (False, 1.0), (True, 1.0)]


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        (2, 2.0),
        (0.5, 0.5),
        ({"type": "env", "key": "WAIT", "env_var_type": "int"}, 3.0),
        ({"type": "env", "key": "NOBODY_SETS_THIS", "default": 1.5}, 1.5),
        ({"type": "env", "key": "NOBODY_SETS_THIS", "default": "4", "env_var_type": "float"}, 4.0),
    ],
)
def test_a_pause_may_stand_in_the_configuration(read: Read, monkeypatch: pytest.MonkeyPatch, wait: Any, seconds: float) -> None:
    monkeypatch.setenv("WAIT", "3")

    assert read(configured(wait)).actions[0].pause_before == seconds


# -- our block -----------------------------------------------------------------------------------------------------------


def test_the_block_adds_what_chaos_toolkit_has_no_words_for(read: Read) -> None:
    made = read(
        block(
            load={"endpoint": "shop", "rate": 10, "status": [200], "timeout": "2s", "headers": {"a": 1}, "marker": "X-Pod"},
            slo={"name": "s", "availability": "99.9%", "latency": {"p95": "300ms"}, "window": "7d", "requests_per_window": 1000},
            during_fault={"availability": "97%", "latency": {"p95": "800ms"}},
            lasts="1m",
            mitigate_within=3,
            costs_at_most="0.1%",
            self_heals=["break"],
            proof={"break": PROBE},
        )
    )

    assert not made.stock
    assert made.load == cf.Load("shop", rate=10, status=(200,), timeout=2, headers={"a": "1"}, marker="x-pod")
    assert made.slo == cf.SLO("s", availability="99.9%", latency={"p95": "300ms"}, window="7d", requests_per_window=1000)
    assert made.during_fault == (cf.availability("97%"), cf.latency(p95="800ms"))
    assert (made.lasts, made.mitigate_within, made.costs_at_most) == (60.0, 3.0, 0.001)
    assert made.actions[0].self_heals
    assert made.actions[0].proof is not None
    assert made.actions[0].proof.name == "ready"


@pytest.mark.parametrize(
    ("said", "victims"),
    [
        (["web-1", "web-2"], Victims(names=("web-1", "web-2"))),
        ({"deployment": "web"}, Victims(workload={"kind": "deployment", "name": "web", "namespace": "default"})),
        (
            {"statefulset": "db", "namespace": "shop", "count": 1},
            Victims(workload={"kind": "statefulset", "name": "db", "namespace": "shop"}, count=1),
        ),
        ({"selector": "app=web", "namespace": "shop"}, Victims(selector="app=web", namespace="shop")),
    ],
)
def test_the_block_says_what_an_action_hits(read: Read, said: Any, victims: Victims) -> None:
    assert read(block(victims={"break": said})).actions[0].victims == victims


def test_an_empty_block_means_the_products_own_defaults(read: Read) -> None:
    made, plain = read(block()), Experiment(title="")

    assert (made.baseline, made.lasts, made.recover_within) == (plain.baseline, plain.lasts, plain.recover_within)
    assert made.defaults == ("baseline", "lasts", "stable_for", "recover_within", "probe_every")
    assert (made.mitigate_within, made.load) == (None, None)


# -- problems ------------------------------------------------------------------------------------------------------------

MANY = """title: [t]
steady-state-hypothesis:
  probes:
    - type: prob
      name: ready
      provider: {type: http}
    - type: action
      name: no probe
      provider: {type: python, module: m, func: f}
    - type: probe
      name: no tolerance
      provider: {type: process, path: x}
method:
  - type: action
    name: break
    backgroud: true
    pauses: {before: soon}
    provider: {type: pyton, module: m}
  - ref: nobody
  - 3
rollbacks: nothing
runtime:
  hypothesis: {strategy: continously}
"""


def test_all_problems_are_told_at_once_in_the_order_of_the_file(wrong: Wrong) -> None:
    assert wrong(MANY, name="it.yaml") == (
        "it.yaml:1: title is ['t']: a text was expected",
        "it.yaml:4: steady-state-hypothesis.probes[0].type is 'prob': did you mean 'probe'? one of probe, action was expected",
        "it.yaml:6: steady-state-hypothesis.probes[0].provider has no 'url': a text was expected",
        "it.yaml:7: steady-state-hypothesis.probes[1] is an action: only probes belong into a hypothesis",
        "it.yaml:10: steady-state-hypothesis.probes[2] has no 'tolerance': a hypothesis can not be judged without one",
        "it.yaml:16: method[0].backgroud is unknown: did you mean 'background'?",
        "it.yaml:18: method[0].provider.type is 'pyton': did you mean 'python'? one of python, http, process was expected",
        "it.yaml:19: method[1].ref is 'nobody', which names no activity of hypothesis or method; "
        "known: 'break', 'ready', 'no probe', 'no tolerance'",
        "it.yaml:20: method[2] is 3: an activity was expected",
        "it.yaml:21: rollbacks is a text: a list was expected",
        "it.yaml:23: runtime.hypothesis.strategy is 'continously': did you mean 'continuously'? "
        "one of default, before-method-only, after-method-only, during-method-only, continuously, continuous was expected",
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (whole(controls=[{"name": "c", "provider": PYTHON}]), "controls is not supported yet"),
        (acting(controls=[{"name": "c"}]), "method[0].controls is not supported yet"),
        (whole(runtime={"rollbacks": {"strategy": "never"}}), "runtime.rollbacks.strategy is 'never', which is not supported"),
        (whole(runtime={"rollbacks": {"strategy": "nevr"}}), "runtime.rollbacks.strategy is 'nevr': did you mean 'never'?"),
        (probing(pauses={"after": 3}), "steady-state-hypothesis.probes[0].pauses is not supported in a hypothesis"),
        (whole(rollbacks=[{**ACTION, "pauses": {"before": 3}}]), "rollbacks[0].pauses is not supported on a rollback"),
        (block(proof={"break": {**PROBE, "pauses": {"before": 3}}}), "extensions[1].proof.break.pauses is not supported on a proof"),
        (acting(pauses=3), "method[0].pauses is 3: a mapping with before and after was expected"),
        (acting(pauses={"before": "${wait}"}), "method[0].pauses.before is '${wait}', which the configuration does not name (known: none)"),
        (configured("soon"), "method[0].pauses.before is '${wait}', which comes to 'soon': seconds were expected"),
        (configured(True), "method[0].pauses.before is '${wait}', which comes to True: seconds were expected"),
        (configured(-1), "method[0].pauses.before is '${wait}', which comes to -1: seconds were expected"),
        (configured({"type": "env", "key": "PATH"}), "(of a variable, with env_var_type: float)"),
        (configured({"type": "env", "key": "NOBODY_SETS_THIS"}), "which comes to None: seconds were expected"),
        (configured({"type": "probe", "name": "n"}), "method[0].pauses.before is '${wait}', which a probe finds out"),
        (acting(pauses={"before": "soon"}), "method[0].pauses.before is 'soon': a duration such as"),
        (acting(background="yes"), "method[0].background is 'yes': true or false was expected"),
        (acting(provider=None), "method[0] has no 'provider'"),
        (acting(provider={"type": "python", "module": "m"}), "method[0].provider has no 'func'"),
        (acting(provider={**PYTHON, "arguments": [1]}), "method[0].provider.arguments is [1]: a mapping was expected"),
        (acting(name=None), "method[0].name is None: a text was expected"),
        (acting(provider={"type": "process"}), "method[0].provider has no 'path'"),
        (probing(tolerance={"type": "range", "range": [1]}), "tolerance has range [1]: two numbers [low, high] were expected"),
        (probing(tolerance={"type": "range"}), "tolerance has range None"),
        (probing(tolerance={"type": "regex"}), "tolerance has no 'pattern'"),
        (probing(tolerance={"type": "regex", "pattern": "["}), "tolerance has pattern '[', which is no regular expression"),
        (probing(tolerance={"type": "jsonpath"}), "tolerance has no 'path'"),
        (probing(tolerance={"type": "rnge"}), "tolerance.type is 'rnge': did you mean 'range'?"),
        (probing(tolerance={}), "tolerance has no 'type'"),
        (whole(method={"a": 1}), "method is a mapping: a list was expected"),
        (whole(configuration=[1]), "configuration is [1]: a mapping was expected"),
        (block(laod={}), "extensions[1].laod is unknown: did you mean 'load'?"),
        (block(thing={}), "extensions[1].thing is unknown: known: name, load"),
        (block(load={"endpoint": "e", "users": 3}), "extensions[1].load.users is unknown: known: endpoint"),
        (block(during_fault={"error_rate": 3}), "extensions[1].during_fault.error_rate is unknown: known: availability, latency"),
        (block(load={"rate": 0}), "extensions[1].load has no 'endpoint'"),
        (block(load={"endpoint": "e", "rate": 0}), "extensions[1].load.rate is 0: more than 0 requests"),
        (block(load={"endpoint": "e", "connection": "knew"}), "extensions[1].load.connection is 'knew': did you mean 'new'?"),
        (block(slo={"availability": "lots"}), "extensions[1].slo.availability is 'lots': a share such as '97%' was expected"),
        (block(slo={"availability": "9%", "latency": {"fast": "1s"}}), "extensions[1].slo 'fast' is not a quantile"),
        (block(during_fault={"availability": 97}), "extensions[1].during_fault availability is 97: a share lies between"),
        (block(lasts="soon"), "extensions[1].lasts is 'soon': a duration"),
        (block(self_heals=["brake"]), "extensions[1].self_heals names 'brake', which is no action of the method; actions: 'break'"),
        (block(proof={"brake": PROBE}), "extensions[1].proof.brake names 'brake', which is no action"),
        (block(proof={"break": ACTION}), "extensions[1].proof.break is no probe"),
        (block(victims={"brake": ["web-1"]}), "extensions[1].victims.brake names 'brake', which is no action"),
        (block(victims=["web-1"]), "extensions[1].victims is ['web-1']: a mapping was expected"),
        (block(victims={"break": "web-1"}), "extensions[1].victims.break is 'web-1': a list of names, or a mapping with one of"),
        (block(victims={"break": []}), "extensions[1].victims.break is []: a list of names"),
        (block(victims={"break": {"namespace": "shop"}}), "a mapping with one of deployment, statefulset, selector was expected"),
        (block(victims={"break": {"deployment": "web", "pods": 3}}), "extensions[1].victims.break.pods is unknown"),
        (block(victims={"break": {"deployment": "web", "count": 0}}), "extensions[1].victims.break.count is 0: a number of pods"),
        (
            {**block(victims={"kill": ["web-1"]}), "method": [{**KILL, "name": "kill"}]},
            "extensions[1].victims.kill is not for chaosk8s.pod.actions.terminate_pods, which chaosfw knows",
        ),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)  # fmt: skip
def test_a_problem_is_located(wrong: Wrong, content: dict[str, Any], says: str) -> None:
    found = wrong(content)

    assert any(says in one and one.startswith("it.json:") for one in found), found


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("it.json", '{"title": "t",\n "method": [}', "it.json:2: can not be read: Expecting value"),
        ("it.yaml", "title: t\nmethod:\n  - [", "it.yaml:3: can not be read: expected the node content"),
        ("it.yaml", "title: t\nmethod: []\n---\ntitle: u\n", "it.yaml:3: can not be read: but found another document"),
        ("it.yaml", "title: t\nmethod: []\nx: !Ref y\n", "it.yaml:3: can not be read: could not determine a constructor"),
        ("it.yaml", "title: t\nmethod: []\nx: \x00\n", "it.yaml:1: can not be read: "),
    ],
)
def test_a_file_that_can_not_be_read_tells_the_line(wrong: Wrong, name: str, text: str, says: str) -> None:
    (found,) = wrong(text, name=name)

    assert found.startswith(says)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"[1, 2]",
        b'{"name": "x"}',
        b'{"title": "only"}',
        b'["title", "method"]',
        b"- title: a\n- method: b\n",
        b"kind: Deployment\nmetadata: {subtitle: a method of no title}\n---\nkind: Service\n",
        "# entitlement, methodical\nname: Größe\n".encode("latin-1"),
    ],
)
@pytest.mark.parametrize("name", ["it.json", "it.yml"])
def test_files_that_are_no_experiments_are_left_alone(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    if name == "it.yml" or content.startswith((b"[", b"{")) or not content:
        assert load_file(tmp_path / name) is None


LISTED: dict[str, Any] = {"endpoint": "shop", "rate": 0.0, "connection": "keep-alive"}


@pytest.mark.parametrize(
    ("block", "load"),
    [
        (
            {"endpoint": "shop", "file": "l.py", "users": 8, "tags": ["a"], "env": {"X": 1}},
            Load(**LISTED, driver="locust", script=Script(file="l.py", users=8, tags=("a",), env={"X": "1"})),
        ),
        (
            {"endpoint": "shop", "file": "l.js"},
            Load(**LISTED, timeout=60.0, driver="k6", script=Script(file="l.js")),
        ),
        (
            {"endpoint": "shop", "file": "l.py", "rate": 30},
            Load(endpoint="shop", rate=30.0, connection="keep-alive", driver="locust", script=Script(file="l.py")),
        ),
        (
            {"endpoint": "shop", "file": "l.py", "workers": 3, "listen": "0.0.0.0:5557"},
            Load(**LISTED, driver="locust", processes=3, script=Script(file="l.py", listen="0.0.0.0:5557")),
        ),
        (
            {"endpoint": "shop", "file": "l.js", "pods": 2, "namespace": "load", "image": "k6:1", "node_selector": {"pool": "load"}},
            Load(
                **LISTED,
                timeout=60.0,
                driver="k6",
                script=Script(file="l.js", pods=2, namespace="load", image="k6:1", node_selector={"pool": "load"}),
            ),
        ),
        ({"endpoint": "shop", "driver": "k6"}, Load(endpoint="shop", driver="k6")),
        (
            {"endpoint": "shop", "rate": 5, "stages": [{"rate": 50, "within": "1m"}, {"rate": 9}], "processes": 2},
            Load(endpoint="shop", rate=5.0, stages=(Stage(rate=50.0, seconds=60.0), Stage(rate=9.0)), processes=2),
        ),
        (
            {"endpoint": "shop", "requests": [{"path": "/a", "weight": 3, "status": [204]}, {"path": "/b", "method": "POST", "body": "x"}]},
            Load(
                endpoint="shop",
                requests=(Request(path="/a", weight=3, expected_status=(204,)), Request(path="/b", method="POST", body="x")),
            ),
        ),
        (
            {"endpoint": "shop", "auth": {"basic": "ann", "variable": "PASSWORD"}, "tls": {"ca": "ca.pem", "verify": False}},
            Load(endpoint="shop", auth=Auth(kind="basic", user="ann", variable="PASSWORD"), tls=Tls(ca="ca.pem", verify=False)),
        ),
        ({"endpoint": "cache", "body": "PING", "expect": "PONG"}, Load(endpoint="cache", body="PING", expect="PONG")),
    ],
)
def test_a_load_may_be_somebodys_own_file(read: Read, block: dict[str, Any], load: Load) -> None:
    assert read(whole(extensions=[{"name": "chaosfw", "load": block}])).load == load


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"endpoint": "shop", "driver": "locust"}, "driver"),
        ({"endpoint": "shop", "file": "l.py", "path": "/x"}, "path"),
        ({"endpoint": "shop", "file": "l.py", "users": 1.5}, "a whole number above 0"),
        ({"endpoint": "shop", "users": 3}, "users"),
        ({"endpoint": "shop", "file": "l.js", "workers": 3}, "is about Locust"),
        ({"endpoint": "shop", "file": "l.py", "listen": "0.0.0.0:5557"}, "not how many"),
        ({"endpoint": "shop", "file": "l.js", "pods": 2}, "goes together: 'pods', and the 'namespace'"),
        ({"endpoint": "shop", "file": "l.js", "node_selector": {"pool": "load"}}, "goes together"),
        ({"endpoint": "shop", "stages": [{"rate": 0}]}, "load.stages[0] is no use: ramp"),
        ({"endpoint": "shop", "stages": [{"rate": 1, "for": "5s"}]}, "load.stages[0].for is unknown"),
        ({"endpoint": "shop", "requests": [{"path": "a"}]}, "a path starts with '/'"),
        ({"endpoint": "shop", "auth": {"bearer": "A", "basic": "b"}}, "one of bearer, basic, header"),
        ({"endpoint": "shop", "auth": {"bearer": "not a name"}}, "no name of an environment variable"),
        ({"endpoint": "shop", "tls": {"key": "k.pem"}}, "no certificate="),
        ({"endpoint": "shop", "driver": "k6", "expect": "x"}, "expect= is not for it"),
        ({"endpoint": "shop", "file": "l.py", "stages": []}, "stages"),
        ({"endpoint": "shop", "file": "l.py", "rate": 0}, "more than 0 requests"),
    ],
)
def test_what_does_not_fit_a_load_is_located(wrong: Wrong, block: dict[str, Any], words: str) -> None:
    (problem,) = wrong(whole(extensions=[{"name": "chaosfw", "load": block}]))

    assert words in problem
