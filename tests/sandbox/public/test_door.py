"""The HTTP proxy for clients that know only what the cluster says, asked by curl and by pods."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosfw.sandbox.https import Api
from chaosfw.sandbox.public import LinkFault, Sandbox, SandboxSpec, start

SHOP = Path(__file__).parents[3] / "deploy" / "shop"
HEADLESS = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "each", "namespace": "shop"},
    "spec": {"clusterIP": "None", "selector": {"app": "myapp"}, "ports": [{"port": 8000}]},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Sandbox]:
    with start(SandboxSpec(nodes=2, zones=("a", "b"), manifests=(SHOP,))) as sandbox:
        sandbox.apply([HEADLESS])
        sandbox.settle()
        yield sandbox


def curl(proxy: str, *words: str) -> str:
    """What it was answered, and the status."""
    command = ["curl", "-sS", "--max-time", "10", "-x", proxy, "-w", " %{http_code} %{http_connect}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def get(sandbox: Sandbox, path: str) -> dict[str, Any]:
    api = Api(sandbox.server, token=sandbox.token, authority=sandbox.ca)
    try:
        found: dict[str, Any] = api.get(path)
        return found
    finally:
        api.close()


@pytest.mark.parametrize(
    "host",
    [
        "myapp.shop",
        "myapp.shop.svc",
        "MyApp.shop.svc.cluster.local.",
        "each.shop.svc:8000",
        "{cluster_ip}",
        "{pod}:8000",
        "{dashed}.shop.pod:8000",
    ],
)
def test_names_and_addresses_of_the_cluster_are_found(cluster: Sandbox, host: str) -> None:
    pod = get(cluster, "/api/v1/namespaces/shop/pods")["items"][0]["status"]["podIP"]
    cluster_ip = get(cluster, "/api/v1/namespaces/shop/services/myapp")["spec"]["clusterIP"]
    url = f"http://{host.format(cluster_ip=cluster_ip, pod=pod, dashed=pod.replace('.', '-'))}/"
    assert curl(cluster.proxy, url, "-o", "/dev/null").split() == ["200", "000"]


def test_it_tunnels_what_is_not_http(cluster: Sandbox) -> None:
    told = curl(cluster.proxy, "--cacert", str(cluster.ca), "https://kubernetes.default.svc/version", "-o", "/dev/null")
    assert told.split() == ["200", "200"]


def test_many_requests_of_one_client_each_find_their_way(cluster: Sandbox) -> None:
    told = curl(
        cluster.proxy,
        "-o",
        "/dev/null",
        "http://myapp.shop/",
        "-o",
        "/dev/null",
        "http://each.shop:8000/",
        "-o",
        "/dev/null",
        "http://myapp.shop/",
    )
    assert told.split() == ["200", "000"] * 3


@pytest.mark.parametrize("host", ["nobody.shop", "myapp", "10.96.9.9", "10.244.0.250:8000", "192.0.2.1", "127.0.0.1:22", "example.org"])
def test_what_is_not_there_is_said_and_never_asked_outside(cluster: Sandbox, host: str) -> None:
    told = curl(cluster.proxy, f"http://{host}/")
    assert told.split()[-2:] == ["502", "000"]
    assert host.partition(":")[0] in told


def test_each_source_has_a_door_of_its_own_and_meets_the_faults_between_places(cluster: Sandbox) -> None:
    cluster.break_links([LinkFault(kind="refuse", source={"node": "node-1"}, destination={"service": "myapp"})])
    try:
        assert curl(cluster.proxy, "http://myapp.shop/", "-o", "/dev/null").split()[0] == "200"
        assert "refused" in in_a_pod(cluster, "node-1")
        assert in_a_pod(cluster, "node-2") == "200"
    finally:
        cluster.break_links([])


def in_a_pod(cluster: Sandbox, node: str) -> str:
    """What a pod there is answered by the shop: a status, or why not."""
    pods = get(cluster, "/api/v1/namespaces/shop/pods")["items"]
    pod = next(one["metadata"]["name"] for one in pods if one["spec"]["nodeName"] == node)
    asked = "import os, urllib.request, urllib.error as e\n"
    asked += "opener = urllib.request.build_opener(urllib.request.ProxyHandler({'http': os.environ['CHAOSFW_PROXY']}))\n"
    asked += "try: print(opener.open('http://myapp.shop/').status)\nexcept e.HTTPError as error: print(error.read().decode())"
    command = ["kubectl", "exec", "-n", "shop", pod, "--", "python", "-c", asked]
    return subprocess.run(command, env=cluster.env(), capture_output=True, text=True, check=True).stdout.strip()
