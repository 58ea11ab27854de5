"""Stock chaosk8s, unchanged, against the embedded control plane: every call the drivers of faults make."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.apiserver.plane import NO_DOOR, Background, deployment, ours, ready, service

PROGRAM = Path(__file__).with_name("chaosk8s_calls.py")
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
FOOS = {
    "metadata": {"name": "foos.ex.io"},
    "spec": {
        "group": "ex.io",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
EXPECTED = {
    "pods in phase": True,
    "pods not in phase": True,
    "pods in conditions": True,
    "count pods": 3,
    "count min pods": True,
    "deployment fully available": True,
    "deployment healthy": True,
    "terminate one": 1,
    "scale deployment": None,
    "rollout deployment": None,
    "cordon": ["n1"],
    "nodes": 3,
    "uncordon": ["n1"],
    "create node": "n9",
    "delete node": ["n9"],
    "service initialized": True,
    "create statefulset": None,
    "scale statefulset": None,
    "statefulset available": True,
    "remove statefulset": None,
    "deny ingress": None,
    "deny egress": None,
    "allow dns": None,
    "remove deny ingress": None,
    "create secret": None,
    "secret exists": True,
    "delete secret": None,
    "create namespace": None,
    "namespace exists": True,
    "delete namespace": None,
    "events": 5,
    "create custom": {"a": 1},
    "patch custom": {"a": 2},
    "custom": {"a": 2},
    "list custom": 1,
    "delete custom": "Success",
    "delete replicaset": None,
    "delete service": None,
    "delete deployment": None,
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    with Background(tmp_path_factory.mktemp("chaosk8s")) as background:
        client = background.plane.client
        background.run(client.create("deployments.apps", deployment(), namespace="default"))
        background.run(client.create("services", service(), namespace="default"))
        background.run(client.create("customresourcedefinitions.apiextensions.k8s.io", FOOS))
        background.run(background.plane.until("pods", ready(3)))
        background.run(background.plane.until("deployments.apps", lambda found: found[0]["status"].get("availableReplicas") == 3))
        done = subprocess.run(
            [sys.executable, str(PROGRAM)], env=background.environment(), capture_output=True, text=True, timeout=90, check=False
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("call", EXPECTED)
def test_a_stock_call_gets_what_a_real_cluster_gives(answers: dict[str, object], call: str) -> None:
    """One process makes all calls in order; each answer is judged on its own."""
    assert answers[call] == EXPECTED[call]


@ours(NO_DOOR)
def test_logs_come_from_whoever_runs_the_pod(answers: dict[str, object]) -> None:
    assert str(answers["logs"]).startswith("first line of default/web-")


@pytest.mark.parametrize("call", ["unknown group", "mesh without definition"])
def test_a_group_without_definition_is_not_found(answers: dict[str, object], call: str) -> None:
    """As on a real cluster without Chaos Mesh: no half-faked feature."""
    assert "404 page not found" in str(answers[call])


def test_a_healthy_deployment_never_counts_as_unavailable(answers: dict[str, object]) -> None:
    assert "failed to stop running within 1s" in str(answers["deployment not fully available"])
    assert "failed to stop running within 1s" in str(answers["statefulset not available"])
