"""The fast set for every supported Python: everything imports, one simulated run, one sandbox, one real kill."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import chaosfw
from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judge
from chaosfw.model.event import Audited, BodyEnded, RunSealed
from chaosfw.model.verdict import Verdict
from chaosfw.sandbox import public as sandbox
from chaosfw.testing.simulation import World, plan_of, simulate
from chaosfw.timing import SYSTEM

ROOT = Path(__file__).parents[2]
MODULES = sorted(one.name for one in pkgutil.walk_packages(chaosfw.__path__, "chaosfw."))

SETTINGS = """
[tool.chaosfw]
defaults = { baseline = "1s", lasts = "1s", stable_for = "1s", recover_within = "3s", probe_every = "200ms" }
[tool.chaosfw.environments.sandbox]
manifests = ["shop/*.yaml"]
endpoints = { shop = "service/shop/myapp:80" }
"""
EXPERIMENT = """
import chaosfw as cf
from chaosfw.faults import kubernetes as k8s

web = k8s.deployment("myapp", namespace="shop")
up = cf.Hypothesis("the shop serves", cf.http("shop", path="/health"), web.ready(at_least=2))

@cf.experiment(cf.Experiment("lose a pod", k8s.kill(web), steady_state=up, load=cf.Load("shop", rate=120)))
def test_it(chaos: cf.Chaos) -> None:
    assert chaos.run().load.lost < 20
"""


def python(*arguments: str, folder: Path, timeout: float = 90.0) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHAOSFW_"))}
    variables = kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=variables, capture_output=True, text=True, timeout=timeout, check=False
    )


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


PATCHED = ("master", "pacing", "recording", "running", "strict", "words", "worker")
IN_LOCUST = ["chaosfw.processes.locust", "chaosfw.processes.locust_worker", *(f"chaosfw.load.locust.{name}" for name in PATCHED)]
"""Modules of a process that Locust has patched; the main comes first, as it does there."""


@pytest.mark.parametrize("locust", [False, True])
def test_every_module_imports_by_itself_without_a_warning(tmp_path: Path, locust: bool) -> None:
    """In a process of their own: drivers must not be loaded into this one, and Locust into none that has anything else."""
    mains = {"__main__"}
    code = (
        "import importlib, sys, traceback, warnings\nbad = []\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        with warnings.catch_warnings():\n"
        "            warnings.filterwarnings('error', module='chaosfw')\n"
        "            importlib.import_module(name)\n"
        "    except BaseException:\n        bad.append(name + traceback.format_exc())\n"
        "sys.exit('\\n'.join(bad) or 0)"
    )
    others = [name for name in MODULES if name.rpartition(".")[2] not in mains and name not in IN_LOCUST]
    done = python("-c", code, *(IN_LOCUST if locust else others), folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(MODULES) > 150
    assert set(IN_LOCUST) <= set(MODULES)


@pytest.mark.parametrize(("world", "verdict"), [(World(), Verdict.held), (World(bad=(0.0, 30.0), abnormal=(0.0, 30.0)), Verdict.deviated)])
def test_a_simulated_run_is_judged(world: World, verdict: Verdict) -> None:
    out = simulate(plan_of(), world)
    at = out.events[-1].at
    events = [*out.events, BodyEnded(at=at, how="passed"), Audited(at=at, residue=())]

    record = fold([*events, RunSealed(at=at, lines=len(events), sha256="")], out.samples)

    assert judge(record, final=True).verdict is verdict


def test_a_sandbox_starts_with_its_pods_and_leaves_nothing() -> None:
    manifests = tuple(sorted((ROOT / "deploy" / "shop").glob("*.yaml")))
    with sandbox.start(sandbox.SandboxSpec(manifests=manifests, workdir=ROOT), timeout=60.0) as started:
        pids = [one.pid for one in started.processes()]
        assert len([one for one in started.processes() if one.name == "pod"]) == 3

    assert not started.directory.exists()
    end = SYSTEM.monotonic_ns() + 5_000_000_000
    while left := [pid for pid in pids if lives(pid)]:  # the keeper itself is the last: it ends after it has said that all is gone
        assert SYSTEM.monotonic_ns() < end, left
        SYSTEM.sleep(0.01)


def test_a_pod_is_really_killed_and_the_shop_survives(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "shop").symlink_to(ROOT / "deploy" / "shop")
    (tmp_path / "test_it.py").write_text(EXPERIMENT)

    done = python("-m", "pytest", "-p", "no:cacheprovider", "test_it.py", folder=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "held" in done.stdout
    assert (tmp_path / "reports" / "latest" / "report.html").stat().st_size > 10_000
