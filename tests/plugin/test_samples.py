"""Verdicts that need somebody to meddle: an app that was down before, a load that dies, and what their reports say."""

from __future__ import annotations

import json
import os
import signal

from chaosfw.sandbox import public as sandbox
from chaosfw.timing import SYSTEM
from tests.plugin.conftest import SETTINGS, Workspace

DEADLINE = 60.0


def journal(workspace: Workspace) -> list[dict[str, object]]:
    """The whole lines of the run's journal so far."""
    found = [path.read_text() for path in workspace.path.glob("reports/2*/runs/*/journal.jsonl")]
    return [json.loads(line) for text in found for line in text.splitlines() if line.endswith("}")]


def prober_in_hold(workspace: Workspace) -> int:
    """Waits for hold; gives the process that sends the load."""
    end = SYSTEM.monotonic_ns() + int(DEADLINE * 1e9)
    while SYSTEM.monotonic_ns() < end:
        lines = journal(workspace)
        if any(line.get("phase") == "hold" for line in lines):
            began = next(line for line in lines if line["type"] == "LoadBegan")
            generator = began["generator"]
            assert isinstance(generator, dict)
            return int(generator["pid"])
        SYSTEM.sleep(0.02)
    raise AssertionError("never: the run reaches hold")


def test_an_app_that_was_down_before_is_not_blamed_on_the_fault(workspace: Workspace) -> None:
    """Nothing listens at the endpoint: the baseline never holds, nothing is injected, and the page says why."""
    workspace.write("pyproject.toml", SETTINGS.replace("service/shop/myapp:80", "http://127.0.0.1:9"))
    workspace.experiments(
        """
@cf.experiment(base.but("down before", k8s.kill(web, count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 10, ran.output
    assert ran.verdicts() == ["inconclusive"]
    assert ran.record()["fault_call"] is None
    page = (workspace.path / "reports" / "latest" / "report.html").read_text()
    assert "1 promise unproven" in page
    assert "✗ baseline" in page
    assert str(workspace.path) not in page


def test_a_load_that_stops_during_hold_proves_nothing(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """The prober is killed: what was due and never sent is unknown, and the samples are not whole."""
    workspace.experiments(
        """
@cf.experiment(base.but("load stopped", k8s.kill(web, count=1), lasts="4s"))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    running = workspace.start()
    os.kill(prober_in_hold(workspace), signal.SIGKILL)
    output, _ = running.communicate(timeout=DEADLINE)

    assert running.returncode == 10, output
    day = json.loads((workspace.path / "reports" / "latest" / "gameday.json").read_text())
    (line,) = day["runs"]
    assert (line["verdict"], line["safety"]) == ("inconclusive", "clean")
    page = (workspace.path / "reports" / "latest" / "report.html").read_text()
    assert "not whole" in page
    assert "INCONCLUSIVE" in output
