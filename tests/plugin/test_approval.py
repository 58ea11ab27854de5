"""Four eyes: the digest that a plan shows is what runs, and nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from chaosfw.planning.hours import DAYS
from tests.plugin.conftest import SETTINGS, Workspace

TWO = """
@cf.experiment(base.but("one pod", k8s.kill(web, count=1)))
def test_one(chaos):
    chaos.run()

@cf.experiment(base.but("a node", k8s.drain(hosting=web)))
def test_two(chaos):
    chaos.run()
"""
SAME = ("--chaos-seed", "7")


def test_what_was_read_runs_and_nothing_else_does(workspace: Workspace) -> None:
    """The drain is planned, approved and run; the kill, which nobody approved, is refused with its own digest."""
    workspace.write("pyproject.toml", SETTINGS + 'approval = "plan"\n')
    workspace.experiments(TWO)
    shown = workspace.run("--chaos-plan", *SAME)
    assert shown.code == 0, shown.output
    kill, drain = re.findall(r"intent \w+ +plan (\w+)", shown.output)

    ran = workspace.run("--chaos-approved", drain, *SAME)

    assert ran.code == 11, ran.output
    assert dict(zip((line["title"] for line in ran.day()["runs"]), ran.verdicts(), strict=True)) == {"one pod": "refused", "a node": "held"}
    assert f"plan {kill} " in ran.output
    assert f"--chaos-approved {kill} --chaos-seed 7" in ran.output


def test_other_targets_are_another_plan_and_the_same_intent(workspace: Workspace) -> None:
    workspace.experiments(TWO)
    seven = workspace.run("--chaos-plan", "-k", "test_one", "--chaos-seed", "7").output
    other = workspace.run("--chaos-plan", "-k", "test_one", "--chaos-seed", "8").output
    ((intent, plan),) = re.findall(r"intent (\w+) +plan (\w+)", seven)
    ((same, another),) = re.findall(r"intent (\w+) +plan (\w+)", other)
    assert same == intent

    refused = workspace.run("-k", "test_one", "--chaos-seed", "8", "--chaos-approved", plan)
    ran = workspace.run("-k", "test_one", "--chaos-seed", "8", "--chaos-approved", intent)

    assert plan != another
    assert refused.code == 11, refused.output
    assert ran.code == 0, ran.output


def test_a_suppressed_guard_is_in_the_verdict_and_an_unknown_one_is_refused(workspace: Workspace) -> None:
    workspace.experiments(TWO)
    another_day = DAYS[(datetime.now(tz=UTC).weekday() + 3) % 7]
    never = f'hours = ["{another_day} 09:00-10:00 UTC"]\n'
    workspace.write("pyproject.toml", SETTINGS + never + 'suppress = { "hours" = "a test runs at any time" }\n')
    ran = workspace.run("-k", "test_one")
    assert ran.code == 0, ran.output
    (line,) = ran.day()["runs"]
    assert "; switched off by hand: hours: a test runs at any time (a run of " in line["sentence"]

    workspace.write("pyproject.toml", SETTINGS + 'suppress = { "marked" = "let me" }\n')
    refused = workspace.run("-k", "test_one")
    assert refused.code == 11
    assert "environments.sandbox.suppress: 'marked' can not be suppressed" in refused.output
