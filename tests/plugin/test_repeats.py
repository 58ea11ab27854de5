"""An experiment several times, as tests and runs of their own, and how many of how many held."""

from __future__ import annotations

import json

import pytest

from tests.plugin.conftest import Workspace
from tests.plugin.test_named_victims import FILE

TWO = """
import pytest


@cf.experiment(base.but("killed", k8s.kill(web, count=1)))
@pytest.mark.parametrize("how", ["a", "b"])
def test_kill(chaos, how):
    chaos.run()
"""


def test_every_repetition_is_a_run_with_victims_of_its_own(workspace: Workspace) -> None:
    workspace.experiments(TWO)

    ran = workspace.run("--chaos-repeat", "2", "--chaos-seed", "7")

    lines = ran.day()["runs"]
    assert ran.code == 0, ran.output
    assert {line["series"] for line in lines} == {f"experiments/test_it.py::test_kill[{how}]" for how in "ab"}
    assert len({line["test"] for line in lines}) == len(lines) == 4
    records = (ran.folder / "reports" / "latest" / "runs").glob("*/record.json")
    assert sorted(json.loads(path.read_text())["plan"]["seed"] for path in records) == [7, 7, 8, 8]
    for how in "ab":
        assert f"↻ killed [{how}]: held 2 of 2; 95 % sure: 15.8 % to 100 % of such runs hold" in ran.output
    assert "held 2 of 2" in (ran.folder / "reports" / "latest" / "summary.md").read_text()
    assert "How many of how many" in (ran.folder / "reports" / "latest" / "report.html").read_text()


def test_a_file_is_repeated_too(workspace: Workspace) -> None:
    workspace.write("experiments/scaled.json", json.dumps(FILE))

    ran = workspace.run("--chaos-plan", "--chaos-repeat", "2", "-v")

    assert "experiments/scaled.json::scaled[run-1]" in ran.output
    assert "experiments/scaled.json::scaled[run-2]" in ran.output


@pytest.mark.parametrize("often", ["0", "-1"])
def test_less_than_once_is_not_possible(workspace: Workspace, often: str) -> None:
    ran = workspace.run("--chaos-repeat", often)

    assert ran.code == 4
    assert f"--chaos-repeat is {often}: at least 1 was expected" in ran.output
