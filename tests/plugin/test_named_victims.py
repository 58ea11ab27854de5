"""An action that no FaultKind knows, with a load: held when it says what it hits, and inconclusive when it does not."""

from __future__ import annotations

import json

from tests.plugin.conftest import Workspace

SCALED = """
def scaled(replicas, **more):
    return cf.toolkit(
        "chaosk8s.deployment.actions", "scale_deployment", name=f"scale to {replicas}",
        arguments={"name": "myapp", "ns": "shop", "replicas": replicas}, **more,
    )


proof = cf.probe("chaosfw.activities.kubernetes.available_replicas", 2, arguments={"name": "myapp", "namespace": "shop"})
"""
FILE = {
    "title": "The shop survives with two pods",
    "description": "Scaled down by stock chaosk8s, under load.",
    "steady-state-hypothesis": {
        "title": "at least two pods are ready",
        "probes": [
            {
                "type": "probe",
                "name": "pods-ready",
                "tolerance": {"type": "range", "range": [2, 4]},
                "provider": {
                    "type": "python",
                    "module": "chaosfw.activities.kubernetes",
                    "func": "ready_pods",
                    "arguments": {"name": "myapp", "namespace": "shop"},
                },
            }
        ],
    },
    "method": [
        {
            "type": "action",
            "name": "scale-down",
            "provider": {
                "type": "python",
                "module": "chaosk8s.deployment.actions",
                "func": "scale_deployment",
                "arguments": {"name": "myapp", "ns": "shop", "replicas": 2},
            },
        },
        {
            "type": "probe",
            "name": "meanwhile",
            "background": True,
            "pauses": {"before": 0.1},
            "provider": {"type": "process", "path": "true", "timeout": 5},
        },
    ],
    "rollbacks": [
        {
            "type": "action",
            "name": "scale-up",
            "provider": {
                "type": "python",
                "module": "chaosk8s.deployment.actions",
                "func": "scale_deployment",
                "arguments": {"name": "myapp", "ns": "shop", "replicas": 3},
            },
        }
    ],
    "extensions": [
        {
            "name": "chaosfw",
            "load": {"endpoint": "shop", "path": "/", "rate": 120},
            "recover_within": "10s",
            "proof": {
                "scale-down": {
                    "type": "probe",
                    "name": "two-left",
                    "tolerance": 2,
                    "provider": {
                        "type": "python",
                        "module": "chaosfw.activities.kubernetes",
                        "func": "available_replicas",
                        "arguments": {"name": "myapp", "namespace": "shop"},
                    },
                }
            },
            "victims": {"scale-down": {"deployment": "myapp", "namespace": "shop", "count": 1}},
        }
    ],
}


def test_an_action_that_names_its_victims_is_held_under_load(workspace: Workspace) -> None:
    workspace.experiments(
        SCALED
        + """
down = scaled(2, undo=scaled(3), proof=proof, victims=web.pods(count=1))


@cf.experiment(base.but("survives with two", down, recover_within="10s"))
def test_two(chaos: cf.Chaos) -> None:
    assert chaos.run().verdict == "held"
"""
    )
    ran = workspace.run()

    assert ran.code == 0, ran.output
    (action,) = ran.record()["actions"]
    assert {target["kind"] for target in action["targets"]} == {"pod"}
    assert len(ran.record()["exposure"]["reached"]) == 3


def test_an_action_that_names_nothing_is_inconclusive_and_is_told_how(workspace: Workspace) -> None:
    workspace.experiments(
        SCALED
        + """
@cf.experiment(base.but("survives with two", scaled(2, undo=scaled(3), proof=proof), recover_within="10s"))
def test_two(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 10, ran.output
    assert ran.verdicts() == ["inconclusive"]
    assert "say what scale to 2 hits, with victims=" in ran.output


def test_guards_see_what_an_action_says_it_hits(workspace: Workspace) -> None:
    """All pods at once are more than the limit; nothing is called."""
    workspace.experiments(
        SCALED
        + """
@cf.experiment(base.but("all at once", scaled(0, undo=scaled(3), proof=proof, victims=web)))
def test_none(chaos: cf.Chaos) -> None:
    chaos.run()


@cf.experiment(base.but("nobody", scaled(0, undo=scaled(3), proof=proof, victims=k8s.pods("app=nobody", namespace="shop"))))
def test_nobody(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 11, ran.output
    assert "3 of 3 pods of deployment shop/myapp would be hit, allowed: 34 % = 1" in ran.output
    assert "no pod with 'app=nobody' in namespace 'shop' is running" in ran.output


def test_a_file_says_what_its_action_hits(workspace: Workspace) -> None:
    """And its probe in the background is recorded, beside the hypothesis."""
    workspace.write("experiments/scaling.json", json.dumps(FILE, indent=2))
    ran = workspace.run("experiments/scaling.json")

    assert ran.code == 0, ran.output
    assert ran.verdicts() == ["held"]
    (meanwhile,) = [one for one in ran.record()["probes"] if one["name"] == "meanwhile"]
    assert meanwhile["evaluations"] == 1
