"""A machine without power in a whole experiment: nobody announces it, users meet silence, and everything is on again afterwards."""

from __future__ import annotations

import json
import subprocess

from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import Workspace

ONE = """
@cf.experiment(base.but(
    "survives a machine without power", k8s.stop_machine("node-2"), lasts="4s", recover_within="10s",
    during_fault=[cf.availability({allowed!r})],
    load=cf.Load("shop", rate=120, timeout="500ms"),
))
def test_power(chaos):
    chaos.run()
"""


def test_a_machine_without_power_is_silence_and_a_way_back(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """After four seconds the cluster has not noticed anything: a third of the requests finds nobody."""
    workspace.experiments(ONE.format(allowed="20%"))

    ran = workspace.run()

    assert ran.verdicts() == ["held"], ran.output
    record = ran.record()
    (action,) = record["actions"]
    assert {target["kind"] for target in action["targets"]} == {"node", "pod"}
    assert set(cluster.machines().values()) == {"on"}
    environment = workspace.variables | {"KUBECONFIG": str(cluster.kubeconfig)}
    told = subprocess.run(["kubectl", "get", "node", "node-2", "-o", "json"], env=environment, capture_output=True, text=True, check=True)
    node = json.loads(told.stdout)
    assert not [name for name in node["metadata"].get("annotations", {}) if name.startswith("chaosfw.dev/")]
    assert {one["type"]: one["status"] for one in node["status"]["conditions"]}["Ready"] == "True"


def test_what_its_silence_costs_is_in_the_verdict(workspace: Workspace) -> None:
    workspace.experiments(ONE.format(allowed="95%"))

    ran = workspace.run()

    assert ran.verdicts() == ["deviated"], ran.output
    assert "availability was" in ran.output
