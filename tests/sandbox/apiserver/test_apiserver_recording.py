"""
Every request that stock chaosk8s sends, from chaosk8s itself: all its probes and actions are called, and what they sent and got
is compared with the table beside this file. ``python -m tests.sandbox.apiserver.test_apiserver_recording`` makes the table anew.

Not whole, and why:

- ``exec_in_pods`` upgrades to a websocket, which the sandbox answers with 501 (docs/reference/sandbox.md); the client loses that
  status on the way, so it is recorded as no answer.
- ``replace_custom_object`` and ``replace_cluster_custom_object`` send nothing: they pass an argument that the client refuses.
- ``apply_from_json`` and ``apply_from_yaml`` send a string where an object belongs and get 400, as from a real cluster.
- A label selector that chaosk8s left as ``name in ({name})`` gets 400, as from a real cluster.
- ``should_be_found_in_logs`` asks nobody.
- What is asked while a drain waits depends on how fast pods go: a pod that is still there is allowed, and not required.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.apiserver.plane import NO_DOOR, Background, deployment, ours, ready, service

PROGRAM = Path(__file__).with_name("chaosk8s_recording.py")
TABLE = Path(__file__).with_name("chaosk8s-requests.txt")
SILENT = {"crd.actions.replace_cluster_custom_object", "crd.actions.replace_custom_object", "pod.probes.should_be_found_in_logs"}
SOMETIMES = {"GET /api/v1/namespaces/{namespace}/pods/{name} - 200 v1 Pod"}
DEFINITIONS = (
    ("ex.io", "v1", "foos", "Foo", "Namespaced"),
    ("ex.io", "v1", "bars", "Bar", "Cluster"),
    ("chaos-mesh.org", "v1alpha1", "networkchaos", "NetworkChaos", "Namespaced"),
    ("chaos-mesh.org", "v1alpha1", "stresschaos", "StressChaos", "Namespaced"),
)


def recording(folder: Path) -> dict[str, Any]:
    with Background(folder) as background:
        client = background.plane.client
        background.run(client.create("deployments.apps", deployment(), namespace="default"))
        background.run(client.create("services", service(), namespace="default"))
        for one in DEFINITIONS:
            background.run(client.create("customresourcedefinitions.apiextensions.k8s.io", definition(*one)))
        background.run(background.plane.until("pods", ready(3)))
        background.run(background.plane.until("deployments.apps", lambda found: found[0]["status"].get("availableReplicas") == 3))
        done = subprocess.run(
            [sys.executable, str(PROGRAM)], env=background.environment(), capture_output=True, text=True, timeout=90, check=False
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def definition(group: str, version: str, plural: str, kind: str, scope: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"plural": plural, "kind": kind}
    versions = [{"name": version, "served": True, "storage": True, "schema": schema}]
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": {"group": group, "scope": scope, "names": names, "versions": versions}}


def row(one: dict[str, Any]) -> str:
    query = f"?{one['query']}" if one["query"] else ""
    words = (one["method"], one["template"] + query, one["media"], str(one["status"]), one["version"], one["kind"])
    return " ".join(word for word in words if word)


def rows(found: dict[str, Any]) -> list[str]:
    return sorted({row(one) for one in found["requests"]} - SOMETIMES)


def head() -> str:
    """What is needed to read the table."""
    versions = f"chaosk8s {version('chaostoolkit-kubernetes')}, kubernetes {version('kubernetes')}"
    columns = "method, path as the client names it with its parameters' names, content type, status, what the answer says it is"
    return f"# {versions}; made by test_apiserver_recording.py\n# {columns}\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return recording(tmp_path_factory.mktemp("recording"))


def test_every_probe_and_action_of_chaosk8s_was_called(found: dict[str, Any]) -> None:
    assert found["uncalled"] == []
    assert set(found["silent"]) == SILENT


@ours(NO_DOOR)
def test_what_it_sends_and_gets_is_the_table(found: dict[str, Any]) -> None:
    """With other versions of chaosk8s or its client this tells what they changed."""
    assert rows(found) == [line for line in TABLE.read_text().splitlines() if not line.startswith("#")]


EVENTS = "GET /apis/events.k8s.io/v1/events?limit - 200 events.k8s.io/v1 EventList"


def test_every_answer_is_one_that_the_client_accepts(found: dict[str, Any]) -> None:
    """
    Read by the model that the client's own method declares for it, whether or not chaosk8s had it read. What it can not read of a real
    server either: events of the older form, which have no eventTime, as events of the newer one.
    """
    refused = [(row(one), one["refused"]) for one in found["requests"] if one["refused"] and "/exec?" not in row(one)]
    assert refused == [(EVENTS, "ValueError: Invalid value for `event_time`, must not be `None`")]
    unanswered = {one["template"] for one in found["requests"] if not one["status"]}
    assert unanswered == {"/api/v1/namespaces/{namespace}/pods/{name}/exec"}


@ours(NO_DOOR)
def test_no_request_found_a_server_that_broke(found: dict[str, Any]) -> None:
    assert [row(one) for one in found["requests"] if one["status"] >= 500] == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        TABLE.write_text(head() + "".join(f"{one}\n" for one in rows(recording(Path(made)))))
