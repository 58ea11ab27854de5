"""What is somebody else's work in the middle of our run, and what is only how a system answers a fault."""

from __future__ import annotations

import pytest

from chaosfw.drivers.toolkit.plain import Plain
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.event import ClusterSaw, Sight
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import PLAIN, Bound
from chaosfw.model.plan import Plan
from chaosfw.planning.foreign import concerns, why_foreign

ACTION = Action(name="break", provider=PythonProvider(module="made.up", func="break_it"))
POD = Target(kind="pod", name="web-1", namespace="shop", uid="p1", node="n1")
NODE = Target(kind="node", name="n1", uid="n1")


def plan(*targets: Target, fault: str = "made.up/1", **changes: object) -> Plan:
    bound = Bound(action=ACTION, fault=fault, targets=targets)
    place = Environment(name="made-up", kind="sandbox", **changes)  # type: ignore[arg-type]  # fields of the noun
    return Plan(experiment=Experiment(title="x"), environment=place, seed=1, bound=(bound,))


def saw(reason: Sight, *, kind: str = "deployment", name: str = "web", namespace: str = "shop") -> ClusterSaw:
    return ClusterSaw(at=1, what=f"{name} was {reason}", reason=reason, subject=Target(kind=kind, name=name, namespace=namespace))


@pytest.mark.parametrize("reason", [Sight.deployed, Sight.scaled])
def test_a_deploy_or_scale_beside_the_fault_is_foreign(reason: Sight) -> None:
    assert why_foreign(saw(reason), plan(POD), called=True) == f"web was {reason}, and not by this run"


@pytest.mark.parametrize("reason", [one for one in Sight if one not in (Sight.deployed, Sight.scaled, Sight.cordoned, Sight.uncordoned)])
def test_how_a_system_answers_a_fault_is_foreign_to_nobody(reason: Sight) -> None:
    assert not why_foreign(saw(reason, kind="pod", name="web-1"), plan(POD), called=True)


def test_a_deploy_elsewhere_is_nobody_s_concern() -> None:
    assert not why_foreign(saw(Sight.deployed, namespace="billing"), plan(POD), called=True)


def test_a_cordon_of_a_node_that_carries_what_is_hit_is_foreign_unless_it_is_the_fault() -> None:
    cordon = saw(Sight.cordoned, kind="node", name="n1", namespace="")

    assert why_foreign(cordon, plan(POD), called=True)
    assert not why_foreign(cordon, plan(POD, NODE), called=True)
    assert not why_foreign(saw(Sight.cordoned, kind="node", name="n9", namespace=""), plan(POD), called=True)


def test_from_the_call_of_an_unadorned_action_on_changes_may_be_its_work() -> None:
    assert Plain.name == PLAIN
    assert why_foreign(saw(Sight.scaled), plan(POD, fault=PLAIN), called=False)
    assert not why_foreign(saw(Sight.scaled), plan(POD, fault=PLAIN), called=True)


def test_what_concerns_a_run_is_where_its_pods_are_or_where_it_may_reach() -> None:
    here, there, system = (Target(kind="pod", name="x", namespace=name) for name in ("shop", "billing", "kube-system"))

    assert concerns(plan(POD), here)
    assert not concerns(plan(POD), there)
    assert concerns(plan(NODE, namespaces={"shop": "shop"}), here)
    assert not concerns(plan(NODE, namespaces={"shop": "shop"}), there)
    assert concerns(plan(NODE), there)
    assert not concerns(plan(NODE), system)
