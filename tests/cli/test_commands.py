"""What each command says and returns: 0 done, 2 wrong usage, 3 could not be done, 12 something is still to be put back."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosfw.analysis.summary import run_line
from chaosfw.drivers.kubernetes import look, marks, nodes, published
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.safety import fence
from chaosfw.safety.ledger import LedgerFile
from chaosfw.store.folder import RunFolder
from tests.cli.conftest import Shell
from tests.reporting import days

# -- without a sandbox -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], ["sandbox"], ["sandbx"], ["sandbox", "upp"], ["heal", "--dry"], ["audit", "--dry-run"]])
def test_a_wrong_command_is_wrong_usage(shell: Shell, arguments: list[str]) -> None:
    said = shell.run(*arguments)

    if arguments == ["heal", "--dry"]:  # an abbreviation that is no other flag's: what argparse does
        assert "chaosfw: no sandboxes run" in said.err
    else:
        assert "usage: chaosfw" in said.err
    assert (said.code, said.out) == (2, "")


@pytest.mark.parametrize("command", ["sandbox", "plan", "heal", "audit", "report"])
def test_every_command_has_help(shell: Shell, command: str) -> None:
    said = shell.run(command, "--help")

    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"usage: chaosfw {command}")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["sandbox", "status"], "no sandbox runs", "chaosfw sandbox up starts one"),
        (["sandbox", "down"], "no sandbox runs", "chaosfw sandbox up starts one"),
        (["sandbox", "env"], "no sandbox runs", "chaosfw sandbox up starts one"),
        (["heal"], "no sandboxes run", "there is nothing to look at then"),
        (["audit"], "no sandboxes run", "there is nothing to look at then"),
        (["heal", "--environment", "sandbx"], "did you mean 'sandbox'?", "declared: sandbox"),
        (["audit", "--environment", "staging"], "environment 'staging' (from --chaos-environment) is not declared", "declared: sandbox"),
        (["sandbox", "up", "--environment", "sandbx"], "did you mean 'sandbox'?", "declared: sandbox"),
        (["report"], "reports/latest is not a game-day folder: it has no runs/", "name a folder below reports/, or reports/latest"),
        (["report", "shop"], "shop is not a game-day folder", "name a folder below reports/, or reports/latest"),
    ],
)
def test_a_wrong_name_is_wrong_usage_with_a_hint(shell: Shell, arguments: list[str], message: str, hint: str) -> None:
    said = shell.run(*arguments)

    assert (said.code, said.out, said.hint) == (2, "", hint)
    assert message in said.err
    assert said.err.startswith("chaosfw: ")


def test_a_game_day_that_did_not_end_has_no_report(shell: Shell) -> None:
    (shell.folder / "reports" / "x" / "runs").mkdir(parents=True)

    said = shell.run("report", "reports/x")

    assert said.code == 2
    assert "has no gameday.json: the game day did not end" in said.err
    assert said.hint == "its runs are in runs/*/journal.jsonl"


def test_two_game_days_are_compared_test_by_test(shell: Shell) -> None:
    """The same twice: nothing is worse. Another run, that lost requests: it is."""
    records = days.all_kinds()
    for name in ("before", "after"):
        for number, record in enumerate(records, start=1):
            folder = shell.folder / "reports" / name / "runs" / f"{number:02}-it"
            folder.mkdir(parents=True)
            RunFolder(folder).write_record(record)
            RunFolder(folder).write_line(run_line(record, folder.name, f"t.py::test_it[run-{number}]"))
    shutil.rmtree(shell.folder / "reports" / "after" / "runs" / "02-it")

    same = shell.run("compare", "reports/before", "reports/after")
    other = shell.run("compare", "reports/before/runs/01-it", "reports/after/runs/03-it")
    shutil.copytree(shell.folder / "reports" / "after" / "runs" / "01-it", shell.folder / "reports" / "after" / "runs" / "02-it")
    twice = shell.run("compare", "reports/before", "reports/after")
    shutil.rmtree(shell.folder / "reports")

    assert (same.code, same.err) == (0, "")
    told = [line for line in same.out.splitlines() if not line.startswith(" ")]
    beside = [f"{record.title}   t.py::test_it[run-{number}]" for number, record in enumerate(records, start=1) if number != 2]
    assert told == [*beside, "only in the first: t.py::test_it[run-2]"]
    assert "availability before the fault" in same.out
    assert "DIFFERENT" not in same.out
    assert other.code == 1, other
    assert re.search(r"^  availability while it is in .* DIFFERENT by more than 0.1 points$", other.out, re.MULTILINE)
    assert re.search(r"^  verdict +held +deviated$", other.out, re.MULTILINE)
    assert twice.code == 2
    assert "reports/after has two runs of t.py::test_it[run-1]" in twice.err


def test_a_halt_that_reaches_this_host_only_says_so(shell: Shell, tmp_path: Path) -> None:
    """Its runs halt all the same, and nobody believes that the others did."""
    settings = (shell.folder / "pyproject.toml").read_text()
    config = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    away = f'[tool.chaosfw.environments.away]\ncontext = "x"\nserver = "https://127.0.0.1:1"\nkubeconfig = "{tmp_path}/kubeconfig"\n'
    (shell.folder / "pyproject.toml").write_text(settings + away)

    said = shell.run("halt", "--environment", "away", XDG_STATE_HOME=str(tmp_path))
    (shell.folder / "pyproject.toml").write_text(settings)

    assert said.code == 3
    assert said.out.startswith("away: halted by ")
    assert "runs of this host halt, those of other hosts are not reached: " in said.err
    assert said.hint == "again, until the cluster answers"
    assert list(tmp_path.rglob("halt.json"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "reports/nowhere", "reports/nowhere"], "reports/nowhere"),
        (["sandbox", "status", "/nowhere"], "/nowhere"),
        (["heal", "--sandbox", "/nowhere"], "/nowhere"),
        (["sandbox", "up", "--nodes", "0"], ""),
    ],
)
def test_what_can_not_be_done_is_said_without_a_traceback(shell: Shell, arguments: list[str], message: str) -> None:
    said = shell.run(*arguments)

    assert said.code in (2, 3)
    assert said.err.startswith("chaosfw: ")
    assert message in said.err
    assert "Traceback" not in said.err


# -- with one --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def up(shell: Shell) -> Iterator[Path]:
    """A sandbox that was started by the command line; its directory."""
    said = shell.run("sandbox", "up")
    assert (said.code, said.err) == (0, ""), said
    match = re.search(r"^sandbox up: (\S+)$", said.out, re.MULTILINE)
    assert match is not None
    assert "chaosfw sandbox down" in said.out
    yield Path(match[1])
    said = shell.run("sandbox", "down")
    assert (said.code, said.out) == (0, f"sandbox down: {match[1]}\n")
    assert not Path(match[1]).exists()


@pytest.fixture
def cluster(up: Path) -> Cluster:
    return Cluster(str(up / "kubeconfig"))


def test_status_tells_server_nodes_and_processes(shell: Shell, up: Path) -> None:
    said = shell.run("sandbox", "status")

    assert said.code == 0
    for words in (
        f"sandbox {up}",
        "server    https://127.",
        "node      node-2 in zone-b",
        "keeper",
        "pods      3 processes",
        "pinned until down",
    ):
        assert words in said.out


def test_env_is_for_a_shell(shell: Shell, up: Path) -> None:
    said = shell.run("sandbox", "env", str(up))

    lines = [shlex.split(line) for line in said.out.splitlines()]
    assert {words[0] for words in lines} == {"export"}
    found = dict(words[1].split("=", 1) for words in lines)
    assert found["CHAOSFW_SANDBOX"] == str(up)
    assert Path(found["KUBECONFIG"]).exists()
    with urllib.request.urlopen(found["CHAOSFW_ENDPOINT_SHOP_MYAPP"] + "/health", timeout=5) as answer:
        assert answer.status == 200


def test_two_sandboxes_must_be_told_apart(shell: Shell, up: Path) -> None:
    other = shell.run("sandbox", "up", "--empty", "--nodes", "1", "--zones", "only").out.split()[2]

    said = shell.run("sandbox", "status")
    named = shell.run("sandbox", "status", CHAOSFW_SANDBOX=other)
    down = shell.run("sandbox", "down", other)

    assert (said.code, down.code) == (2, 0)
    assert "2 sandboxes run: which one?" in said.err
    assert str(up) in said.hint
    assert "node-1 in only" in named.out
    assert "node-2" not in named.out


@pytest.mark.usefixtures("up")
def test_with_nothing_open_there_is_nothing_to_heal(shell: Shell) -> None:
    healed, audited = shell.run("heal"), shell.run("audit")

    assert (healed.code, healed.out, healed.err) == (0, "nothing to put back on sandbox\n", "")
    assert audited.code == 0
    assert re.fullmatch(r"0 left of ours, \d+ fields looked at on sandbox\n", audited.out)


@pytest.fixture
def left(up: Path, cluster: Cluster) -> Iterator[UndoRecord]:
    """What a run that died leaves: an open record, and the node really cordoned with its mark."""
    node = cluster.get(nodes.path("node-1"))
    target = Target(kind="node", name="node-1", uid=look.uid_of(node), zone="zone-a", node="node-1")
    ours = {"unschedulable": True, "marked": True}
    undo = Undo(id="dead.drain", run="dead", fault="kubernetes.cordon/1", environment="sandbox", subject=target, before=False, ours=ours)
    ledger = LedgerFile(up / "safety")
    ledger.prepare([undo], epoch=1)
    record = UndoRecord(undo=undo, state=UndoState.in_, epoch=1)
    ledger.advance(record)
    nodes.cordon(cluster, "node-1", mark=marks.text(undo, expiry=""))
    yield record
    (up / "safety" / "ledger.jsonl").unlink(missing_ok=True)
    cluster.patch(nodes.path("node-1"), {"metadata": {"annotations": {marks.MARK: None}}, "spec": {"unschedulable": None}})


@pytest.mark.usefixtures("left")
def test_what_a_dead_run_left_is_shown_then_put_back(shell: Shell, up: Path, cluster: Cluster) -> None:
    audited, shown = shell.run("audit"), shell.run("heal", "--dry-run")
    assert (audited.code, shown.code) == (12, 12)
    assert "residue: undo record dead.drain of node node-1 in zone-a is in: not put back (mend: chaosfw heal)" in audited.out
    assert "residue: mark node node-1" in audited.out
    assert "cordoned: node node-1" in audited.out
    assert "2 left of ours" in audited.out
    assert shown.out == "open: node node-1 in zone-a (kubernetes.cordon/1, in), record dead.drain of run dead\n"
    assert cluster.get(nodes.path("node-1"))["spec"]["unschedulable"]

    healed = shell.run("heal")

    assert healed.code == 0, healed
    assert "node node-1 in zone-a: closed (restored): node node-1 is schedulable again" in healed.out
    assert healed.out.endswith("everything is put back\n")
    assert not cluster.get(nodes.path("node-1"))["spec"].get("unschedulable")
    assert (shell.run("audit").code, shell.run("heal").out) == (0, "nothing to put back on sandbox\n")
    assert [path.name for path in (up / "safety").glob("*heal*")] == []


@pytest.mark.usefixtures("left")
def test_every_declared_environment_is_healed_whatever_comes_of_another(shell: Shell, cluster: Cluster) -> None:
    settings = (shell.folder / "pyproject.toml").read_text()
    away = '[tool.chaosfw.environments.away]\ncontext = "x"\nserver = "https://127.0.0.1:1"\nkubeconfig = "nothing"\n'
    (shell.folder / "pyproject.toml").write_text(settings + away)

    healed, wrong = shell.run("heal", "--all"), shell.run("heal", "--all", "--environment", "away")
    (shell.folder / "pyproject.toml").write_text(settings)

    assert healed.code == 12, healed
    assert healed.out.startswith(
        "away:\n  can not be looked at: environment 'away': there is no kubeconfig at nothing\n  hint: set kubeconfig"
    )
    assert "\nsandbox:\n" in healed.out
    assert healed.out.endswith("everything is put back\n")
    assert not cluster.get(nodes.path("node-1"))["spec"].get("unschedulable")
    assert shell.run("heal", "--all").code == 0
    assert (wrong.code, wrong.hint) == (2, "without --environment and --by-hand")


def test_what_only_the_target_and_the_host_know_of_a_dead_run_is_told(shell: Shell, up: Path, cluster: Cluster) -> None:
    """No ledger, no mark: but its records are published, and a process of it still runs."""
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    fence.record(up / "safety", runner=process.pid, writers=[(process.pid, "")])
    writers = fence.path_of(up / "safety", process.pid)
    known = json.loads(writers.read_text())
    writers.write_text(json.dumps({**known, "started": "1"}))
    published.publish(cluster, run="dead", namespace="default", undos=())

    said = shell.run("audit")
    published.withdraw(cluster, run="dead", namespace="default")
    writers.unlink()
    process.kill()
    process.wait()

    assert said.code == 12
    assert "residue: published configmap default/chaosfw-run-dead: of run dead, which is on or died (mend: chaosfw heal" in said.out
    assert f"residue: process {process.pid} of a run that died still runs (mend: chaosfw heal, or kill {process.pid})" in said.out
    assert "2 left of ours" in said.out
    assert shell.run("audit").code == 0


@pytest.mark.usefixtures("left")
def test_the_snapshot_of_a_run_that_has_not_ended_tells_what_is_ours_and_what_is_not(shell: Shell, up: Path, cluster: Cluster) -> None:
    ledger = LedgerFile(up / "safety")
    ledger.snapshot("dead", {"node node-1 · spec.unschedulable": False, "deployment shop/myapp · spec.replicas": 9})

    said = shell.run("audit")
    ledger.forget("dead")

    assert "residue: node node-1 · spec.unschedulable: was False, is True (mend: kubectl uncordon node-1)" in said.out
    assert "of others: deployment shop/myapp · spec.replicas: was 9, is 3\n" in said.out


@pytest.mark.usefixtures("left")
def test_a_record_is_closed_on_a_persons_word(shell: Shell, cluster: Cluster) -> None:
    wrong = shell.run("heal", "--by-hand", "dead.drian")
    closed = shell.run("heal", "--by-hand", "dead.drain")

    assert (wrong.code, wrong.hint) == (2, "open: dead.drain")
    assert closed.code == 0
    assert "node node-1 in zone-a: closed (by-other): put back by hand" in closed.out
    assert cluster.get(nodes.path("node-1"))["spec"]["unschedulable"], "nothing is written on a person's word"
    again = shell.run("heal")
    assert again.code == 12, "the mark is still there: the target is not believed to be put back on a word"
    assert again.out.startswith("on the target: node node-1 in zone-a (kubernetes.cordon/1), record dead.drain of run dead\n")
    assert shell.run("audit").code == 12, "and the audit is not told by the ledger alone"


def test_a_heal_that_can_not_end_says_so(shell: Shell, up: Path) -> None:
    target = Target(kind="call", name="x")
    undo = Undo(id="dead.call", run="dead", fault="toolkit.plain/1", environment="sandbox", subject=target, before=[])
    LedgerFile(up / "safety").advance(UndoRecord(undo=undo, state=UndoState.stuck, reason="half-way"))

    said = shell.run("heal")

    assert said.code == 12
    assert "put it back by hand, then: chaosfw heal --by-hand dead.call" in said.out
    assert said.out.endswith("1 record(s) still open\n")
    assert shell.run("heal", "--by-hand", "dead.call").code == 0


def test_a_damaged_ledger_is_said_and_not_guessed_at(shell: Shell, up: Path) -> None:
    path = up / "safety" / "ledger.jsonl"
    path.write_text("00000000 {}\n00000000 {}\n")

    said = shell.run("heal")
    path.unlink()

    assert said.code == 3
    assert "ledger.jsonl:1" in said.err
    assert "chaosfw audit" in said.hint


def test_plan_shows_what_would_be_done_and_does_nothing(shell: Shell, up: Path, cluster: Cluster) -> None:
    (shell.folder / "experiments").mkdir(exist_ok=True)
    (shell.folder / "experiments" / "test_it.py").write_text(
        "import chaosfw as cf\nfrom chaosfw.faults import kubernetes as k8s\n"
        "web = k8s.deployment('myapp', namespace='shop')\n"
        "one = cf.Experiment('lose one', k8s.kill(web), steady_state=cf.Hypothesis('up', web.ready(at_least=2)))\n"
        "@cf.experiment(one)\ndef test_it(chaos):\n    chaos.run()\n"
    )
    before = {look.uid_of(pod) for pod in look.pods(cluster, namespace="shop")}

    said = shell.run("plan", "-p", "no:cacheprovider", "experiments/", CHAOSFW_SANDBOX=str(up), PYTHONWARNINGS="default")

    assert said.code == 0, said
    assert "~ delete pod shop/myapp-" in said.out
    assert "undo: heals itself" in said.out
    assert {look.uid_of(pod) for pod in look.pods(cluster, namespace="shop")} == before
