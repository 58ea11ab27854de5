"""What an experiment calls a namespace becomes what the environment calls it, everywhere, and nothing else changes."""

from __future__ import annotations

import pytest

from chaosfw.faults import kubernetes as k8s
from chaosfw.model.activity import Action, HttpProvider, Hypothesis, Probe, PythonProvider
from chaosfw.model.experiment import Experiment
from chaosfw.model.struct import Json, but
from chaosfw.planning.namespaces import named, real, translated, words

HERE = {"shop": "shop-stg", "bank": "bank", "shop-stg": "elsewhere"}


def call(module: str, **arguments: Json) -> PythonProvider:
    return PythonProvider(module=module, func="f", arguments=arguments)


def probe(module: str = "chaosk8s.pod.probes", **arguments: Json) -> Probe:
    return Probe(name="p", provider=call(module, **arguments))


def action_of(action: Action) -> Action:
    return translated(Experiment(title="t", method=(action,)), HERE).actions[0]


@pytest.mark.parametrize(
    ("action", "where"),
    [
        (k8s.kill(k8s.deployment("web", namespace="shop")), ("shop-stg",)),
        (k8s.kill(selector="app=web", namespace="shop"), ("shop-stg",)),
        (k8s.drain(hosting=k8s.deployment("web", namespace="shop")), ("shop-stg",)),
        (k8s.drain("node-1"), ()),
        (Action(name="a", provider=call("m"), select={"pods": {"namespace": "shop", "selector": "a=b"}}), ("shop-stg",)),
        (Action(name="a", provider=call("chaosk8s.pod.actions", ns="shop")), ("shop-stg",)),
        (Action(name="a", provider=call("chaosk8s.node.actions", pod_namespace="shop")), ("shop-stg",)),
        (Action(name="a", provider=call("chaosk8s.crd.actions", namespace="shop")), ("shop-stg",)),
        (Action(name="a", provider=call("chaosfw.activities.kubernetes", namespace="shop")), ("shop-stg",)),
    ],
)
def test_every_place_where_an_action_names_a_namespace(action: Action, where: tuple[str, ...]) -> None:
    assert named(action_of(action)) == where


def test_probes_rollbacks_and_proofs_are_translated_too() -> None:
    back = Action(name="back", provider=call("chaosk8s.pod.actions", ns="shop"))
    broken = Action(name="a", provider=call("m"), rollbacks=(back,), proof=probe(ns="shop"))
    normal = Hypothesis(title="up", probes=(k8s.deployment("web", namespace="shop").ready(at_least=1),))

    made = translated(Experiment(title="t", steady_state=normal, method=(broken, probe(ns="shop")), rollbacks=(back,)), HERE)

    assert made.steady_state is not None
    proof = made.actions[0].proof
    assert proof is not None
    everything = [*made.steady_state.probes, *made.actions[0].rollbacks, proof, *made.probes, *made.rollbacks]
    assert [named(one) for one in everything] == [("shop-stg",)] * 5


@pytest.mark.parametrize(
    "provider",
    [
        call("somebody.else", ns="shop", namespace="shop"),
        call("chaosfw.activities.net", address="shop:80"),
        call("chaosk8s.pod.actions", label_selector="shop", ns=None),
        HttpProvider(url="http://shop/"),
    ],
)
def test_what_names_no_namespace_of_ours_stays(provider: PythonProvider | HttpProvider) -> None:
    action = Action(name="a", provider=provider)

    assert action_of(action) == action


@pytest.mark.parametrize(
    ("written", "here"),
    [
        ("shop", "shop-stg"),
        ("shop-prod", "shop-prod"),
        ("bank", "bank"),
    ],
)
def test_a_name_that_is_no_logical_one_stays(written: str, here: str) -> None:
    assert real(written, HERE) == here


def test_a_real_name_is_not_followed_again() -> None:
    """What ``shop`` means is final, although somebody else calls another namespace ``shop-stg``."""
    assert named(action_of(k8s.kill(selector="a=b", namespace="shop"))) == ("shop-stg",)


def test_without_a_declaration_nothing_changes() -> None:
    experiment = Experiment(title="t", method=(k8s.kill(selector="a=b", namespace="shop"),))

    assert translated(experiment, {}) is experiment
    assert translated(experiment, {"bank": "b"}) == but(experiment)


def test_the_names_are_told_with_what_they_mean() -> None:
    assert words({"shop": "shop-stg", "bank": "bank"}) == "bank, shop (here shop-stg)"
