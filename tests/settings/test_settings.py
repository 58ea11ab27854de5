"""Settings: layered with origins, checked as a whole, and never widened from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfw.errors import DefinitionError, UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Limits, Target
from chaosfw.model.experiment import Experiment
from chaosfw.model.facts import Facts, PodFacts
from chaosfw.model.fault import Bound
from chaosfw.model.plan import Plan
from chaosfw.planning import guards
from chaosfw.settings import EndpointSettings, Settings, limits_in_words, load, narrowed


def loaded(folder: Path, text: str, *, variables: dict[str, str] | None = None, flags: dict[str, Any] | None = None) -> Settings:
    (folder / "pyproject.toml").write_text(text)
    return load(folder, variables=variables or {}, flags=flags or {})


def problems(folder: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        loaded(folder, text)
    return caught.value.problems


TWO = '[tool.chaosfw]\nenvironment = "a"\nseed = 1\n[tool.chaosfw.environments]\na = {}\nb = {}\nc = {}\n'


def test_without_a_file_there_is_a_sandbox(tmp_path: Path) -> None:
    settings = load(tmp_path, variables={}, flags={})

    assert settings.chosen().kind == "sandbox"
    assert settings.chosen().limits == Limits()
    assert set(settings.origins.values()) == {"default"}


def test_a_file_without_our_table_is_like_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, "[project]\nname = 'x'\n").environment == "sandbox"


@pytest.mark.parametrize(
    ("variables", "flags", "chosen", "origin"),
    [
        ({}, {}, "a", "pyproject.toml [tool.chaosfw]"),
        ({"CHAOSFW_ENVIRONMENT": "b"}, {}, "b", "CHAOSFW_ENVIRONMENT"),
        ({"CHAOSFW_ENVIRONMENT": "b"}, {"environment": "c"}, "c", "--chaos-environment"),
        ({"CHAOSFW_ENVIRONMENT": ""}, {"environment": None}, "a", "pyproject.toml [tool.chaosfw]"),
    ],
)
def test_flags_win_over_variables_over_the_file(
    tmp_path: Path, variables: dict[str, str], flags: dict[str, Any], chosen: str, origin: str
) -> None:
    settings = loaded(tmp_path, TWO, variables=variables, flags=flags)

    assert (settings.chosen().name, settings.origins["environment"]) == (chosen, origin)


def test_every_value_knows_its_origin(tmp_path: Path) -> None:
    settings = loaded(tmp_path, TWO, variables={"CHAOSFW_REPORTS": "out"}, flags={"lock_timeout": "2m"})

    assert settings.reports == tmp_path / "out"
    assert settings.lock_timeout == 120.0
    assert settings.seed == 1
    assert {name: origin for name, origin in settings.origins.items() if not name.startswith("limits.")} == {
        "environment": "pyproject.toml [tool.chaosfw]",
        "reports": "CHAOSFW_REPORTS",
        "seed": "pyproject.toml [tool.chaosfw]",
        "lock_timeout": "--chaos-lock-timeout",
        "k6": "default",
    }


def test_a_seed_that_is_no_number_names_its_origin(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"seed is 'six' \(from CHAOSFW_SEED\): a whole number"):
        loaded(tmp_path, "", variables={"CHAOSFW_SEED": "six"})


def test_an_unknown_environment_is_named_with_its_origin_and_its_neighbour(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[tool.chaosfw.environments.staging]", variables={"CHAOSFW_ENVIRONMENT": "stagin"})

    with pytest.raises(UsageError, match=r"'stagin' \(from CHAOSFW_ENVIRONMENT\) is not declared; did you mean 'staging'\?") as caught:
        settings.chosen()
    assert caught.value.hint == "declared: sandbox, staging"


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pyproject\.toml: .*line 1"):
        loaded(tmp_path, "= 3")


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    text = """
    [tool.chaosfw]
    enviroment = "x"
    defaults = { baseline = "soon", lats = "3s" }
    limits = { pods = "lots", budget = "500%", protect = "chaos=never", pod = 1 }
    [tool.chaosfw.environments.staging]
    context = "stg"
    nodes = "three"
    manifests = "a.yaml"
    kind = "kubernets"
    limits = 3
    [tool.chaosfw.environments.real]
    context = "prod"
    """

    found = problems(tmp_path, text)

    assert found == (
        "unknown enviroment: did you mean 'environment'? Known: environment, defaults, limits, environments, reports, seed, lock_timeout, "
        "k6",
        "unknown limits.pod: did you mean 'pods'? Known: pods, nodes, zones, budget, protect, opt_in, min_ready",
        "limits.pods is 'lots': a share such as '97%' was expected",
        "limits.budget is '500%': a share lies between 0% and 100%",
        "limits.protect is 'chaos=never': list was expected",
        "environments.staging.manifests is 'a.yaml': list was expected",
        "environments.staging.nodes is 'three': int was expected",
        "environments.staging.kind is 'kubernets': one of sandbox, kubernetes was expected",
        "environments.staging.limits is 3: a table was expected",
        "environments.real.server is missing: the API server that context 'prod' must really point at",
        "defaults.baseline is 'soon': a duration such as '20s', '1m30s' or '300ms' was expected",
        "unknown defaults.lats: did you mean 'lasts'? Known: baseline, lasts, stable_for, recover_within, probe_every",
    )


@pytest.mark.parametrize("key", ["environments", "defaults"])
def test_a_table_that_is_none_is_a_problem_and_not_a_crash(tmp_path: Path, key: str) -> None:
    assert problems(tmp_path, f"[tool.chaosfw]\n{key} = 3\n") == (f"{key} is 3: dict was expected",)


def test_an_environment_says_what_it_is(tmp_path: Path) -> None:
    text = """
    [tool.chaosfw.limits]
    pods = "50%"
    protect = ["team=pay"]
    [tool.chaosfw.environments.staging]
    context = "stg"
    server = "https://stg:6443"
    identity = "uid"
    accept_manual_heal = "no reaper yet"
    namespaces = { shop = "shop-stg" }
    endpoints = { shop = "https://shop.stg.example" }
    zones = ["a", "b"]
    limits = { nodes = 2, protect = ["tier=db"] }
    """

    staging = loaded(tmp_path, text, flags={"environment": "staging"}).chosen()

    assert (staging.kind, staging.context, staging.server, staging.identity) == ("kubernetes", "stg", "https://stg:6443", "uid")
    assert (staging.namespaces, staging.zones) == ({"shop": "shop-stg"}, ("a", "b"))
    assert staging.endpoints == {"shop": EndpointSettings(where="https://shop.stg.example")}
    assert staging.limits == Limits(pods=0.5, nodes=2, protect=("chaos=never", "team=pay", "tier=db"))


def test_an_endpoint_names_the_service_behind_its_url(tmp_path: Path) -> None:
    text = '[tool.chaosfw.environments.sandbox]\nendpoints.shop = { url = "https://shop.example", service = "shop/web" }\n'

    assert loaded(tmp_path, text).chosen().endpoints == {"shop": EndpointSettings(where="https://shop.example", service="shop/web")}


def test_an_endpoint_that_is_wrong_is_told_in_words(tmp_path: Path) -> None:
    text = """
    [tool.chaosfw.environments.sandbox.endpoints]
    a = 3
    b = { service = "web" }
    c = { url = "https://c", sevice = "shop/web" }
    """

    assert problems(tmp_path, text) == (
        "environments.sandbox.endpoints.a is 3: a URL, service/<namespace>/<name>:<port> or { url = …, service = … } was expected",
        "environments.sandbox.endpoints.b.url is None: a URL was expected",
        "environments.sandbox.endpoints.b.service is 'web': '<namespace>/<name>' was expected",
        "unknown environments.sandbox.endpoints.c.sevice: did you mean 'service'? Known: url, service",
    )


def test_defaults_are_durations(tmp_path: Path) -> None:
    assert loaded(tmp_path, '[tool.chaosfw]\ndefaults = { baseline = "1m", lasts = 3 }\n').defaults == {"baseline": 60.0, "lasts": 3.0}


# -- narrowing -----------------------------------------------------------------------------------------------------------

bounds = st.none() | st.integers(0, 5) | st.floats(0, 1).filter(lambda share: share == 0 or share > 1e-6)
limits = st.builds(
    Limits, pods=bounds, nodes=bounds, zones=bounds, budget=st.none() | st.floats(0, 1), protect=st.lists(st.sampled_from("abc")).map(tuple)
)


def passes(hit: int, there: int, *, environment: Limits, experiment: Limits | None) -> bool:
    """Whether so many of a workload's pods may be killed, as a run asks it."""
    targets = [Target(kind="pod", name=str(number), namespace="s", uid=str(number)) for number in range(there)]
    facts = Facts(pods=tuple(PodFacts(target=target, workload="deployment s/w") for target in targets))
    action = Action(name="kill", provider=PythonProvider(module="m", func="f"), self_heals=True)
    bound = Bound(action=action, fault="kubernetes.kill/1", targets=tuple(targets[:hit]), self_heals=True)
    written = Experiment(title="t", limits=experiment)
    plan = Plan(experiment=written, environment=Environment(name="e", kind="sandbox"), seed=1, bound=(bound,))
    found = guards.refusals(plan, facts, narrowed(environment, experiment))
    return "limits.pods" not in [one.slug for one in found]


@given(wide=limits, narrow=limits, there=st.integers(1, 9), share=st.floats(0, 1))
def test_narrowing_never_widens_and_always_narrows(wide: Limits, narrow: Limits, there: int, share: float) -> None:
    """What either of the two forbids is forbidden."""
    hit = round(share * there)
    both = passes(hit, there, environment=wide, experiment=narrow)

    assert both == (passes(hit, there, environment=wide, experiment=None) and passes(hit, there, environment=narrow, experiment=None))


@given(wide=limits, narrow=limits)
def test_protection_and_budget_only_grow_stricter(wide: Limits, narrow: Limits) -> None:
    made = narrowed(wide, narrow)

    assert set(made.protect) == {*wide.protect, *narrow.protect}
    assert made.budget == min((one for one in (wide.budget, narrow.budget) if one is not None), default=None)


@given(limits)
def test_nothing_to_narrow_changes_nothing(wide: Limits) -> None:
    assert narrowed(wide, None) is wide


# -- narrowing from outside ------------------------------------------------------------------------------------------------

FILE = '[tool.chaosfw.limits]\npods = "34%"\nnodes = 2\nprotect = ["team=pay"]\n'
WHERE = "pyproject.toml [tool.chaosfw]"


def test_variables_and_flags_make_limits_stricter(tmp_path: Path) -> None:
    variables = {"CHAOSFW_LIMIT_PODS": "20%", "CHAOSFW_LIMIT_ZONES": "0", "CHAOSFW_LIMIT_PROTECT": "a=b, c", "CHAOSFW_LIMIT_NODES": ""}
    flags = {"limits": ["pods=10%", "nodes=1", "budget=1%", "protect=tier=db"]}

    settings = loaded(tmp_path, FILE, variables=variables, flags=flags)

    assert settings.chosen().limits == Limits(
        pods=0.1, nodes=1, zones=0, budget=0.01, protect=("chaos=never", "team=pay", "a=b", "c", "tier=db")
    )
    assert settings.chosen().beside is None
    assert settings.notes == ()
    assert {key: origin for key, origin in settings.origins.items() if key.startswith("limits.")} == {
        "limits.pods": "--chaos-limit",
        "limits.nodes": "--chaos-limit",
        "limits.zones": "CHAOSFW_LIMIT_ZONES",
        "limits.budget": "--chaos-limit",
        "limits.protect": f"default, {WHERE}, CHAOSFW_LIMIT_PROTECT, --chaos-limit",
    }


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (
            "pods=50%",
            f"--chaos-limit pods=50% would widen limits.pods, which stays 34% (from {WHERE}): outside the file it can only narrow",
        ),
        ("nodes=3", f"--chaos-limit nodes=3 would widen limits.nodes, which stays 2 (from {WHERE}): outside the file it can only narrow"),
        ("zones=2", "--chaos-limit zones=2 would widen limits.zones, which stays 1 (from default): outside the file it can only narrow"),
    ],
)
def test_what_would_widen_changes_nothing_and_says_so(tmp_path: Path, asked: str, says: str) -> None:
    plain, settings = loaded(tmp_path, FILE), loaded(tmp_path, FILE, flags={"limits": [asked]})

    assert settings.notes == (says,)
    assert (settings.chosen(), settings.origins) == (plain.chosen(), plain.origins)


def test_what_changes_nothing_by_being_equal_says_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, FILE, flags={"limits": ["pods=34%", "nodes=2"]}).notes == ()


def test_a_count_stands_beside_a_share(tmp_path: Path) -> None:
    """They can not be compared, so both are kept, and a later count is compared with the earlier one."""
    settings = loaded(tmp_path, FILE, variables={"CHAOSFW_LIMIT_PODS": "2"}, flags={"limits": ["pods=3"]})
    chosen = settings.chosen()

    assert chosen.beside is not None
    assert (chosen.limits.pods, chosen.beside.pods, chosen.beside.nodes) == (0.34, 2, None)
    assert settings.origins["limits.pods"] == f"{WHERE}, beside it CHAOSFW_LIMIT_PODS"
    assert [note.partition(",")[0] for note in settings.notes] == ["--chaos-limit pods=3 would widen limits.pods"]
    assert limits_in_words(chosen)["pods"] == "34% and 2"


def test_only_the_chosen_environment_is_narrowed(tmp_path: Path) -> None:
    settings = loaded(tmp_path, TWO, flags={"limits": ["pods=0"], "environment": "b"})

    assert [settings.environments[name].limits.pods for name in "abc"] == [0.34, 0, 0.34]


def test_everything_wrong_about_limits_from_outside_is_told_at_once(tmp_path: Path) -> None:
    variables = {"CHAOSFW_LIMIT_NODE": "1", "CHAOSFW_LIMIT_BUDGET": "2"}
    flags = {"limits": ["pods", "zones=many", "protect=,", "pods=-1"]}

    with pytest.raises(UsageError) as caught:
        loaded(tmp_path, "", variables=variables, flags=flags)

    assert caught.value.message.split("; ") == [
        "--chaos-limit 'pods': NAME=VALUE was expected",
        "CHAOSFW_LIMIT_BUDGET=2 is '2': a share such as '97%' was expected",
        "CHAOSFW_LIMIT_NODE=1: there is no limit 'node', did you mean 'nodes'?",
        "--chaos-limit zones=many is 'many': a share such as '97%' was expected",
        "--chaos-limit protect=,: a label (key or key=value) was expected",
        "--chaos-limit pods=-1 is '-1': a share such as '97%' was expected",
    ]
    assert caught.value.hint is not None
    assert "pods, nodes, zones, budget, protect" in caught.value.hint


written = st.one_of(st.integers(0, 5).map(str), st.integers(0, 100).map(lambda part: f"{part}%"))


@given(asked=st.lists(written, max_size=4), hit=st.integers(0, 9), there=st.integers(1, 9))
def test_whatever_is_asked_outside_never_widens(tmp_path_factory: pytest.TempPathFactory, asked: list[str], hit: int, there: int) -> None:
    """What the file forbids stays forbidden, and what any variable or flag forbids is forbidden as well."""
    folder = tmp_path_factory.getbasetemp()
    chosen = loaded(folder, FILE, flags={"limits": [f"pods={one}" for one in asked]}).chosen()
    each = [Limits(pods=int(one) if one.isdecimal() else int(one[:-1]) / 100) for one in asked]

    now = passes(min(hit, there), there, environment=chosen.limits, experiment=chosen.beside)

    assert now == all(passes(min(hit, there), there, environment=one, experiment=None) for one in [Limits(pods=0.34), *each])


@pytest.mark.parametrize(
    ("written", "said", "left"),
    [("", "", None), ('"40%"', "", 0.4), ("", "12%", 0.12), ('"40%"', "12%", 0.12), ('"40%"', "90%", 0.4), ('"40%"', "0%", 0.0)],
)
def test_of_two_words_on_what_is_left_of_the_budget_the_smaller_counts(tmp_path: Path, written: str, said: str, left: float | None) -> None:
    text = "[tool.chaosfw.environments.sandbox]\n" + (f"budget_left = {written}\n" if written else "")

    assert loaded(tmp_path, text, variables={"CHAOSFW_BUDGET_LEFT": said}).chosen().budget_left == left


def test_what_is_left_of_the_budget_has_to_be_a_share(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="CHAOSFW_BUDGET_LEFT"):
        loaded(tmp_path, "", variables={"CHAOSFW_BUDGET_LEFT": "a lot"})
    assert any("environments.sandbox.budget_left" in one for one in problems(tmp_path, TWO_LEFT))


TWO_LEFT = '[tool.chaosfw.environments.sandbox]\nbudget_left = "a lot"\n'
