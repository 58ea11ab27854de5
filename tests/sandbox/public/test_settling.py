"""Which pods stand in the wrong zone: decided by what a Deployment says of its spread, and never without an end."""

from __future__ import annotations

from typing import Any

import pytest

from chaosfw.sandbox.settling import Cluster, misplaced, unsettled

Object = dict[str, Any]
ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def node(zone: str) -> Object:
    ready = {"type": "Ready", "status": "True"}
    return {"metadata": {"name": f"node-{zone}", "labels": {ZONE: zone}}, "spec": {}, "status": {"conditions": [ready]}}


def cluster(constraints: list[Object], *, pods: dict[str, int]) -> Cluster:
    """One Deployment with so many pods in each zone."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"topologySpreadConstraints": constraints}}
    spec = {"replicas": sum(pods.values()), "selector": {"matchLabels": labels}, "template": template}
    meta = {"namespace": "default", "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    there = [
        {"metadata": {**meta, "name": f"{zone}-{number}"}, "spec": {"nodeName": f"node-{zone}"}, "status": {"phase": "Running"}}
        for zone, count in pods.items()
        for number in range(count)
    ]
    deployment = {"metadata": {"name": "web", "namespace": "default"}, "spec": spec}
    return Cluster(deployments=[deployment], pods=there, services=[], nodes=[node(zone) for zone in pods], backends={})


def by(key: str, skew: int = 1) -> Object:
    return {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway"}


@pytest.mark.parametrize(
    ("constraints", "pods", "from_zone"),
    [
        ([by(ZONE)], {"a": 2, "b": 1, "c": 0}, "a"),
        ([by(ZONE)], {"a": 2, "b": 1, "c": 1}, None),
        ([by(ZONE)], {"a": 3, "b": 1, "c": 2}, "a"),
        ([by(ZONE, 2)], {"a": 3, "b": 1, "c": 2}, None),
        ([by(ZONE, 2)], {"a": 4, "b": 1, "c": 1}, "a"),
        ([], {"a": 40, "b": 30, "c": 30}, None),
        ([], {"a": 2, "b": 1, "c": 0}, "a"),
        ([by(HOST)], {"a": 3, "b": 0, "c": 0}, None),
        ([by(ZONE)], {"a": 2, "b": 0, "c": 0}, None),
    ],
)
def test_a_pod_is_moved_where_its_deployment_wants_another_spread(
    constraints: list[Object], pods: dict[str, int], from_zone: str | None
) -> None:
    found = misplaced(cluster(constraints, pods=pods))

    assert (found and found["spec"]["nodeName"]) == (from_zone and f"node-{from_zone}")


def workload(generation: int, status: Object, **spec: Any) -> Object:
    meta = {"name": "db", "namespace": "shop", "generation": generation}
    return {"metadata": meta, "spec": {"selector": {"matchLabels": {"app": "db"}}, **spec}, "status": status}


ROLLS: Object = {"updateStrategy": {"type": "RollingUpdate"}}
PARTLY: Object = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}}


@pytest.mark.parametrize(
    ("spec", "status", "rests"),
    [
        (ROLLS, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 2}, True),
        (ROLLS, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 1, "observedGeneration": 2}, False),
        (ROLLS, {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2, "observedGeneration": 2}, False),
        (PARTLY, {"replicas": 2, "updatedReplicas": 1, "availableReplicas": 2, "observedGeneration": 2}, True),
        (ROLLS, {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "observedGeneration": 1}, False),
        (ROLLS, {}, False),
    ],
)
def test_a_stateful_set_is_waited_for(spec: Object, status: Object, rests: bool) -> None:
    look = Cluster(deployments=[], pods=[], services=[], nodes=[], backends={}, stateful=[workload(2, status, replicas=2, **spec)])
    assert (unsettled(look) == []) is rests


@pytest.mark.parametrize(
    ("status", "rests"),
    [
        ({"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3, "observedGeneration": 1}, True),
        ({"desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 2, "observedGeneration": 1}, False),
        ({"desiredNumberScheduled": 0, "observedGeneration": 1}, True),
        ({"desiredNumberScheduled": 0}, False),
    ],
)
def test_a_daemon_set_is_waited_for(status: Object, rests: bool) -> None:
    look = Cluster(deployments=[], pods=[], services=[], nodes=[], backends={}, daemons=[workload(1, status, **ROLLS)])
    assert (unsettled(look) == []) is rests
