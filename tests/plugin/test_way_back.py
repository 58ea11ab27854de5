"""Whatever ends a run, everything is put back, and nothing of it survives. Deaths are real signals to real processes."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.safety.fence import start_time
from chaosfw.safety.ledger import LedgerFile
from chaosfw.sandbox import public as sandbox
from chaosfw.timing import SYSTEM
from tests.plugin.conftest import Workspace

LONG = """
@cf.experiment(base.but("drained", k8s.drain(hosting=web), lasts="60s"))
def test_drain(chaos: cf.Chaos) -> None:
    chaos.run()

@cf.experiment(base.but("zone lost", zone.fail("zone-b"), lasts="60s"))
def test_zone(chaos: cf.Chaos) -> None:
    chaos.run()
"""
DEADLINE = 60.0
"""Seconds after which something that must happen counts as never happening."""


def until(true: object, what: str) -> None:
    """Waits for a condition of the outside world; fails with words."""
    end = SYSTEM.monotonic_ns() + int(DEADLINE * 1e9)
    while not true():  # type: ignore[operator]
        assert SYSTEM.monotonic_ns() < end, f"never: {what}"
        SYSTEM.sleep(0.02)


def journal_of(workspace: Workspace) -> str:
    return "".join(path.read_text() for path in workspace.path.glob("reports/2*/runs/*/journal.jsonl"))


def in_phase(workspace: Workspace, phase: str) -> None:
    until(lambda: f'"phase":"{phase}"' in journal_of(workspace), f"the run reaches {phase}")


def cordoned(cluster: sandbox.Sandbox) -> list[str]:
    nodes = cluster._api.get("/api/v1/nodes")["items"]
    return [one["metadata"]["name"] for one in nodes if one["spec"].get("unschedulable")]


def marked(cluster: sandbox.Sandbox) -> list[str]:
    nodes = cluster._api.get("/api/v1/nodes")["items"]
    return [one["metadata"]["name"] for one in nodes if any(key.startswith("chaosfw") for key in one["metadata"].get("annotations") or {})]


def safety(cluster: sandbox.Sandbox) -> Path:
    return cluster.directory / "safety"


@pytest.fixture(autouse=True)
def clean(cluster: sandbox.Sandbox) -> Iterator[None]:
    """Every test of this file ends on a cluster that is as it was."""
    yield
    until(lambda: not cordoned(cluster), "every node is schedulable")
    until(lambda: not marked(cluster), "no mark is left")  # a watchdog that heals after a runner touches what it finds
    until(lambda: LedgerFile(safety(cluster)).open() == (), "every record is closed")  # the watchdog records after it has looked


@pytest.mark.parametrize("test", ["test_drain", "test_zone"])
def test_sigkill_in_hold_is_healed_by_the_watchdog(workspace: Workspace, cluster: sandbox.Sandbox, test: str) -> None:
    """Healed within seconds, the drivers and the load gone, a note left, and the next run starts clean."""
    workspace.experiments(LONG)
    runner = workspace.start("-k", test)
    in_phase(workspace, "hold")
    assert cordoned(cluster)
    writers = [one["pgid"] for one in json.loads((safety(cluster) / f"writers-{runner.pid}.json").read_text())["writers"]]
    assert len(writers) == 4  # writer, reader, nursery, load

    runner.kill()
    runner.communicate()

    until(lambda: not cordoned(cluster), "the watchdog puts the nodes back")
    until(lambda: list(workspace.path.glob("reports/2*/healed-*.json")), "the watchdog leaves its note")
    until(lambda: not any(start_time(pid) for pid in writers), "drivers and load are gone")
    (path,) = workspace.path.glob("reports/2*/healed-*.json")
    note = json.loads(path.read_text())
    assert (note["left_open"], note["residue"]) == (0, [])
    workspace.experiments('@cf.experiment(base.but("next", k8s.kill(web, count=1)))\ndef test_next(chaos):\n    chaos.run()\n')
    ran = workspace.run()
    assert ran.code == 0
    told = r"chaosfw: a run died at .* \(the runner ended\): the watchdog put (\d+) of \1 objects back in"
    assert re.search(told, ran.before + ran.output)


FROM_TARGET = """
@cf.experiment(base.but("drained", k8s.drain(hosting=web), lasts="60s"))
def test_drain(chaos):
    chaos.run()

@cf.experiment(base.but("deleted", k8s.delete("poddisruptionbudget", "myapp", namespace="shop"), lasts="60s"))
def test_delete(chaos):
    chaos.run()
"""


@pytest.mark.parametrize("test", ["test_drain", "test_delete"])
def test_whoever_finds_only_the_target_can_heal(workspace: Workspace, cluster: sandbox.Sandbox, test: str) -> None:
    """Runner and watchdog dead, the ledger gone with their machine: published records and marks are enough."""
    workspace.experiments(FROM_TARGET)
    api = Cluster(str(cluster.kubeconfig))
    budget = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/myapp"
    runner = workspace.start("-k", test)
    in_phase(workspace, "hold")
    for pid in watchdogs_of(runner):
        os.kill(pid, signal.SIGKILL)
    runner.kill()
    runner.communicate()
    (safety(cluster) / "ledger.jsonl").unlink()

    looked = workspace.command("heal")
    assert looked.code == 12
    assert "hint: when you are sure that it is dead: chaosfw heal --from-target" in looked.output
    shown = workspace.command("heal", "--from-target", "--dry-run")
    assert (shown.code, LedgerFile(safety(cluster)).open()) == (12, ())
    healed = workspace.command("heal", "--from-target")

    assert healed.code == 0, healed.output
    assert "everything is put back" in healed.output
    assert (cordoned(cluster), api.find(budget) is not None) == ([], True)
    assert workspace.command("heal").output == "nothing to put back on sandbox\n"
    for path in safety(cluster).glob("world-*.json"):
        path.unlink()


SCALED = """
@cf.experiment(base.but("scaled", cf.toolkit(
    "chaosk8s.deployment.actions", "scale_deployment", arguments={"name": "myapp", "ns": "shop", "replicas": 2},
    undo=cf.toolkit("chaosk8s.deployment.actions", "scale_deployment", arguments={"name": "myapp", "ns": "shop", "replicas": 3}),
    proof=cf.probe("chaosfw.activities.kubernetes.available_replicas", 2, arguments={"name": "myapp", "namespace": "shop"}),
), lasts="60s"))
def test_it(chaos):
    chaos.run()
"""


def test_rollbacks_that_only_the_target_knows_are_shown_and_not_played(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """They are code, and whoever may write ConfigMaps there could have written them."""
    workspace.experiments(SCALED)
    api, path = Cluster(str(cluster.kubeconfig)), "/apis/apps/v1/namespaces/shop/deployments/myapp"
    runner = workspace.start()
    in_phase(workspace, "hold")
    for pid in watchdogs_of(runner):
        os.kill(pid, signal.SIGKILL)
    runner.kill()
    runner.communicate()
    (safety(cluster) / "ledger.jsonl").unlink()

    shown = workspace.command("heal", "--from-target")
    assert shown.code == 12, shown.output
    assert '"func": "scale_deployment"' in shown.output
    assert '"func": "available_replicas"' in shown.output
    assert "hint: when these are what you would call yourself: chaosfw heal --from-target --play-rollbacks" in shown.output
    assert api.get(path)["spec"]["replicas"] == 2
    played = workspace.command("heal", "--from-target", "--play-rollbacks")

    assert played.code == 0, played.output
    assert api.get(path)["spec"]["replicas"] == 3
    assert workspace.command("heal").output == "nothing to put back on sandbox\n"
    for left in safety(cluster).glob("world-*.json"):
        left.unlink()


ELSEWHERE = """
[tool.chaosfw]
environment = "other"

[tool.chaosfw.environments.other]
context = "{context}"
server = "{server}"
kubeconfig = "{kubeconfig}"
"""


def test_a_run_whose_lease_was_taken_while_it_was_stopped_writes_nothing_more(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Stopped with all its processes, as a suspended machine is; another machine waits for its lease to expire, takes it and heals."""
    gone = 'k8s.delete("configmap", "myapp", namespace="shop")'
    workspace.experiments(f'@cf.experiment(base.but("gone", {gone}, lasts="60s"))\ndef test_it(chaos):\n    chaos.run()\n')
    workspace.variables["CHAOSFW_TEST_NEEDLE"] = needle = f"needle-{workspace.path.name}"
    api, path = Cluster(str(cluster.kubeconfig)), "/api/v1/namespaces/shop/configmaps/myapp"
    runner = workspace.start()
    in_phase(workspace, "hold")
    for pid in carrying(needle):
        os.kill(pid, signal.SIGSTOP)
    context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
    elsewhere = Workspace(workspace.path / "elsewhere", {**workspace.variables, "XDG_STATE_HOME": str(workspace.path / "state")})
    elsewhere.write("pyproject.toml", ELSEWHERE.format(context=context, server=cluster.server, kubeconfig=cluster.kubeconfig))

    healed = elsewhere.command("heal", "--from-target")
    there = api.get(path)["metadata"]["resourceVersion"]
    for pid in carrying(needle):
        os.kill(pid, signal.SIGCONT)
    output, _ = runner.communicate(timeout=DEADLINE)
    until(lambda: not carrying(needle), "every process of the run is gone")

    assert healed.code == 0, healed.output
    assert "waiting whether it is alive" in healed.output
    assert api.get(path)["metadata"]["resourceVersion"] == there
    assert runner.returncode == 10, output
    (line,) = workspace.day()["runs"]
    assert "the lock of the environment was taken by somebody else" in line["sentence"]


def watchdogs_of(runner: subprocess.Popen[str]) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(runner.pid), "-f", "chaosfw.processes.watchdog"], capture_output=True, text=True, check=True)
    return [int(pid) for pid in found.stdout.split()]


@pytest.mark.parametrize(("phase", "words"), [("hold", "the watchdog put 1 of 1 back in"), ("baseline", "nothing was left to put back")])
def test_the_watchdog_reports_a_run_that_died(workspace: Workspace, phase: str, words: str) -> None:
    """From its journal and from what was done afterwards: nobody else can tell any more."""
    workspace.experiments(LONG)
    runner = workspace.start("-k", "test_drain")
    in_phase(workspace, phase)

    runner.kill()
    runner.communicate()

    until(lambda: (workspace.path / "reports" / "latest" / "summary.md").exists(), "the report is there")
    day = workspace.day()
    (line,) = day["runs"]
    assert (line["verdict"], line["safety"], day["exit_code"]) == ("inconclusive", "clean", None)
    assert line["test"].endswith("::test_drain")
    assert line["sentence"].startswith(f"Inconclusive: halted: the test run died (the runner ended); {words}")
    (record,) = [json.loads(path.read_text()) for path in workspace.path.glob("reports/latest/runs/*/record.json")]
    assert [one["state"] for one in record["undo"]] == (["closed"] if phase == "hold" else [])
    assert line["sentence"] in html.unescape((workspace.path / "reports" / "latest" / "report.html").read_text())


@pytest.mark.parametrize("phase", ["baseline", "inject", "hold", "heal", "recover"])
def test_ctrl_c_in_any_phase_heals_and_reports(workspace: Workspace, cluster: sandbox.Sandbox, phase: str) -> None:
    workspace.experiments('@cf.experiment(base.but("drained", k8s.drain(hosting=web), lasts="2s"))\ndef test_it(chaos):\n    chaos.run()\n')
    workspace.variables["CHAOSFW_TEST_NEEDLE"] = needle = f"needle-{workspace.path.name}"
    runner = workspace.start()
    in_phase(workspace, phase)

    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=DEADLINE)
    until(lambda: not carrying(needle), "every process of the run is gone")

    assert runner.returncode == 2, output
    assert "SIGINT: stopping, putting everything back" in output
    day = json.loads((workspace.path / "reports" / "latest" / "gameday.json").read_text())
    (line,) = day["runs"]
    assert (line["verdict"], line["safety"]) == ("inconclusive", "clean"), output
    assert cordoned(cluster) == []
    assert "SIGINT" in line["sentence"]


def test_sigterm_heals_and_reports(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    workspace.experiments(LONG)
    runner = workspace.start("-k", "test_drain")
    in_phase(workspace, "hold")

    runner.terminate()
    output, _ = runner.communicate(timeout=DEADLINE)

    assert runner.returncode == 2, output
    assert cordoned(cluster) == []


def test_ctrl_c_twice_leaves_at_once_and_the_watchdog_heals(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    workspace.experiments(LONG)
    runner = workspace.start("-k", "test_drain")
    in_phase(workspace, "hold")

    os.kill(runner.pid, signal.SIGSTOP)  # so that both arrive before the first is answered
    runner.send_signal(signal.SIGINT)
    os.kill(runner.pid, signal.SIGCONT)
    until(lambda: "SIGINT" in journal_of(workspace) or runner.poll() is not None, "the first Ctrl-C is heard")
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=DEADLINE)

    assert runner.returncode in (130, 2)
    until(lambda: not cordoned(cluster), "the nodes are put back")


def test_a_watchdog_that_dies_halts_the_run(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Nothing would heal after us any more: we heal ourselves, now."""
    workspace.experiments(LONG)
    runner = workspace.start("-k", "test_drain")
    in_phase(workspace, "hold")
    found = subprocess.run(["pgrep", "-P", str(runner.pid), "-f", "chaosfw.processes.watchdog"], capture_output=True, text=True, check=True)

    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    output, _ = runner.communicate(timeout=DEADLINE)

    assert runner.returncode == 10, output
    assert "the watchdog died" in output
    assert cordoned(cluster) == []


def test_two_game_days_on_one_environment_are_serial(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """The second waits for the lock; their faults never overlap."""
    workspace.experiments('@cf.experiment(base.but("drained", k8s.drain(hosting=web)))\ndef test_it(chaos):\n    chaos.run()\n')
    first, second = workspace.start(), workspace.start()
    outputs = [one.communicate(timeout=DEADLINE)[0] for one in (first, second)]

    assert {first.returncode, second.returncode} <= {0, 10}, outputs  # 10: a generator that this machine made late says so
    spans = []
    for path in workspace.path.glob("reports/2*/runs/*/record.json"):
        record = json.loads(path.read_text())
        spans.append((record["fault_call"], record["heal_proof"]))
    spans.sort()
    assert len(spans) == 2
    assert spans[0][1] < spans[1][0]


def test_residue_fails_in_teardown_and_blocks_the_rest(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """A driver whose revert fails: exit code 12, and the next experiment is blocked by it."""
    workspace.write(
        "brokendriver.py",
        "def break_it() -> bool:\n    return True\n\ndef mend_it() -> None:\n    raise RuntimeError('the mender is broken')\n\n"
        "def is_broken() -> bool:\n    return True\n",
    )
    workspace.experiments(
        """
breaks = cf.toolkit(
    "brokendriver", "break_it", undo=cf.toolkit("brokendriver", "mend_it"), proof=cf.probe("brokendriver.is_broken", True)
)

@cf.experiment(base.but("broken for good", breaks))
def test_broken(chaos: cf.Chaos) -> None:
    chaos.run()

@cf.experiment(base.but("next", k8s.kill(web, count=1)))
def test_next(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 12, ran.output
    assert "the mender is broken" in ran.output
    first, second = ran.day()["runs"]
    assert (first["safety"], second["verdict"]) == ("residue", "blocked")
    assert "blocked by" in ran.output
    until(lambda: list(workspace.path.glob("reports/2*/healed-*.json")), "the watchdog, which tries once more, leaves its note")
    (safety(cluster) / "ledger.jsonl").unlink()


def test_a_run_on_top_of_open_records_is_refused(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """It names what is open and the command that puts it back, and that command works."""
    workspace.experiments(LONG)
    runner = workspace.start("-k", "test_drain")
    in_phase(workspace, "hold")
    ledger = (safety(cluster) / "ledger.jsonl").read_bytes()
    runner.kill()
    runner.communicate()
    until(lambda: list(workspace.path.glob("reports/2*/healed-*.json")), "the watchdog heals")
    (safety(cluster) / "ledger.jsonl").write_bytes(ledger)

    ran = workspace.run("-k", "test_drain")

    assert ran.code == 11, ran.output
    assert "chaosfw heal" in ran.output
    healed = subprocess.run(
        [sys.executable, "-m", "chaosfw.cli.main", "heal"],
        cwd=workspace.path,
        env=workspace.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert healed.returncode == 0, healed.stdout + healed.stderr
    assert "everything is put back" in healed.stdout


def test_what_an_earlier_run_left_is_put_back_first_when_asked(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """A node that is still cordoned, with its mark, and its record open, as after a lost host."""
    workspace.experiments(LONG)
    runner = workspace.start("-k", "test_drain")
    in_phase(workspace, "hold")
    ledger = (safety(cluster) / "ledger.jsonl").read_bytes()
    (node,) = (cluster._api.get(f"/api/v1/nodes/{name}") for name in cordoned(cluster))
    runner.kill()
    runner.communicate()
    until(lambda: list(workspace.path.glob("reports/2*/healed-*.json")), "the watchdog heals")
    path = f"/api/v1/nodes/{node['metadata']['name']}"
    marks = {key: text for key, text in node["metadata"]["annotations"].items() if key.startswith("chaosfw")}
    Cluster(str(cluster.kubeconfig)).patch(path, {"metadata": {"annotations": marks}, "spec": {"unschedulable": True}})
    (safety(cluster) / "ledger.jsonl").write_bytes(ledger)
    workspace.experiments('@cf.experiment(base.but("next", k8s.kill(web, count=1)))\ndef test_next(chaos):\n    chaos.run()\n')

    ran = workspace.run("--chaos-heal-first")

    assert ran.code == 0, ran.output
    assert f"left by an earlier run: node {node['metadata']['name']}" in ran.output
    assert "is schedulable again" in ran.output


@pytest.mark.parametrize("end", ["itself", "SIGINT", "SIGKILL"])
def test_nothing_survives_a_run(workspace: Workspace, tmp_path: Path, end: str) -> None:
    """A sandbox of its own: however the run ended, no process, no listener, no temporary file and no lock of it is left."""
    workspace.variables.pop("CHAOSFW_SANDBOX")
    runtime, temporary = tmp_path / "runtime", tmp_path / "temporary"
    for folder, variable in ((runtime, "XDG_RUNTIME_DIR"), (temporary, "TMPDIR")):
        folder.mkdir(mode=0o700)
        workspace.variables[variable] = str(folder)
    workspace.variables["CHAOSFW_TEST_NEEDLE"] = needle = f"needle-{os.getpid()}-{tmp_path.name}"
    shop = "\n---\n".join(path.read_text() for path in sorted(workspace.path.glob("*.yaml")) if path.name != "shop.yaml")
    workspace.write("shop.yaml", shop)
    workspace.experiments('@cf.experiment(base.but("drained", k8s.drain(hosting=web)))\ndef test_it(chaos):\n    chaos.run()\n')

    runner = workspace.start()
    if end != "itself":
        in_phase(workspace, "hold")
        assert carrying(needle), runner.poll()
        runner.send_signal(signal.Signals[end])
    output, _ = runner.communicate(timeout=DEADLINE)

    assert runner.returncode in {"itself": (0, 10), "SIGINT": (2,), "SIGKILL": (-9,)}[end], output  # 10: made late by this machine
    until(lambda: not carrying(needle), "every process of the run is gone, and with it what it listened on")
    assert [str(path.relative_to(tmp_path)) for path in (*runtime.rglob("*"), *temporary.rglob("*")) if not path.is_dir()] == []


def test_two_game_days_with_sandboxes_of_their_own_do_not_meet(workspace: Workspace) -> None:
    """Side by side: other addresses, other folders, both held."""
    workspace.variables.pop("CHAOSFW_SANDBOX")
    shop = "\n---\n".join(path.read_text() for path in sorted(workspace.path.glob("*.yaml")) if path.name != "shop.yaml")
    workspace.write("shop.yaml", shop)
    workspace.experiments('@cf.experiment(base.but("killed", k8s.kill(web, count=1)))\ndef test_it(chaos):\n    chaos.run()\n')

    both = [workspace.start(), workspace.start()]
    outputs = [one.communicate(timeout=DEADLINE)[0] for one in both]

    assert {one.returncode for one in both} <= {0, 10}, outputs  # 10: a generator that this machine made late says so
    urls = {json.loads(path.read_text())["load"]["url"] for path in workspace.path.glob("reports/2*/runs/*/record.json")}
    assert len(urls) == 2


def carrying(needle: str) -> list[int]:
    """Processes whose environment holds the needle."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and needle.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
