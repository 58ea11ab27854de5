"""Hollow nodes: many records of nodes and pods, whose life the control planes run as they run any other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.errors import SandboxError
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES, HOLLOW

NODES, PODS = 30, 90
SLOW = 120.0
SERVICE = "kubernetes.io/service-name"
MANY = "/apis/apps/v1/namespaces/default/deployments/many"
Object = dict[str, Any]


def many() -> Object:
    container = {"name": "app", "image": "x", "ports": [{"name": "http", "containerPort": 8000}]}
    spec = {"nodeSelector": {HOLLOW: "true"}, "tolerations": [{"key": HOLLOW, "operator": "Exists"}], "containers": [container]}
    template = {"metadata": {"labels": {"app": "many"}}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "many", "namespace": "default"},
        "spec": {"replicas": PODS, "selector": {"matchLabels": {"app": "many"}}, "template": template},
    }


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with start(SandboxSpec(nodes=3, hollow_nodes=NODES, control_plane=request.param), timeout=SLOW) as sandbox:
        sandbox.apply([many()])
        yield sandbox


@pytest.fixture(scope="module")
def cluster(sandbox: Sandbox) -> Cluster:
    return Cluster(str(sandbox.kubeconfig))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SLOW
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


def available(cluster: Cluster) -> int:
    return int(cluster.get(MANY).get("status", {}).get("availableReplicas", 0))


def pods(cluster: Cluster) -> list[Object]:
    return cluster.items("/api/v1/namespaces/default/pods", labelSelector="app=many")


def ready(node: Object) -> str:
    return next(one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready")


def test_pods_that_ask_for_it_are_ready_there_and_spread(cluster: Cluster) -> None:
    until(lambda: available(cluster) == PODS)
    found = pods(cluster)

    assert {pod["spec"]["nodeName"].partition("-")[0] for pod in found} == {"hollow"}
    assert len({pod["status"]["podIP"] for pod in found}) == PODS
    zones = [cluster.get(f"/api/v1/nodes/{pod['spec']['nodeName']}")["metadata"]["labels"]["topology.kubernetes.io/zone"] for pod in found]
    assert {zones.count(zone) for zone in set(zones)} == {PODS // 3}


def test_a_pod_that_does_not_ask_for_it_runs_for_real(sandbox: Sandbox, cluster: Cluster) -> None:
    body = many()
    body["metadata"]["name"] = "real"
    body["spec"] |= {"replicas": 3, "selector": {"matchLabels": {"app": "real"}}}
    body["spec"]["template"] = {
        "metadata": {"labels": {"app": "real"}},
        "spec": {"containers": body["spec"]["template"]["spec"]["containers"]},
    }
    sandbox.apply([body])

    until(lambda: len([pod for pod in cluster.items("/api/v1/namespaces/default/pods", labelSelector="app=real") if is_ready(pod)]) == 3)
    found = cluster.items("/api/v1/namespaces/default/pods", labelSelector="app=real")
    assert {pod["spec"]["nodeName"].partition("-")[0] for pod in found} == {"node"}
    cluster.delete("/apis/apps/v1/namespaces/default/deployments/real")


def is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


def test_a_lost_one_is_found_out_and_its_pods_come_back_with_it(sandbox: Sandbox, cluster: Cluster) -> None:
    until(lambda: available(cluster) == PODS)
    there = {pod["metadata"]["uid"] for pod in pods(cluster) if pod["spec"]["nodeName"] == "hollow-1"}

    sandbox.machine("hollow-1", "off")
    until(lambda: ready(cluster.get("/api/v1/nodes/hollow-1")) == "Unknown")
    until(lambda: available(cluster) < PODS)
    assert sandbox.machines()["hollow-1"] == "off"
    with pytest.raises(SandboxError, match=f"no node 'hollow-99'; there: node-1, node-2, node-3, hollow-1 to hollow-{NODES}"):
        sandbox.machine("hollow-99", "off")
    sandbox.machine("hollow-1", "on")

    until(lambda: ready(cluster.get("/api/v1/nodes/hollow-1")) == "True")
    until(lambda: available(cluster) == PODS)
    assert there <= {pod["metadata"]["uid"] for pod in pods(cluster)}


def test_who_waits_for_the_workload_to_be_at_rest_does_not_wait_for_records_to_answer(sandbox: Sandbox, cluster: Cluster) -> None:
    spec = {"selector": {"app": "many"}, "ports": [{"port": 80, "targetPort": "http"}]}
    sandbox.apply([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "many", "namespace": "default"}, "spec": spec}])
    until(lambda: bool(cluster.items("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", labelSelector=f"{SERVICE}=many")))

    sandbox.settle(timeout=SLOW)


def test_what_is_deleted_is_gone_and_made_anew(cluster: Cluster) -> None:
    until(lambda: available(cluster) == PODS)
    before = {pod["metadata"]["uid"] for pod in pods(cluster)}

    victim = min(pod["metadata"]["name"] for pod in pods(cluster))
    cluster.delete(f"/api/v1/namespaces/default/pods/{victim}")

    until(lambda: victim not in {pod["metadata"]["name"] for pod in pods(cluster)} and available(cluster) == PODS)
    assert len({pod["metadata"]["uid"] for pod in pods(cluster)} - before) == 1
