"""The stock Python client refuses answers that lack a required field: its typed models are a strict reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox.apiserver.plane import Background, clients_python, deployment, ready, service

PROGRAM = Path(__file__).with_name("python_client_calls.py")
BUDGET = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}


@pytest.mark.parametrize("python", [lambda: sys.executable, clients_python], ids=["36", "29"])
def test_typed_models_read_everything(tmp_path: Path, python: Callable[[], str]) -> None:
    with Background(tmp_path) as background:
        plane = background.plane
        background.run(plane.client.create("deployments.apps", deployment(), namespace="default"))
        background.run(plane.client.create("services", service(), namespace="default"))
        background.run(plane.client.create("poddisruptionbudgets.policy", BUDGET, namespace="default"))
        background.run(plane.until("pods", ready(3)))
        background.run(plane.until("poddisruptionbudgets.policy", lambda found: found[0]["status"]["disruptionsAllowed"] == 1))
        background.run(plane.until("deployments.apps", lambda found: found[0]["status"].get("availableReplicas") == 3))
        background.run(plane.until("endpoints", lambda found: bool(found) and len(found[0]["subsets"][0].get("addresses", ())) == 3))
        done = subprocess.run(
            [python(), str(PROGRAM)], env=background.environment(), capture_output=True, text=True, timeout=60, check=False
        )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "nodes": ["n1", "n2", "n3"],
        "pods": 3,
        "ready": 3,
        "sets": 1,
        "slices": 3,
        "endpoints": 3,
        "allowed": 1,
        "events": True,
        "namespaces": ["default", "kube-node-lease", "kube-public", "kube-system"],
        "version": "37",
        "scale": 4,
        "dry": {"a": "b"},
        "pages": 4,
        "watched": 4,
    }
