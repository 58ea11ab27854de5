"""--chaos-replay: the same targets again, or a refusal that says which of them it can not be."""

from __future__ import annotations

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import Workspace

TWO = """
@cf.experiment(base.but("one pod", k8s.kill(web, count=1)))
def test_one(chaos):
    chaos.run()

@cf.experiment(base.but("a node", k8s.drain(hosting=web)))
def test_two(chaos):
    chaos.run()
"""


def drained(workspace: Workspace) -> list[str]:
    ((run,),) = ([line for line in workspace.day()["runs"] if line["title"] == "a node"],)
    return [word for word in run["broke"].split(", ") if word.startswith("drain node")]


def test_a_run_is_replayed_on_the_same_targets(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    workspace.experiments(TWO)
    assert workspace.run("--chaos-seed", "7").code == 0
    first, day = drained(workspace), (workspace.path / "reports" / "latest").resolve()

    again = workspace.run("--chaos-seed", "8", "--chaos-replay", str(day))
    assert again.code == 0, again.output
    assert again.verdicts() == ["held", "held"]
    assert drained(workspace) == first

    (node,) = [word.rpartition(" ")[2] for word in first]
    api = Cluster(str(cluster.kubeconfig))
    api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
    refused = workspace.run("--chaos-replay", str(next(day.glob("runs/*-a-node"))))
    api.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}})
    assert refused.code == 11, refused.output
    assert f"replay: node {node} would not be hit again" in refused.output
    assert "1 skipped" in refused.output


def test_what_can_not_be_replayed_is_said_at_once(workspace: Workspace) -> None:
    workspace.experiments(TWO)

    ran = workspace.run("--chaos-replay", "reports/nowhere")

    assert ran.code == 4
    assert "--chaos-replay: reports/nowhere is not a game-day folder" in ran.output
