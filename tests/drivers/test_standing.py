"""How things stand, read from a real API: what the guards judge must be what is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chaosfw.assembly import catalogue
from chaosfw.drivers.kubernetes import rights, standing
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster
from chaosfw.faults import kubernetes as k8s
from chaosfw.model.facts import WorkloadFacts
from tests.drivers.conftest import gone, take, until

web = k8s.deployment("myapp", namespace="shop")
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/myapp"


def shop(cluster: Cluster) -> WorkloadFacts:
    (found,) = (one for one in standing.facts(cluster).workloads if one.name == "deployment shop/myapp")
    return found


@pytest.fixture
def made(cluster: Cluster) -> Iterator[list[str]]:
    """Paths of objects that a test makes; they are gone after it."""
    paths: list[str] = []
    yield paths
    for path in paths:
        gone(cluster, path)


def test_a_cluster_at_rest(cluster: Cluster) -> None:
    found = standing.facts(cluster)

    assert shop(cluster) == WorkloadFacts(name="deployment shop/myapp", wanted=3, ready=3, labels={"app": "myapp"})
    assert (found.others, found.marks, found.clock_ahead) == ((), (), 0.0)
    assert set(found.namespaces) >= {"shop", "kube-system"}
    assert [pod.ours for pod in found.pods if pod.ours] == []


def test_a_rollout_that_does_not_end_is_seen(cluster: Cluster) -> None:
    taken = take(k8s.set_image(web, "acme/web:none"))
    taken.call()

    until(lambda: shop(cluster).rolling, "the rollout is seen")
    taken.revert()
    until(lambda: not shop(cluster).rolling, "it is over")


def test_who_owns_a_workload_is_seen(cluster: Cluster, made: list[str]) -> None:
    scaler: dict[str, Any] = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "myapp", "namespace": "shop"},
        "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "myapp"}},
    }
    path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    cluster.post(path, scaler)
    made.append(f"{path}/myapp")
    cluster.patch(DEPLOYMENT, {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}})

    bounds = [take(k8s.scale(web, 2)).bound, take(k8s.cordon(hosting=web)).bound]
    found, delivered = shop(cluster), standing.delivered(cluster, bounds)

    cluster.patch(DEPLOYMENT, {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": None}}})
    assert (found.scaled_by, delivered) == ("HorizontalPodAutoscaler shop/myapp", {"deployment shop/myapp": "Flux"})
    assert standing.delivered(cluster, bounds) == {}


@pytest.mark.parametrize(
    ("manager", "fields", "who"),
    [
        ("argocd-controller", {"f:spec": {"f:selector": {}}}, "Argo CD"),
        ("kustomize-controller", {"f:data": {}}, "Flux"),
        ("kubectl", {"f:spec": {}}, ""),
        ("argocd-controller", {"f:metadata": {"f:annotations": {}}}, ""),
    ],
)
def test_who_delivers_an_object_is_read_from_managed_fields(manager: str, fields: dict[str, Any], who: str) -> None:
    """The sandbox keeps none; the shape is that of a real server."""
    assert standing.deliverer({"metadata": {"managedFields": [{"manager": manager, "fieldsV1": fields}]}}) == who


def test_a_list_that_may_not_be_read_is_not_taken_for_an_empty_one(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Cluster.items

    def forbidding(self: Cluster, path: str, **query: Any) -> Any:
        if path.endswith("autoscalers"):
            raise Answered(403, {"reason": "Forbidden"})
        return real(self, path, **query)

    monkeypatch.setattr(Cluster, "items", forbidding)

    assert standing.facts(cluster).unread == ("horizontalpodautoscalers.autoscaling",)


@pytest.mark.parametrize(
    ("strategy", "updated", "rolling"),
    [
        ({}, 2, True),
        ({}, 3, False),
        ({"type": "OnDelete"}, 0, False),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, 1, False),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, 0, True),
    ],
)
def test_a_stateful_set_that_is_held_back_on_purpose_is_not_being_rolled_out(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, strategy: dict[str, Any], updated: int, rolling: bool
) -> None:
    real = Cluster.items
    db = {
        "metadata": {"name": "db", "namespace": "shop", "generation": 1},
        "spec": {"replicas": 3, "updateStrategy": strategy},
        "status": {"observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "updatedReplicas": updated},
    }
    monkeypatch.setattr(Cluster, "items", lambda self, path, **query: [db] if path.endswith("statefulsets") else real(self, path, **query))

    (found,) = (one for one in standing.facts(cluster).workloads if one.name == "statefulset shop/db")
    assert found.rolling is rolling


def test_every_kind_of_fault_says_what_it_has_to_be_allowed(cluster: Cluster) -> None:
    """A kind that nobody asks about would pass the guard ``rights``. Kinds without a cluster, and plain calls, need none that is known."""
    kinds = {name for name in catalogue.kinds() if name.startswith(("kubernetes.", "zone."))}

    assert kinds == set(rights.NEEDS)


def test_other_chaos_and_our_own_pods_are_seen(cluster: Cluster, made: list[str]) -> None:
    for name, image, labels in (("krkn", "quay.io/krkn-chaos/krkn:latest", {}), ("reaper", "x", {"app.kubernetes.io/part-of": "chaosfw"})):
        pod: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
        cluster.post("/api/v1/namespaces/default/pods", {"apiVersion": "v1", "kind": "Pod", **pod})
        made.append(f"/api/v1/namespaces/default/pods/{name}")

    found = standing.facts(cluster)

    assert found.others == ("krkn in pod default/krkn",)
    assert [(pod.target.name, pod.ours) for pod in found.pods if pod.ours] == [("reaper", "of chaosfw")]


def define(cluster: Cluster, made: list[str], *, group: str, plural: str, kind: str) -> str:
    """The list of a kind that somebody's CRD adds."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
        "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}],
    }
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": spec,
    }
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    cluster.post(path, body)
    made.append(f"{path}/{plural}.{group}")
    until(lambda: _served(cluster, f"/apis/{group}/v1alpha1/{plural}"), f"{plural} are served")
    return f"/apis/{group}/v1alpha1/namespaces/shop/{plural}"


def _served(cluster: Cluster, path: str) -> bool:
    """A real server says 429 while it prepares the storage of a new kind."""
    try:
        return cluster.find(path) is not None
    except Answered as answer:
        if answer.code != 429:
            raise
        return False


@pytest.mark.parametrize(
    ("group", "plural", "kind", "body", "told"),
    [
        ("chaos-mesh.org", "podchaos", "PodChaos", {"status": {"experiment": {"desiredPhase": "Run"}}}, "Chaos Mesh PodChaos shop/theirs"),
        ("chaos-mesh.org", "jvmchaos", "JVMChaos", {}, "Chaos Mesh JVMChaos shop/theirs"),
        ("chaos-mesh.org", "podchaos", "PodChaos", {"status": {"experiment": {"desiredPhase": "Stop"}}}, ""),
        ("chaos-mesh.org", "workflows", "Workflow", {}, "Chaos Mesh Workflow shop/theirs"),
        ("chaos-mesh.org", "workflows", "Workflow", {"status": {"endTime": "2026-01-01T00:00:00Z"}}, ""),
        ("chaos-mesh.org", "workflownodes", "WorkflowNode", {}, ""),
        ("litmuschaos.io", "chaosengines", "ChaosEngine", {"spec": {"engineState": "active"}}, "Litmus ChaosEngine shop/theirs"),
        ("litmuschaos.io", "chaosengines", "ChaosEngine", {"spec": {"engineState": "stop"}}, ""),
        ("litmuschaos.io", "chaosengines", "ChaosEngine", {"status": {"engineStatus": "completed"}}, ""),
    ],
)
def test_chaos_of_other_tools_is_seen_while_it_is_on(
    cluster: Cluster, made: list[str], group: str, plural: str, kind: str, body: dict[str, Any], told: str
) -> None:
    path = define(cluster, made, group=group, plural=plural, kind=kind)
    cluster.post(path, {"apiVersion": f"{group}/v1alpha1", "kind": kind, "metadata": {"name": "theirs"}, **body})

    assert standing.facts(cluster).others == ((told,) if told else ())


def test_rights_are_asked_of_the_server(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    real = Cluster.post

    def recording(self: Cluster, path: str, body: dict[str, Any]) -> Any:
        if path == rights.REVIEWS:
            asked.append(body["spec"]["resourceAttributes"])
            if asked[-1]["verb"] == "patch":
                return {"status": {"allowed": False}}
        return real(self, path, body)

    monkeypatch.setattr(Cluster, "post", recording)
    bounds = [take(k8s.scale(web, 2)).bound, take(k8s.drain(hosting=web)).bound, take(k8s.kill(web)).bound]

    found = rights.lacking(cluster, bounds)

    assert found == ("patch deployments.apps in shop", "patch nodes")
    assert {(one["verb"], one["resource"], one["subresource"], one["namespace"]) for one in asked} == {
        ("get", "deployments", "", "shop"),
        ("patch", "deployments", "", "shop"),
        ("get", "nodes", "", ""),
        ("patch", "nodes", "", ""),
        ("create", "pods", "eviction", "shop"),
        ("delete", "pods", "", "shop"),
    }


def test_a_server_that_will_not_say_breaks_the_look(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that breaks is a refusal: nothing passes because nobody could be asked."""

    def forbidden(self: Cluster, path: str, body: dict[str, Any]) -> Any:
        raise Answered(403, {"reason": "Forbidden"})

    bounds = [take(k8s.kill(web)).bound]
    monkeypatch.setattr(Cluster, "post", forbidden)

    with pytest.raises(Answered, match="Forbidden"):
        rights.lacking(cluster, bounds)
