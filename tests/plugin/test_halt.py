"""Halting: by a person, by a file, by a condition of the experiment or of the environment. It heals at once and is never green."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import SETTINGS, Workspace
from tests.plugin.test_way_back import DEADLINE, ELSEWHERE, cordoned, in_phase

LONG = '@cf.experiment(base.but("drained", k8s.drain(hosting=web), lasts="60s"{more}))\ndef test_it(chaos):\n    chaos.run()\n'


def ended(workspace: Workspace) -> dict[str, Any]:
    (path,) = (workspace.path / "reports" / "latest" / "runs").glob("*/record.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def halt(workspace: Workspace, *flags: str) -> str:
    command = [sys.executable, "-m", "chaosfw.cli.main", "halt", *flags]
    done = subprocess.run(command, cwd=workspace.path, env=workspace.variables, capture_output=True, text=True, check=True)
    return done.stdout


def is_put_back(record: dict[str, Any], cluster: sandbox.Sandbox) -> None:
    assert record["judgement"]["verdict"] == "inconclusive"
    assert record["judgement"]["safety"] == "clean"
    assert record["heal_proof"] >= record["halted_at"] > record["fault_call"]
    assert cordoned(cluster) == []


def test_a_person_halts_a_run_and_none_starts_until_the_cord_is_lifted(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    workspace.experiments(LONG.format(more=""))
    runner = workspace.start()
    in_phase(workspace, "hold")

    told = halt(workspace, "--reason", "checkout is down")
    output, _ = runner.communicate(timeout=DEADLINE)
    try:
        assert "a run that is on heals now" in told
        assert runner.returncode == 10, output
        is_put_back(ended(workspace), cluster)
        assert "checkout is down" in ended(workspace)["halted"]
        again = workspace.run()
        assert again.code == 11, again.output
        assert "checkout is down" in again.output
        assert "chaosfw halt --lift" in again.output
    finally:
        assert "may start again" in halt(workspace, "--lift")
    assert "was not halted" in halt(workspace, "--lift")


def test_a_person_on_another_machine_halts_a_run(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Another state directory: the cord reaches the run over the cluster, and holds there until it is lifted, by whomever."""
    workspace.experiments(LONG.format(more=""))
    context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
    elsewhere = Workspace(workspace.path / "elsewhere", {**workspace.variables, "XDG_STATE_HOME": str(workspace.path / "state")})
    elsewhere.write("pyproject.toml", ELSEWHERE.format(context=context, server=cluster.server, kubeconfig=cluster.kubeconfig))
    runner = workspace.start()
    in_phase(workspace, "hold")

    halt(elsewhere, "--reason", "checkout is down")
    output, _ = runner.communicate(timeout=DEADLINE)
    try:
        assert runner.returncode == 10, output
        is_put_back(ended(workspace), cluster)
        assert "checkout is down" in ended(workspace)["halted"]
        again = workspace.run()
        assert again.code == 11, again.output
        assert "checkout is down" in again.output
    finally:
        assert "may start again" in halt(workspace, "--lift")
    assert "was not halted" in halt(elsewhere, "--lift")


def test_a_file_that_the_environment_names_halts_a_run(workspace: Workspace, cluster: sandbox.Sandbox, tmp_path: Path) -> None:
    workspace.write("pyproject.toml", SETTINGS + f'halt = ["file:{tmp_path}/stop"]\n')
    workspace.experiments(LONG.format(more=""))
    runner = workspace.start()
    in_phase(workspace, "hold")

    (tmp_path / "stop").touch()
    output, _ = runner.communicate(timeout=DEADLINE)

    assert runner.returncode == 10, output
    is_put_back(ended(workspace), cluster)
    assert f"halt condition 'file:{tmp_path}/stop'" in ended(workspace)["halted"]


def test_a_condition_of_the_experiment_halts_it(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Its own probe: true as long as every node is schedulable, which the drain ends."""
    workspace.write(
        "guarding.py",
        "from chaosfw.drivers.kubernetes import look\nfrom chaosfw.drivers.kubernetes.cluster import here\n\n\n"
        "def nothing_cordoned():\n    return not any(one['spec'].get('unschedulable') for one in look.nodes(here()))\n",
    )
    workspace.experiments("import guarding\n" + LONG.format(more=", halt=[cf.probe(guarding.nothing_cordoned, True)]"))
    workspace.variables["PYTHONPATH"] += f":{workspace.path}"

    ran = workspace.run()

    assert ran.code == 10, ran.output
    is_put_back(ended(workspace), cluster)
    assert ended(workspace)["halted"] == "halt condition 'nothing cordoned': it is False, and had to be true"


def test_a_condition_that_can_not_be_asked_halts_before_anything_is_broken(workspace: Workspace) -> None:
    workspace.write("pyproject.toml", SETTINGS + 'prometheus = "http://127.0.0.1:9"\nhalt = ["ALERTS > 0"]\n')
    workspace.experiments(LONG.format(more=', baseline="20s"'))

    ran = workspace.run()

    assert ran.code == 10, ran.output
    record = ended(workspace)
    assert record["fault_call"] is None
    assert "halt condition 'ALERTS > 0' can not be seen" in record["halted"]


def test_promql_without_a_prometheus_is_a_wrong_setting(workspace: Workspace) -> None:
    workspace.write("pyproject.toml", SETTINGS + 'halt = ["ALERTS > 0"]\n')
    workspace.experiments(LONG.format(more=""))

    ran = workspace.run()

    assert ran.code == 4, ran.output
    assert "'ALERTS > 0' is PromQL, but environments.sandbox.prometheus names no server to ask" in ran.output
