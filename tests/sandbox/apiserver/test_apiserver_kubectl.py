"""Stock kubectl, unchanged: what people type against a cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.sandbox.apiserver.plane import NO_DOOR, Background, deployment, ours, ready, service

BUDGET = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": "web"}}},
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Background]:
    """A deployment of three ready pods behind a service, applied with kubectl."""
    with Background(tmp_path) as background:
        text = yaml.safe_dump_all([deployment(), service()])
        told = background.kubectl("apply", "-f", "-", stdin=text)
        assert "deployment.apps/web created" in told
        background.run(background.plane.until("pods", ready(3)))
        yield background


def test_get_prints_the_columns_of_each_kind(cluster: Background) -> None:
    cluster.kubectl("rollout", "status", "deploy/web", "--timeout=10s")

    pods = cluster.kubectl("get", "pods", "-o", "wide")
    everything = cluster.kubectl("get", "all,endpointslices,nodes,events")

    assert re.search(r"^NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES", pods)
    assert len(re.findall(r"web-\S+ +1/1 +Running +0 ", pods)) == 3
    assert {"n1", "n2", "n3"} == set(re.findall(r" (n\d) ", pods))
    assert re.search(r"deployment.apps/web +3/3 +3 +3", everything)
    assert re.search(r"service/web +ClusterIP +10\.96\.\d+\.\d+ +<none> +80/TCP", everything)
    assert re.search(r"node/n1 +Ready +<none> .* v1\.37\.2", everything)
    assert "Successfully assigned default/web-" in everything


def test_get_gives_whole_objects(cluster: Background) -> None:
    as_yaml = yaml.safe_load(cluster.kubectl("get", "deploy", "web", "-o", "yaml"))
    names = cluster.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}").split()

    assert as_yaml["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert len(names) == 3


def test_apply_again_changes_nothing(cluster: Background) -> None:
    text = yaml.safe_dump_all([deployment(), service()])

    told = cluster.kubectl("apply", "-f", "-", stdin=text)
    diff = cluster.kubectl("diff", "-f", "-", stdin=text)

    assert "deployment.apps/web unchanged" in told
    assert "service/web unchanged" in told
    assert diff == ""


def test_apply_of_a_misspelt_field_is_refused(cluster: Background) -> None:
    body = deployment("other")
    body["spec"]["replicsa"] = 2

    told = cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body), ok=False)

    assert 'unknown field "spec.replicsa"' in told


def test_a_rollout_can_be_followed_undone_and_scaled(cluster: Background) -> None:
    cluster.kubectl("set", "image", "deploy/web", "app=stand-in:2")
    status = cluster.kubectl("rollout", "status", "deploy/web", "--timeout=10s")
    history = cluster.kubectl("rollout", "history", "deploy/web")
    cluster.kubectl("rollout", "undo", "deploy/web")
    cluster.kubectl("rollout", "status", "deploy/web", "--timeout=10s")
    cluster.kubectl("scale", "deploy/web", "--replicas=5")
    cluster.kubectl("wait", "--for=jsonpath={.status.readyReplicas}=5", "deploy/web", "--timeout=10s")

    assert "successfully rolled out" in status
    assert re.search(r"^1 .*\n2 ", history, re.MULTILINE)
    assert cluster.kubectl("get", "deploy", "web", "-o", "jsonpath={..image}") == "stand-in:1"


def test_wait_returns_when_the_condition_comes(cluster: Background) -> None:
    assert "condition met" in cluster.kubectl("wait", "--for=condition=Available", "deploy/web", "--timeout=10s")
    assert "condition met" in cluster.kubectl("wait", "--for=condition=Ready", "pod", "-l", "app=web", "--timeout=10s")


def test_drain_waits_for_the_budget_and_cordon_keeps_pods_away(cluster: Background) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(BUDGET))
    budgets = "poddisruptionbudgets.policy"
    cluster.run(cluster.plane.until(budgets, lambda found: found[0]["status"].get("currentHealthy") == 3))

    refused = cluster.kubectl("drain", "n1", "--timeout=1s", ok=False)
    cluster.kubectl("patch", "pdb", "web", "-p", '{"spec":{"minAvailable":2}}')
    cluster.run(cluster.plane.until(budgets, lambda found: found[0]["status"].get("disruptionsAllowed") == 1))
    drained = cluster.kubectl("drain", "n1", "--timeout=20s")
    pods = cluster.run(cluster.plane.until("pods", ready(3)))

    assert "Cannot evict pod as it would violate the pod's disruption budget." in refused
    assert "node/n1 drained" in drained
    assert {pod["spec"]["nodeName"] for pod in pods} == {"n2", "n3"}
    assert "Ready,SchedulingDisabled" in cluster.kubectl("get", "node", "n1")
    assert "uncordoned" in cluster.kubectl("uncordon", "n1")


def test_describe_tells_events_and_conditions(cluster: Background) -> None:
    cluster.kubectl("rollout", "status", "deploy/web", "--timeout=10s")

    assert "MinimumReplicasAvailable" in cluster.kubectl("describe", "deploy", "web")
    assert "Successfully assigned" in cluster.kubectl("describe", "pod", "-l", "app=web", "--show-events")
    assert "KubeletReady" in cluster.kubectl("describe", "node", "n1")
    assert re.search(r"Endpoints: +10\.0\.0\.\d+:8000,", cluster.kubectl("describe", "service", "web"))


def test_labels_annotations_and_patches(cluster: Background) -> None:
    cluster.kubectl("label", "deploy", "web", "tier=front")
    cluster.kubectl("annotate", "deploy", "web", "note=here")
    cluster.kubectl("patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":2}]')

    assert "web" in cluster.kubectl("get", "deploy", "-l", "tier=front")


@ours(NO_DOOR)
def test_logs(cluster: Background) -> None:
    assert "first line of default/web-" in cluster.kubectl("logs", "deploy/web")
    assert "second line" in cluster.kubectl("logs", "-f", "deploy/web")


def test_delete_waits_until_everything_owned_is_gone(cluster: Background) -> None:
    told = cluster.kubectl("delete", "deploy", "web", "--cascade=foreground", "--timeout=10s")

    assert "deleted" in told
    assert "No resources found" in cluster.kubectl("get", "pods,rs")


def test_a_namespace_is_emptied_before_it_goes(cluster: Background) -> None:
    cluster.kubectl("apply", "-f", "-", stdin="apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")
    cluster.run(cluster.plane.until("serviceaccounts", lambda found: bool(found), namespace="shop"))
    cluster.kubectl("-n", "shop", "apply", "-f", "-", stdin=yaml.safe_dump(deployment()))
    cluster.run(cluster.plane.until("pods", ready(3), namespace="shop"))

    cluster.kubectl("delete", "namespace", "shop", "--timeout=15s")

    assert "No resources found" in cluster.kubectl("get", "deploy,rs,pods,cm", "-n", "shop")


def test_a_custom_resource_is_served_like_any_other(cluster: Background) -> None:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        "additionalPrinterColumns": [{"name": "Size", "type": "string", "jsonPath": ".spec.size"}],
    }
    names = {"plural": "boxes", "singular": "box", "kind": "Box", "shortNames": ["bx"]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boxes.ex.io"},
        "spec": {"group": "ex.io", "scope": "Namespaced", "names": names, "versions": [version]},
    }
    box = {"apiVersion": "ex.io/v1", "kind": "Box", "metadata": {"name": "one"}, "spec": {"size": "large"}}

    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(definition))
    cluster.kubectl("wait", "--for=condition=Established", "crd/boxes.ex.io", "--timeout=10s")
    cluster.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(box))

    assert re.search(r"NAME +SIZE\none +large", cluster.kubectl("get", "bx"))


def test_what_a_client_may_do_is_answered(cluster: Background) -> None:
    assert "v1.37.2" in cluster.kubectl("version")
    assert "deployments" in cluster.kubectl("api-resources")
    assert "replicas" in cluster.kubectl("explain", "deployment.spec")


def test_typed_commands_which_send_protocol_buffers(cluster: Background) -> None:
    cluster.kubectl("create", "namespace", "shop")
    cluster.run(cluster.plane.until("serviceaccounts", bool, namespace="shop"))
    cluster.kubectl("-n", "shop", "create", "deployment", "front", "--image=stand-in:1", "--replicas=2", "--port=8000")
    cluster.kubectl("-n", "shop", "create", "configmap", "settings", "--from-literal=colour=blue")
    cluster.kubectl("-n", "shop", "create", "secret", "generic", "keys", "--from-literal=key=value")
    cluster.kubectl("-n", "shop", "create", "service", "clusterip", "front", "--tcp=80:8000")
    cluster.kubectl("-n", "shop", "create", "poddisruptionbudget", "front", "--selector=app=front", "--min-available=1")
    pods = cluster.run(cluster.plane.until("pods", ready(2), namespace="shop"))

    assert pods[0]["spec"]["containers"][0]["ports"] == [{"containerPort": 8000, "protocol": "TCP"}]
    assert cluster.kubectl("-n", "shop", "get", "cm", "settings", "-o", "jsonpath={.data}") == '{"colour":"blue"}'
    assert cluster.kubectl("-n", "shop", "get", "secret", "keys", "-o", "jsonpath={.data.key}") == "dmFsdWU="
    assert cluster.kubectl("-n", "shop", "get", "svc", "front", "-o", "jsonpath={.spec.ports[0].targetPort}") == "8000"
    assert cluster.kubectl("-n", "shop", "get", "pdb", "front", "-o", "jsonpath={.spec.minAvailable}") == "1"
    assert cluster.kubectl("auth", "can-i", "delete", "pods") == "yes\n"
