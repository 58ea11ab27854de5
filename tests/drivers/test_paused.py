"""Pods whose processes are stopped: they answer nothing, and go on as the same pods afterwards."""

from __future__ import annotations

import pytest

from chaosfw.activities import kubernetes as activities
from chaosfw.drivers.kubernetes import changes, look, paused
from chaosfw.drivers.kubernetes.cluster import Cluster, Object
from chaosfw.errors import DriverError, UsageError
from chaosfw.faults import kubernetes as k8s
from chaosfw.model.environment import Target
from tests.drivers.conftest import gone, take, until

web = k8s.deployment("myapp", namespace="shop")


def pod_of(cluster: Cluster, target: Target) -> Object:
    return cluster.get(f"/api/v1/namespaces/{target.namespace}/pods/{target.name}")


def test_a_paused_pod_answers_nothing_and_goes_on_as_the_same(cluster: Cluster) -> None:
    """Its readiness probe, which is a real request, says so."""
    taken = take(k8s.pause(web))
    (victim,) = taken.bound.targets
    assert look.is_ready(pod_of(cluster, victim))

    taken.call()

    until(lambda: taken.bitten().holds, "its kubelet says that it is paused")
    assert taken.bitten().victims == (victim.name,)
    until(lambda: not look.is_ready(pod_of(cluster, victim)), "it does not answer its readiness probe")
    assert [one.ending for one in taken.revert()] == ["restored"]
    until(lambda: taken.healed() == [True], "its kubelet says that it is not")
    until(lambda: look.is_ready(pod_of(cluster, victim)), "it answers again")
    again = pod_of(cluster, victim)
    assert look.uid_of(again) == victim.uid
    assert [one["restartCount"] for one in again["status"]["containerStatuses"]] == [0]


def test_one_that_is_gone_meanwhile_is_not_put_back(cluster: Cluster) -> None:
    taken = take(k8s.pause(web))
    (victim,) = taken.bound.targets
    taken.call()
    until(lambda: taken.bitten().holds, "its kubelet says that it is paused")
    cluster.delete(f"/api/v1/namespaces/{victim.namespace}/pods/{victim.name}", {"gracePeriodSeconds": 0})
    until(lambda: cluster.find(f"/api/v1/namespaces/{victim.namespace}/pods/{victim.name}") is None, "it is gone, paused as it was")

    assert [one.ending for one in taken.revert()] == ["gone"]
    assert taken.healed() == [True]


def test_another_pod_of_that_name_is_left_alone(cluster: Cluster) -> None:
    name = look.name_of(look.pods(cluster, namespace="shop")[0])

    with pytest.raises(DriverError, match="is another one of that name by now"):
        activities.pause_pods([name], namespace="shop", uids={name: "of yesterday"})


@pytest.mark.usefixtures("cluster")
def test_where_no_kubelet_can_do_it_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paused, "RUNTIME", "another://")

    with pytest.raises(UsageError, match=r"runs on chaosfw://1\.0\.0, which can not stop a pod's processes"):
        take(k8s.pause(web))


def test_where_nothing_runs_yet_nothing_is_said_to_be_paused(cluster: Cluster) -> None:
    """An annotation that a pod is made with stops nothing, and its condition does not claim so."""
    spec = {"containers": [{"name": "a", "image": "acme/web:1"}]}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "born", "annotations": {changes.PAUSED_BY: "true"}}, "spec": spec}
    cluster.post("/api/v1/namespaces/shop/pods", body)
    path = "/api/v1/namespaces/shop/pods/born"
    until(lambda: look.is_ready(cluster.get(path)), "it runs")

    said = [one["status"] for one in cluster.get(path)["status"]["conditions"] if one["type"] == changes.PAUSED_BY]

    gone(cluster, path)
    assert said == ["False"]
