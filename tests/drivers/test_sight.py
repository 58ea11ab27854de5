"""What a cluster is seen to do: in the right order, once, and in words that a person reads beside a picture."""

from __future__ import annotations

from typing import Any

import pytest

from chaosfw.activities import kubernetes as acts
from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.drivers.kubernetes.sight import Sights, autoscaled, node_steps, pod_steps, workload_steps
from chaosfw.model.event import ClusterSaw, Sight
from chaosfw.timing import SYSTEM
from tests.drivers.conftest import until


class Watching:
    """Everything seen since the test began."""

    def __init__(self, cluster: Cluster) -> None:
        self._sights = Sights(cluster, clock=SYSTEM)
        self._sights.open()
        self._cursor, _ = self._sights.since(0)
        self.seen: list[ClusterSaw] = []

    def of(self, name: str) -> list[Sight | None]:
        self._cursor, fresh = self._sights.since(self._cursor)
        self.seen += fresh
        return [one.reason for one in self.seen if one.subject is not None and one.subject.name == name]


@pytest.fixture
def watching(cluster: Cluster) -> Watching:
    return Watching(cluster)


def shop_pods(cluster: Cluster) -> list[Object]:
    return look.pods_of(cluster, kind="deployment", name="myapp", namespace="shop")


def test_a_killed_pod_and_its_replacement_are_followed_to_the_end(cluster: Cluster, watching: Watching) -> None:
    before = {look.name_of(pod) for pod in shop_pods(cluster)}
    victim = sorted(before)[0]

    cluster.delete(f"/api/v1/namespaces/shop/pods/{victim}")

    until(lambda: Sight.gone in watching.of(victim), f"{victim} is seen to go")
    (new,) = {look.name_of(pod) for pod in shop_pods(cluster)} - before
    until(lambda: Sight.ready in watching.of(new), f"{new} is seen to be ready")
    assert watching.of(victim) == [Sight.terminating, Sight.gone]
    assert watching.of(new) == [Sight.created, Sight.scheduled, Sight.started, Sight.ready]
    assert {one.of for one in watching.seen if one.subject is not None and one.subject.kind == "pod"} == {"deployment shop/myapp"}


def test_a_cordon_and_its_end_are_seen(cluster: Cluster, watching: Watching) -> None:
    node = look.name_of(look.nodes(cluster)[0])

    acts.cordon_nodes([node])
    acts.uncordon_nodes([node])

    until(lambda: Sight.uncordoned in watching.of(node), "the node is seen to be schedulable again")
    assert watching.of(node) == [Sight.cordoned, Sight.uncordoned]


def test_a_deploy_is_seen_as_a_deploy_and_a_scale_as_a_scale(cluster: Cluster, watching: Watching) -> None:
    path = "/apis/apps/v1/namespaces/shop/deployments/myapp"
    template = cluster.get(path)["spec"]["template"]["metadata"].get("annotations") or {}
    try:
        cluster.patch(path, {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}})
        until(lambda: Sight.deployed in watching.of("myapp"), "the deploy is seen")
        cluster.patch(path, {"spec": {"replicas": 4}})
        until(lambda: Sight.scaled in watching.of("myapp"), "the scale is seen")
        assert watching.of("myapp") == [Sight.deployed, Sight.scaled]
    finally:
        cluster.patch(path, {"spec": {"replicas": 3, "template": {"metadata": {"annotations": {"restarted": None, **template}}}}})
        until(lambda: acts.rollout_is_complete("myapp", namespace="shop"), "the deployment is as it was")


def test_an_autoscaler_owns_the_replicas_of_its_target(cluster: Cluster) -> None:
    path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "myapp"}
    cluster.post(path, {"metadata": {"name": "more"}, "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5}})
    try:
        assert autoscaled(cluster) == {"deployment shop/myapp"}
    finally:
        cluster.delete(f"{path}/more")


def test_a_cursor_of_another_process_starts_from_the_beginning(cluster: Cluster) -> None:
    sights = Sights(cluster, clock=SYSTEM)

    assert sights.since(999) == (0, [])


class Forbidden(Cluster):
    """A cluster whose workloads this user may not read."""

    def listed(self, path: str) -> tuple[list[Object], str]:
        if path.startswith("/apis/apps"):
            raise Answered(403, {"reason": "Forbidden", "message": "not for you"})
        return super().listed(path)


def test_what_may_not_be_watched_is_said_once_and_not_waited_for(cluster: Cluster) -> None:
    sights = Sights(Forbidden(cluster.kubeconfig), clock=SYSTEM)

    sights.open()

    _, told = sights.since(0)
    assert sorted(one.what.partition(" can not")[0] for one in told) == ["daemonsets", "deployments", "statefulsets"]
    assert all("403 Forbidden" in one.what and one.reason is None for one in told)


def pod(*, node: str = "", running: bool = False, ready: bool = False, ending: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"metadata": {"name": "web-1", "uid": "u"}, "spec": {}, "status": {}}
    made["spec"] = {"nodeName": node} if node else {}
    made["status"]["containerStatuses"] = [{"state": {"running": {}} if running else {"waiting": {}}}]
    made["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
    if ending:
        made["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return made


def test_steps_that_fell_into_one_sight_are_told_in_the_order_in_which_pods_take_them() -> None:
    told = [reason for reason, _ in pod_steps(None, pod(node="n", running=True, ready=True))]

    assert told == [Sight.created, Sight.scheduled, Sight.started, Sight.ready]


def test_a_pod_that_ends_is_told_once_and_not_as_unready() -> None:
    running, ending = pod(node="n", running=True, ready=True), pod(node="n", running=True, ending=True)

    assert [reason for reason, _ in pod_steps(running, ending)] == [Sight.terminating]
    assert not list(pod_steps(ending, ending))
    assert [reason for reason, _ in pod_steps(ending, None)] == [Sight.gone]


def test_a_pod_that_stops_answering_is_not_ready_any_more() -> None:
    assert [reason for reason, _ in pod_steps(pod(node="n", running=True, ready=True), pod(node="n", running=True))] == [Sight.not_ready]


def test_a_node_that_falls_silent_and_comes_back() -> None:
    def node(ready: str) -> dict[str, Any]:
        return {"metadata": {"name": "n"}, "spec": {}, "status": {"conditions": [{"type": "Ready", "status": ready}]}}

    assert [reason for reason, _ in node_steps(node("True"), node("Unknown"))] == [Sight.node_lost]
    assert [reason for reason, _ in node_steps(node("Unknown"), node("True"))] == [Sight.node_back]


def test_an_autoscaler_s_step_is_not_a_person_s() -> None:
    was, now = ({"metadata": {"name": "web"}, "spec": {"replicas": count}} for count in (3, 5))

    assert list(workload_steps(was, now, autoscaled=True)) == [(Sight.autoscaled, "web was autoscaled from 3 to 5")]
    assert list(workload_steps(was, now, autoscaled=False)) == [(Sight.scaled, "web was scaled from 3 to 5")]
