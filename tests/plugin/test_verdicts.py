"""What a verdict looks like from pytest: outcome, words, exit code, record. Real faults on a real (embedded) cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import Workspace


def test_held_is_a_passed_test_and_exit_code_0(workspace: Workspace) -> None:
    workspace.experiments(
        """
@cf.experiment(base.but("survives", k8s.kill(web, count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    outcome = chaos.run()
    assert outcome.verdict == "held"
    assert outcome.load.sent > 100
"""
    )
    ran = workspace.run("--junitxml=junit.xml")

    assert ran.code == 0, ran.output
    (line,) = ran.day()["runs"]
    assert (line["verdict"], line["safety"], line["sealed"]) == ("held", "clean", True)
    assert line["samples"] > 100
    assert 'name="chaos_verdict" value="held"' in (workspace.path / "junit.xml").read_text()


def test_the_report_says_which_control_plane_it_really_was(workspace: Workspace) -> None:
    """The sandbox that is joined here is an embedded one, whatever the variable wishes."""
    workspace.variables["CHAOSFW_CONTROL_PLANE"] = "kubernetes"
    workspace.experiments('@cf.experiment(base.but("survives", k8s.kill(web, count=1)))\ndef test_kill(chaos):\n    chaos.run()\n')
    ran = workspace.run()

    assert ran.day()["control_plane"] == "embedded"
    assert "real Kubernetes" not in ran.output


def test_a_users_failing_assert_is_in_the_record_and_deviates(workspace: Workspace) -> None:
    workspace.experiments(
        """
@cf.experiment(base.but("survives", k8s.kill(web, count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    outcome = chaos.run()
    assert outcome.load.lost > 10_000, "we wanted more"
"""
    )
    ran = workspace.run()

    assert ran.code == 1, ran.output
    assert "we wanted more" in ran.output
    assert ran.verdicts() == ["deviated"]
    assert "we wanted more" in ran.record()["body_message"]


@pytest.mark.parametrize("swallow", ["pass", "pytest.xfail('known')", "pytest.skip('known')"])
def test_a_swallowed_verdict_is_raised_again_in_teardown(workspace: Workspace, swallow: str) -> None:
    """try/except around chaos.run() does not turn a test green, nor what pytest offers to say in its place."""
    workspace.experiments(
        """
import pytest

@cf.experiment(base.but("never normal", k8s.kill(web, count=1), steady_state=cf.Hypothesis("too much", web.ready(at_least=9))))
def test_kill(chaos: cf.Chaos) -> None:
    try:
        chaos.run()
    except BaseException:
        SWALLOW
""".replace("SWALLOW", swallow)
    )
    ran = workspace.run()

    assert ran.code == 10, ran.output
    assert "ERROR" in ran.output
    assert ran.verdicts() == ["inconclusive"]


def test_workers_share_one_sandbox_and_take_turns(workspace: Workspace) -> None:
    """xdist: faults never overlap, and a worker that is done does not take another's load along."""
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
    ran = workspace.run("-n", "2")

    assert ran.code == 0, ran.output
    assert ran.verdicts() == ["held", "held"]
    spans = sorted((ran.record(number)["fault_call"], ran.record(number)["ended"]) for number in (0, 1))
    assert spans[0][1] < spans[1][0]


def test_inconclusive_is_shown_as_such(workspace: Workspace) -> None:
    workspace.experiments(
        """
@cf.experiment(base.but("never normal", k8s.kill(web, count=1), steady_state=cf.Hypothesis("too much", web.ready(at_least=9))))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run("-v")

    assert "INCONCLUSIVE" in ran.output
    assert "Traceback" not in ran.output


def test_refused_is_a_setup_error_with_all_reasons(workspace: Workspace) -> None:
    """A wrong name, too many pods, an undeclared endpoint: all at once, and nothing is injected."""
    workspace.experiments(
        """
@cf.experiment(base.but("refused", k8s.kill(k8s.deployment("myap", namespace="shop"), count=1), load=cf.Load("shopp", rate=120)))
def test_wrong_names(chaos: cf.Chaos) -> None:
    chaos.run()

@cf.experiment(base.but("too many", k8s.kill(web, percentage="100%")))
def test_too_many(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 11, ran.output
    assert ran.verdicts() == ["refused", "refused"]
    for words in (
        "there is no deployment 'myap'",
        "deployments there: myapp",
        "endpoint 'shopp' is not declared",
        "limits.pods",
        "pdb-headroom",
    ):
        assert words in ran.output


def test_a_body_that_never_runs_the_experiment_is_not_green(workspace: Workspace) -> None:
    workspace.experiments(
        """
@cf.experiment(base.but("idle", k8s.kill(web, count=1)))
def test_idle(chaos: cf.Chaos) -> None:
    pass
"""
    )
    ran = workspace.run()

    assert ran.code == 10, ran.output
    assert ran.verdicts() == ["inconclusive"]


def test_all_skipped_is_not_green(workspace: Workspace) -> None:
    workspace.experiments(
        """
import pytest

@pytest.mark.skip
@cf.experiment(base.but("skipped", k8s.kill(web, count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    assert workspace.run().code == 10


def test_the_plan_is_shown_and_nothing_is_done(workspace: Workspace) -> None:
    workspace.experiments(
        """
@cf.experiment(lambda chaos_zone: base.but(f"losing {chaos_zone}", zone.fail(chaos_zone)))
def test_zone(chaos: cf.Chaos, chaos_zone: str) -> None:
    chaos.run()
"""
    )
    ran = workspace.run("--chaos-plan", "-k", "zone-b")

    assert ran.code == 0, ran.output
    assert "evict pod shop/myapp-" in ran.output
    assert "put back node node-2 in zone-b" in ran.output
    assert "1 skipped" in ran.output


def test_a_file_with_errors_tells_all_of_them_and_nothing_runs(workspace: Workspace) -> None:
    workspace.write(
        "experiments/broken.json",
        json.dumps(
            {
                "title": "broken",
                "steady-state-hypothesis": {"title": "x", "probes": [{"type": "probe", "name": "p", "provider": {"type": "htp"}}]},
                "method": [{"ref": "nobody"}],
                "controls": [{"name": "c"}],
            },
            indent=1,
        ),
    )
    ran = workspace.run()

    assert ran.code == 2, ran.output
    for words in ("did you mean 'http'?", "names no activity of hypothesis or method", "controls", "broken.json:"):
        assert words in ran.output
    assert not (workspace.path / "reports").exists()


def test_a_stock_file_claims_what_chaos_toolkit_judges(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Without our block: hypothesis before and after, no traffic measured."""
    workspace.write("experiments/stock.json", json.dumps(stock_file()))
    ran = workspace.run()

    assert ran.code == 0, ran.output
    assert ran.verdicts() == ["held"]
    assert "no traffic measured" in ran.day()["runs"][0]["sentence"]


def test_rollbacks_are_played_where_the_fault_brings_its_own_way_back(workspace: Workspace, tmp_path: Path) -> None:
    """Of a stock file as of a Python experiment with load: an undo record that is closed, after the rollback was really called."""
    workspace.write("tidying.py", "def tidy(path: str) -> None:\n    with open(path, 'a') as file:\n        file.write('played\\n')\n")
    provider = {"type": "python", "module": "tidying", "func": "tidy", "arguments": {"path": f"{tmp_path}/by-file"}}
    file = {**stock_file(), "rollbacks": [{"type": "action", "name": "tidy", "provider": provider}]}
    workspace.write("experiments/stock.json", json.dumps(file))
    workspace.experiments(
        f"""
tidy = cf.toolkit("tidying", "tidy", path="{tmp_path}/by-test", self_heals=True)

@cf.experiment(base.but("killed", k8s.kill(web, count=1), rollbacks=[tidy]))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )

    ran = workspace.run()

    assert ran.code == 0, ran.output
    assert ran.verdicts() == ["held", "held"]
    for number, path in enumerate(("by-file", "by-test")):
        assert [(one["undo"]["subject"]["name"], one["ending"]) for one in ran.record(number)["undo"]] == [("rollbacks", "restored")]
        assert (tmp_path / path).read_text().startswith("played\n")


def test_the_reference_file_runs_under_stock_chaos_too(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    reference = Path(__file__).parents[2] / "experiments" / "pod-loss.json"
    variables = {**workspace.variables, **sandbox.env(cluster.directory)}
    chaos = subprocess.run(
        [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "run", str(reference)],
        cwd=workspace.path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert chaos.returncode == 0, chaos.stdout + chaos.stderr
    journal = json.loads((workspace.path / "journal.json").read_text())
    assert (journal["status"], journal["deviated"]) == ("completed", False)


def stock_file() -> dict[str, object]:
    ready = {
        "type": "probe",
        "name": "ready",
        "tolerance": {"type": "range", "range": [2, 4]},
        "provider": {
            "type": "python",
            "module": "chaosfw.activities.kubernetes",
            "func": "ready_pods",
            "arguments": {"name": "myapp", "namespace": "shop"},
        },
    }
    kill = {
        "type": "action",
        "name": "kill",
        "provider": {
            "type": "python",
            "module": "chaosk8s.pod.actions",
            "func": "terminate_pods",
            "arguments": {"label_selector": "app=myapp", "ns": "shop", "qty": 1},
        },
        "pauses": {"after": 1},
    }
    return {"title": "stock", "steady-state-hypothesis": {"title": "up", "probes": [ready]}, "method": [kill], "rollbacks": []}


def test_a_hypothesis_may_watch_the_load_itself(workspace: Workspace) -> None:
    """cf.availability and cf.latency as probes: evidence from the first look on."""
    workspace.experiments(
        """
@cf.experiment(
    base.but(
        "watched",
        k8s.kill(web, count=1),
        steady_state=cf.Hypothesis("users are served", cf.availability("95%"), cf.latency(p95="900ms"), cf.tcp("shop"), web.available()),
    )
)
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 0, ran.output
    assert {probe["unknown"] for probe in ran.record()["probes"]} == {0}


def test_collecting_only_is_green(workspace: Workspace) -> None:
    workspace.experiments('@cf.experiment(base.but("killed", k8s.kill(web, count=1)))\ndef test_it(chaos):\n    chaos.run()\n')

    ran = workspace.run("--collect-only")

    assert ran.code == 0, ran.output
    assert not (workspace.path / "reports").exists()


def test_a_users_assert_that_an_xfail_mark_hides_is_told_in_teardown(workspace: Workspace) -> None:
    """The body may be expected to fail; the verdict that follows from it is not hidden."""
    workspace.experiments(
        """
import pytest

@pytest.mark.xfail
@cf.experiment(base.but("deviates", k8s.kill(web, count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    outcome = chaos.run()
    assert outcome.load.lost > 10_000
"""
    )
    ran = workspace.run()

    assert ran.code == 1, ran.output
    assert ran.verdicts() == ["deviated"]
    assert "1 xfailed, 1 error" in ran.output
