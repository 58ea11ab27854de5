"""StatefulSets and DaemonSets as people use them, with kubectl, on either control plane: pods are processes and serve."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import Ask

STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8000}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "db:1", ports: [{containerPort: 8000}]}]
"""
DAEMONS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: default}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "agent:1", ports: [{containerPort: 8000}]}]
"""


@pytest.fixture
def db(ask: Ask) -> Iterator[None]:
    assert ask("apply", "-f", "-", given=STATEFUL).returncode == 0
    assert ask("rollout", "status", "sts/db", "--timeout=60s").returncode == 0
    yield
    assert ask("delete", "sts/db", "svc/db", "--wait").returncode == 0
    assert ask("wait", "--for=delete", "pod", "-l", "app=db", "--timeout=60s").returncode == 0


def pods(ask: Ask, app: str) -> dict[str, str]:
    """Nodes by pods."""
    found = json.loads(ask("get", "pods", "-l", f"app={app}", "-o", "json").stdout)["items"]
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in found}


def uid(ask: Ask, pod: str) -> str:
    return ask("get", "pod", pod, "-o", "jsonpath={.metadata.uid}").stdout


def served_by(shop: Sandbox, url: str) -> str:
    """Who answers through the door, as soon as the endpoints say where: a moment after the pod is ready."""
    through = urllib.request.build_opener(urllib.request.ProxyHandler({"http": shop.proxy}))
    end = time.monotonic() + 60
    while True:
        try:
            with through.open(url, timeout=20) as answer:
                return str(answer.headers["X-Chaosfw-Pod"])
        except urllib.error.HTTPError as refused:
            if refused.code != 502 or time.monotonic() > end:
                raise
        time.sleep(0.1)


def test_a_killed_member_comes_back_under_its_name_and_is_found_by_it(ask: Ask, db: None, shop: Sandbox) -> None:
    before = uid(ask, "db-0")

    assert ask("delete", "pod", "db-0", "--wait").returncode == 0
    assert ask("wait", "--for=create", "pod/db-0", "--timeout=60s").returncode == 0
    assert ask("wait", "--for=condition=ready", "pod/db-0", "--timeout=60s").returncode == 0

    assert sorted(pods(ask, "db")) == ["db-0", "db-1"]
    assert uid(ask, "db-0") not in (before, "")
    assert served_by(shop, "http://db-0.db.default.svc.cluster.local:8000/") == "db-0"


def test_its_rollout_is_told_and_undone(ask: Ask, db: None) -> None:
    assert ask("set", "image", "sts/db", "app=db:2").stdout == "statefulset.apps/db image updated\n"
    status = ask("rollout", "status", "sts/db", "--timeout=60s")
    history = ask("rollout", "history", "sts/db").stdout
    undone = ask("rollout", "undo", "sts/db")

    assert "partitioned roll out complete: 2 new pods have been updated..." in status.stdout
    assert history.split()[-4:] == ["1", "<none>", "2", "<none>"]
    assert undone.stdout == "statefulset.apps/db rolled back\n"
    assert ask("rollout", "status", "sts/db", "--timeout=60s").returncode == 0
    images = ask("get", "pods", "-l", "app=db", "-o", "jsonpath={.items[*].spec.containers[0].image}").stdout
    assert images == "db:1 db:1"


def test_a_daemon_runs_on_each_node_and_a_drain_leaves_it(ask: Ask) -> None:
    assert ask("apply", "-f", "-", given=DAEMONS).returncode == 0
    assert ask("rollout", "status", "ds/agent", "--timeout=60s").returncode == 0
    nodes = ask("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()
    assert sorted(pods(ask, "agent").values()) == sorted(nodes)

    refused = ask("drain", nodes[0], "--timeout=20s")
    drained = ask("drain", nodes[0], "--ignore-daemonsets", "--timeout=60s")

    assert "cannot delete DaemonSet-managed Pods" in refused.stderr
    assert drained.returncode == 0
    assert nodes[0] in pods(ask, "agent").values()
    assert ask("uncordon", nodes[0]).returncode == 0
    assert ask("delete", "ds/agent", "--wait").returncode == 0


def test_pods_and_revisions_that_were_orphaned_are_taken_again(ask: Ask, db: None) -> None:
    before = uid(ask, "db-0")

    assert ask("delete", "sts/db", "--cascade=orphan").returncode == 0
    assert sorted(pods(ask, "db")) == ["db-0", "db-1"]
    assert ask("apply", "-f", "-", given=STATEFUL).returncode == 0
    assert ask("rollout", "status", "sts/db", "--timeout=60s").returncode == 0

    assert uid(ask, "db-0") == before
    owner = "jsonpath={.metadata.ownerReferences[0].uid}"
    assert ask("get", "pod", "db-0", "-o", owner).stdout == ask("get", "sts", "db", "-o", "jsonpath={.metadata.uid}").stdout
