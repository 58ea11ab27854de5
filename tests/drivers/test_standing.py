"""How things stand, read from a real API: what the guards judge must be what is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

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

    found = shop(cluster)

    cluster.patch(DEPLOYMENT, {"metadata": {"labels": {"kustomize.toolkit.fluxcd.io/name": None}}})
    assert (found.scaled_by, found.delivered_by) == ("HorizontalPodAutoscaler shop/myapp", "Flux")


def test_other_chaos_and_our_own_pods_are_seen(cluster: Cluster, made: list[str]) -> None:
    for name, image, labels in (("krkn", "quay.io/krkn-chaos/krkn:latest", {}), ("reaper", "x", {"app.kubernetes.io/part-of": "chaosfw"})):
        pod: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}}
        cluster.post("/api/v1/namespaces/default/pods", {"apiVersion": "v1", "kind": "Pod", **pod})
        made.append(f"/api/v1/namespaces/default/pods/{name}")

    found = standing.facts(cluster)

    assert found.others == ("krkn in pod default/krkn",)
    assert [(pod.target.name, pod.ours) for pod in found.pods if pod.ours] == [("reaper", "of chaosfw")]


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
