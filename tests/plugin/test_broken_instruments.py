"""When the place or the app is not what it should be: never green, and said in words."""

from __future__ import annotations

import json

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import Workspace
from tests.plugin.test_way_back import DEADLINE, in_phase


def test_an_app_that_fails_before_the_run_is_inconclusive_and_nothing_is_injected(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Every request is answered with an error: the baseline never held, so nothing is broken on top of it."""
    workspace.experiments(
        """
@cf.experiment(base.but("down", k8s.kill(web, count=1), steady_state=cf.Hypothesis("serves", cf.http("shop", path="/health", status=204))))
def test_it(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 10, ran.output
    assert "the system was not normal before" in ran.output
    assert ran.record()["fault_call"] is None


def test_an_environment_that_does_not_come_up_refuses_once_and_blocks_the_rest(workspace: Workspace) -> None:
    workspace.variables["CHAOSFW_SANDBOX"] = str(workspace.path / "no-such-sandbox")
    workspace.experiments(
        """
@cf.experiment(base.but("one", k8s.kill(web, count=1)))
def test_one(chaos: cf.Chaos) -> None:
    chaos.run()

@cf.experiment(base.but("two", k8s.kill(web, count=1)))
def test_two(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 11, ran.output
    assert ran.verdicts() == ["refused", "blocked"] or ran.verdicts() == ["blocked", "refused"]
    assert "no sandbox runs at" in ran.output
    assert "chaosfw sandbox up" in ran.output
    assert "Traceback" not in ran.output


def test_a_deploy_in_the_middle_is_named_and_nothing_is_claimed(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Whatever is seen after somebody's deploy may be the deploy's work: neither held nor deviated."""
    workspace.experiments('@cf.experiment(base.but("lost", k8s.kill(web, count=1), lasts="8s"))\ndef test_it(chaos):\n    chaos.run()\n')
    api, path = Cluster(str(cluster.kubeconfig)), "/apis/apps/v1/namespaces/shop/deployments/myapp"
    runner = workspace.start()
    in_phase(workspace, "hold")

    api.patch(path, {"spec": {"template": {"metadata": {"annotations": {"somebody": "deploys"}}}}})
    output, _ = runner.communicate(timeout=DEADLINE)
    api.patch(path, {"spec": {"template": {"metadata": {"annotations": {"somebody": None}}}}})

    assert runner.returncode == 10, output
    (line,) = json.loads((workspace.path / "reports" / "latest" / "gameday.json").read_text())["runs"]
    assert (line["verdict"], line["safety"]) == ("inconclusive", "clean")
    assert "myapp was deployed: its template changed, and not by this run" in " ".join(line["reasons"]) + line["sentence"]
