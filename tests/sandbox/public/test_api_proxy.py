"""HTTP to pods and services through the API server, with kubectl, on either control plane."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import Ask

PODS, SERVICES = "/api/v1/namespaces/shop/pods", "/api/v1/namespaces/shop/services"


@pytest.fixture
def pod(ask: Ask, settled: Sandbox) -> Any:
    return json.loads(ask("get", "pods", "-n", "shop", "-l", "app=myapp", "-o", "json").stdout)["items"][0]


def port_of(pod: Any) -> int:
    return int(pod["spec"]["containers"][0]["ports"][0]["containerPort"])


def test_a_pod_answers_at_a_port(ask: Ask, pod: Any) -> None:
    name = pod["metadata"]["name"]
    answers = [ask("get", "--raw", f"{PODS}/{name}:{port_of(pod)}/proxy{path}") for path in ("/", "/health", "/any/thing?with=words")]
    assert [answer.returncode for answer in answers] == [0, 0, 0], answers


def test_a_service_answers_by_name_and_number_of_its_port(ask: Ask, pod: Any) -> None:
    plain = ask("get", "--raw", f"{SERVICES}/myapp:80/proxy/health")
    assert plain.returncode == 0, plain.stderr
    missing = ask("get", "--raw", f"{SERVICES}/myapp:81/proxy/health")
    assert missing.stderr == 'Error from server (ServiceUnavailable): no service port 81 found for service "myapp"\n'


def test_codes_and_methods_are_passed_on(shop: Sandbox, pod: Any) -> None:
    """What is asked with a body arrives, and an answer that is none of the API server's is not changed into one."""
    url = f"{shop.server}{PODS}/{pod['metadata']['name']}:{port_of(pod)}/proxy/"
    headers = {"Authorization": f"Bearer {shop.token}", "Content-Type": "text/plain"}
    trusted = ssl.create_default_context(cafile=str(shop.ca))
    with urllib.request.urlopen(urllib.request.Request(url, data=b"x" * 100_000, headers=headers), context=trusted, timeout=30) as answer:
        assert answer.status == 200
        assert answer.headers["X-Chaosfw-Pod"] == pod["metadata"]["name"]


def test_a_service_may_itself_be_called_proxy(ask: Ask, shop: Sandbox) -> None:
    """The path begins after the word, not after the name."""
    ports = [{"name": "http", "port": 80, "targetPort": 8000}]
    spec = {"selector": {"app": "myapp"}, "ports": ports}
    shop.apply([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "proxy", "namespace": "shop"}, "spec": spec}])
    ask("wait", "-n", "shop", "--for=jsonpath={.endpoints[0]}", "endpointslices", "-l", "kubernetes.io/service-name=proxy", "--timeout=60s")
    shop.endpoint("shop/proxy")

    answered = ask("get", "--raw", f"{SERVICES}/proxy:80/proxy/health")
    ask("delete", "service", "-n", "shop", "proxy")

    assert answered.returncode == 0, answered.stderr


def test_where_nobody_listens_it_is_unavailable(ask: Ask, pod: Any) -> None:
    refused = ask("get", "--raw", f"{PODS}/{pod['metadata']['name']}:4321/proxy/")
    assert refused.returncode == 1
    assert "Connection refused" in refused.stderr  # Kubernetes' own takes the door for the pod, and says InternalError
