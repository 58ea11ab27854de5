"""What counts as hit again. Pure."""

from __future__ import annotations

from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.experiment import Experiment
from chaosfw.model.facts import Facts, PodFacts
from chaosfw.model.fault import Bound
from chaosfw.model.plan import Plan
from chaosfw.planning.replay import deviations


def pod(name: str, node: str) -> Target:
    return Target(kind="pod", name=name, namespace="shop", uid=f"uid-{name}", node=node)


def plan(*targets: Target, place: str = "staging", intent: str = "i") -> Plan:
    action = Action(name="kill", provider=PythonProvider(module="m", func="f"))
    environment = Environment(name=place, kind="sandbox")
    bound = (Bound(action=action, fault="kubernetes.kill/1", targets=targets),)
    return Plan(experiment=Experiment(title="t"), environment=environment, seed=1, bound=bound, intent=intent, digest="d")


def facts(*targets: Target) -> Facts:
    return Facts(pods=tuple(PodFacts(target=one, labels={}, workload="deployment shop/web", ready=True) for one in targets))


def test_a_replaced_pod_of_the_same_workload_on_the_same_node_is_the_same() -> None:
    old, new = pod("web-5f7-aaaaa", "node-1"), pod("web-5f7-bbbbb", "node-1")

    assert list(deviations(plan(new), plan(old), facts(new))) == []


def test_another_node_and_another_workload_are_others() -> None:
    old = pod("web-5f7-aaaaa", "node-1")

    for new in (pod("web-5f7-bbbbb", "node-2"), pod("api-5f7-bbbbb", "node-1")):
        (refusal,) = deviations(plan(new), plan(old), Facts())
        assert refusal.slug == "replay"
        assert refusal.sentence == "a pod of shop/web on node-1 would not be hit again"


def test_two_on_one_node_are_two() -> None:
    old = (pod("web-5f7-aaaaa", "node-1"), pod("web-5f7-bbbbb", "node-1"))

    assert len(list(deviations(plan(old[0]), plan(*old), facts(*old)))) == 1


def test_another_experiment_or_place_is_no_replay() -> None:
    one = pod("web-5f7-aaaaa", "node-1")

    assert ["on staging" in str(each) for each in deviations(plan(one, place="production"), plan(one), facts(one))] == [True]
    assert ["has changed" in str(each) for each in deviations(plan(one, intent="j"), plan(one), facts(one))] == [True]
