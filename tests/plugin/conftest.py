"""pytest inside pytest, against one real sandbox that all tests of this folder share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chaosfw.sandbox import public as sandbox

ROOT = Path(__file__).parents[2]

SETTINGS = """
[tool.chaosfw]
environment = "sandbox"
defaults = { baseline = "1s", lasts = "1s", stable_for = "1s", recover_within = "3s", probe_every = "200ms" }

[tool.chaosfw.environments.sandbox]
manifests = ["shop.yaml"]
endpoints = { shop = "service/shop/myapp:80" }
"""

BASE = """
import chaosfw as cf
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone

web = k8s.deployment("myapp", namespace="shop")
base = cf.Experiment(
    steady_state=cf.Hypothesis("the shop serves", cf.http("shop", path="/health"), web.ready(at_least=2)),
    load=cf.Load("shop", rate=120),
)
"""


@dataclass(frozen=True)
class Ran:
    """What a pytest run came to."""

    code: int
    output: str
    folder: Path
    before: str = ""
    """What the runs said that were asked again: what is told once was told there."""

    def day(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "reports" / "latest" / "gameday.json").read_text())
        return found

    def verdicts(self) -> list[str]:
        return [line["verdict"] for line in self.day()["runs"]]

    def record(self, number: int = 0) -> dict[str, Any]:
        folders = sorted((self.folder / "reports" / "latest" / "runs").glob("[0-9]*"))
        found: dict[str, Any] = json.loads((folders[number] / "record.json").read_text())
        return found


@dataclass(frozen=True)
class Workspace:
    """A user's folder with settings, manifests and one file of experiments."""

    path: Path
    variables: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def experiments(self, text: str) -> None:
        self.write("experiments/test_it.py", BASE + text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        runner = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "experiments/", *arguments],
            cwd=self.path,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(runner)
        return runner

    def day(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "reports" / "latest" / "gameday.json").read_text())
        return found

    def close(self) -> None:
        """A test that failed half way leaves no runner behind for the next one to trip over."""
        for runner in self.started:
            if runner.poll() is None:
                runner.kill()
                runner.communicate()

    def command(self, *arguments: str) -> Ran:
        """``chaosfw`` with these arguments, in the user's folder."""
        command = [sys.executable, "-m", "chaosfw", *arguments]
        done = subprocess.run(command, cwd=self.path, env=self.variables, capture_output=True, text=True, timeout=60, check=False)
        return Ran(done.returncode, done.stdout + done.stderr, self.path)

    def run(self, *arguments: str, timeout: float = 120.0) -> Ran:
        """Runs to the end. A machine too busy to send on time proves nothing, and says so: then it is asked again, at most twice."""
        before = ""
        for _ in range(3):
            process = self.start(*arguments)
            output, _ = process.communicate(timeout=timeout)
            ran = Ran(process.returncode, output, self.path, before)
            before += output
            if process.returncode not in (10, 11) or "the load generator was unwell" not in output:
                break
        return ran


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sandbox.Sandbox]:
    """One sandbox with the shop in it."""
    manifests = tuple(sorted((ROOT / "deploy" / "shop").glob("*.yaml")))
    with sandbox.start(sandbox.SandboxSpec(manifests=manifests, workdir=ROOT), timeout=60.0) as started:
        yield started


@pytest.fixture
def workspace(tmp_path: Path, cluster: sandbox.Sandbox) -> Iterator[Workspace]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHAOSFW_"))}
    variables |= {"CHAOSFW_SANDBOX": str(cluster.directory), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default"}
    made = Workspace(tmp_path, variables)
    made.write("pyproject.toml", SETTINGS)
    for manifest in (ROOT / "deploy" / "shop").glob("*.yaml"):
        made.write(manifest.name, manifest.read_text())
    (tmp_path / "shop.yaml").touch()
    yield made
    made.close()
