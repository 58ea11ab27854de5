"""
Every failure that must not be green, under every way in which pytest can hide a failure.

A failure is one that somebody arranges: one replica, a fault undone behind our back, a wrong selector, a driver whose revert
fails, an app that is down before the run, a load that stops in hold. What hides it is one of pytest's own ways: workers,
``--lf``, an xfail mark, a rerun plugin. Those that come to the same exit code share a game day, because there none of them can
lend its code to another; what leaves residue behind blocks whoever comes after it, and has its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import pytest

from chaosfw.model.record import RunLine
from chaosfw.pytest_plugin.day import exit_code
from chaosfw.safety.ledger import LedgerFile
from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import ROOT, Ran, Workspace

SAMPLES = ROOT / "reports" / "samples" / "workspace"
"""Three replicas of ``web``, one of ``search``, and a driver that cannot put back."""

SETTINGS = """
[tool.chaosfw]
environment = "sandbox"
defaults = { baseline = "600ms", lasts = "500ms", stable_for = "500ms", recover_within = "500ms", probe_every = "100ms" }

[tool.chaosfw.environments.sandbox]
manifests = ["shop.yaml"]
endpoints = { shop = "service/shop/web:80", search = "service/shop/search:80", nobody = "http://127.0.0.1:9" }
limits = { pods = "100%" }
"""

BASE = """
import subprocess
import sys

import chaosfw as cf
import pytest
from chaosfw.faults import kubernetes as k8s

web = k8s.deployment("web", namespace="shop")
search = k8s.deployment("search", namespace="shop")
base = cf.Experiment(
    steady_state=cf.Hypothesis("the shop serves", cf.http("shop", path="/health"), web.ready(at_least=2)),
    load=cf.Load("shop", rate=200),
)
switch = cf.toolkit("brokendriver", "switch_off", undo=cf.toolkit("brokendriver", "switch_on"), proof=cf.probe("brokendriver.is_off", True))


def meddled(chaos, run, how):
    with subprocess.Popen([sys.executable, "meddler.py", run, how]) as meddler:
        try:
            chaos.run()
        finally:
            meddler.kill()
"""

MEDDLER = '''
"""Waits until the named run holds its fault; then kills whatever sends its load, or uncordons every node. Until it is killed itself."""

import json, os, signal, sys, threading
from pathlib import Path

from chaosfw.drivers.kubernetes.cluster import Cluster

run, how, pause = sys.argv[1], sys.argv[2], threading.Event()
while True:
    for journal in Path("reports").glob(f"2*/runs/*{run}*/journal.jsonl"):
        lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
        if not any(line.get("phase") == "hold" for line in lines) or any(line.get("phase") == "heal" for line in lines):
            continue
        if how == "kill":
            pid = next(line["generator"]["pid"] for line in lines if line["type"] == "LoadBegan")
            os.kill(pid, signal.SIGKILL)
            sys.exit()
        cluster = Cluster(os.environ["MEDDLE"])
        for node in cluster.items("/api/v1/nodes"):
            if node["spec"].get("unschedulable"):
                cluster.patch("/api/v1/nodes/" + node["metadata"]["name"], {"spec": {"unschedulable": None}})
                sys.exit()
    pause.wait(0.05)
'''

TESTS = {
    "one-replica": """
@cf.experiment(
    base.but(
        "one replica",
        k8s.kill(search, count=1),
        steady_state=cf.Hypothesis("search answers", cf.http("search", path="/health"), search.ready(at_least=1)),
        load=cf.Load("search", rate=200),
        during_fault=[cf.availability("97%")],
    )
)
def test_one_replica(chaos):
    chaos.run()
""",
    "undone": """
@cf.experiment(base.but("undone behind our back", k8s.drain(hosting=web), lasts="1s"))
def test_undone(chaos):
    meddled(chaos, "undone", "uncordon")
""",
    "wrong-selector": """
@cf.experiment(base.but("wrong selector", k8s.kill(selector="app=webb", namespace="shop")))
def test_wrong_selector(chaos):
    chaos.run()
""",
    "revert-fails": """
@cf.experiment(base.but("revert fails", switch))
def test_revert_fails(chaos):
    chaos.run()
""",
    "down-before": """
@cf.experiment(
    base.but(
        "down before",
        k8s.kill(web, count=1),
        steady_state=cf.Hypothesis("the shop serves", cf.http("nobody", path="/health")),
        load=cf.Load("nobody", rate=200),
    )
)
def test_down_before(chaos):
    chaos.run()
""",
    "load-stops": """
@cf.experiment(base.but("load stops", k8s.kill(web, count=1), lasts="1s"))
def test_load_stops(chaos):
    meddled(chaos, "load-stops", "kill")
""",
}


@dataclass(frozen=True)
class Day:
    """Failures that share a game day, and what each of them must come to."""

    name: str
    failures: tuple[str, ...]
    verdict: str
    safety: str
    code: int


DAYS = (
    Day("deviated", ("one-replica",), "deviated", "clean", 1),
    Day("inconclusive", ("down-before", "undone", "load-stops"), "inconclusive", "clean", 10),
    Day("refused", ("wrong-selector",), "refused", "unknown", 11),
    Day("residue", ("revert-fails",), "inconclusive", "residue", 12),
)
AGAIN = {"residue": Day("residue", ("revert-fails",), "refused", "unknown", 11)}
"""What a second pytest comes to where the first one left something behind."""
assert sorted(failure for day in DAYS for failure in day.failures) == sorted(TESTS)


SAID = {
    "one-replica": "availability was",
    "undone": "faded",
    "wrong-selector": "app=webb",
    "revert-fails": "",
    "down-before": "before the fault",
    "load-stops": "the load ended by itself",
}
"""What the first sentence of each says: it is this failure and no other that was found."""

ON_THE_PAGE = {"inconclusive": ("✗ baseline", "not whole"), "residue": ("the switch does not answer",)}
"""What the report of a day says, beside the sentences."""


@dataclass(frozen=True, kw_only=True)
class Hiding:
    """One of pytest's ways: a mark above each test, the arguments of each run in turn, and what the last one prints of it."""

    name: str
    mark: str = ""
    runs: tuple[tuple[str, ...], ...] = ((),)
    shown: str


HIDINGS = (
    Hiding(name="plain-then-last-failed", runs=(("-p", "cacheprovider"), ("-p", "cacheprovider", "--lf")), shown="rerun previous"),
    Hiding(name="workers", runs=(("-n", "2"),), shown="2 workers"),
    Hiding(name="xfail", mark="@pytest.mark.xfail(strict=False)\n", shown="xfail above it hides no verdict"),
    Hiding(name="reruns", runs=(("--reruns", "1"),), shown="rerun"),
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    """One sandbox for the whole matrix, with something that has one replica in it."""
    spec = sandbox.SandboxSpec(manifests=(SAMPLES / "deploy" / "shop.yaml",), workdir=SAMPLES)
    with sandbox.start(spec, timeout=60.0) as started:
        yield started


@pytest.fixture
def matrix(workspace: Workspace, cluster: sandbox.Sandbox) -> Iterator[Workspace]:
    """A workspace whose cluster is put back afterwards, whatever the cell left in it."""
    workspace.write("pyproject.toml", SETTINGS)
    workspace.write("meddler.py", MEDDLER)
    workspace.write("brokendriver.py", (SAMPLES / "brokendriver.py").read_text())
    workspace.variables.update({"MEDDLE": str(cluster.kubeconfig), "PYTHONPATH": f"{ROOT}:{workspace.path}"})
    yield workspace
    for record in LedgerFile(cluster.directory / "safety").open():
        closed_by_hand(workspace, record.undo.id)
    assert LedgerFile(cluster.directory / "safety").open() == ()


def closed_by_hand(workspace: Workspace, record: str) -> None:
    command = [sys.executable, "-m", "chaosfw.cli.main", "heal", "--by-hand", record]
    done = subprocess.run(command, cwd=workspace.path, env=workspace.variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("hiding", HIDINGS, ids=lambda one: one.name)
@pytest.mark.parametrize("day", DAYS, ids=lambda one: one.name)
def test_a_failure_is_never_green_whatever_hides_it(matrix: Workspace, day: Day, hiding: Hiding) -> None:
    """
    The game day holds the verdict of each, and pytest's exit code is the one that the documents name for it. Of a failure that
    is run again, each run counts; what left residue behind is not run on top of it, but refused.
    """
    tests = [TESTS[failure].replace("@cf.experiment", f"{hiding.mark}@cf.experiment", 1) for failure in day.failures]
    matrix.write("experiments/test_it.py", BASE + "\n".join(tests))

    ran = matrix.run(*hiding.runs[0])
    came_to(ran, day)
    page = (matrix.path / "reports" / "latest" / "report.html").read_text()
    assert [words for words in ON_THE_PAGE.get(day.name, ()) if words not in page] == []
    assert str(matrix.path) not in page
    for arguments in hiding.runs[1:]:
        ran = matrix.run(*arguments)
        came_to(ran, AGAIN.get(day.name, day))
    assert hiding.shown in ran.output
    assert " passed" not in ran.output.splitlines()[-1]


def came_to(ran: Ran, day: Day) -> None:
    """Every failure of the day has its verdict, and would give the day its exit code without the others too."""
    found = ran.day()
    assert (ran.code, found["exit_code"]) == (day.code, day.code), ran.output
    lines = [msgspec.convert(line, RunLine) for line in found["runs"]]
    for failure in day.failures:
        mine = [line for line in lines if line.test.endswith(f"::test_{failure.replace('-', '_')}")]
        assert mine, f"{failure} is not in the game day\n{ran.output}"
        assert (mine[0].verdict, mine[0].safety) == (day.verdict, day.safety), ran.output
        assert {line.verdict for line in mine[1:]} <= {day.verdict, "blocked"}, ran.output
        assert SAID[failure] in mine[0].sentence
        assert exit_code(0, tuple(mine), only_plan=False) == day.code
        if failure == "down-before":
            assert all(called(ran, line) is None for line in mine), "a fault was called"


def called(ran: Ran, line: RunLine) -> int | None:
    """When its fault was called, if it was."""
    record = json.loads((ran.folder / "reports" / "latest" / line.folder / "record.json").read_text())
    found: int | None = record["fault_call"]
    return found
