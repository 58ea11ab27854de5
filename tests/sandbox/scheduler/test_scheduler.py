"""Which node a pod gets, and what is said when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from fractions import Fraction
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.scheduler import fit
from chaosfw.sandbox.scheduler.picture import Picture, Tenants
from chaosfw.sandbox.scheduler.spread import Spreading
from tests.sandbox.apiserver.plane import DEADLINE, Plane, deployment, plane, ready

PLACE = {"namespace": "default"}
SIX = {"n1": "a", "n2": "a", "n3": "a", "n4": "a", "n5": "b", "n6": "c"}


def tell(story: Callable[[Plane], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(2 * DEADLINE), plane(**options) as running:
            await story(running)

    asyncio.run(run())


def node(name: str, *, zone: str = "a", cpu: str = "2", **spec: Any) -> Object:
    labels = {"kubernetes.io/hostname": name, "topology.kubernetes.io/zone": zone}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "3"}},
    }


def pod(name: str = "p", *, cpu: str = "", owner: str = "o", **spec: Any) -> Object:
    asked = {"requests": {"cpu": cpu}} if cpu else {}
    owners = [{"uid": owner, "controller": True}]
    metadata = {"name": name, "uid": name, "namespace": "default", "labels": {"app": "web"}, "ownerReferences": owners}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "resources": asked}], **spec}}


def tenants(*pods: Object) -> Tenants:
    found = Tenants()
    for one in pods:
        found.add(one)
    return found


def picture(**pods: list[Object]) -> Picture:
    found = Picture()
    for place, here in pods.items():
        for one in here:
            found.put(one, place)
    return found


def test_requests_are_counted_against_what_is_left() -> None:
    assert fit.refusals(pod(cpu="1500m"), node("n"), tenants(pod(cpu="500m"))) == []
    assert fit.refusals(pod(cpu="1501m"), node("n"), tenants(pod(cpu="500m"))) == ["Insufficient cpu"]
    assert fit.refusals(pod(), node("n"), tenants(pod("1"), pod("2"), pod("3"))) == ["Too many pods"]


def test_cordon_taints_and_selectors_keep_pods_away() -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    toleration = {"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}

    assert fit.refusals(pod(), node("n", unschedulable=True), tenants()) == ["node(s) were unschedulable"]
    assert fit.refusals(pod(), node("n", taints=[taint]), tenants()) == ["node(s) had untolerated taint(s)"]
    assert fit.refusals(pod(tolerations=[toleration]), node("n", taints=[taint]), tenants()) == []
    assert fit.refusals(pod(nodeSelector={"disk": "ssd"}), node("n"), tenants()) == ["node(s) didn't match Pod's node affinity/selector"]


def test_zones_count_before_the_emptiest_node() -> None:
    nodes = [node("n1", zone="a"), node("n2", zone="a"), node("n3", zone="b")]
    seen = picture(n1=[pod("x")], n3=[pod("y", owner="another"), pod("z", owner="another")])

    assert Spreading(pod(), nodes, seen).best(nodes)["metadata"]["name"] == "n3"


def test_a_hard_constraint_rules_out_the_crowded_zone() -> None:
    nodes = [node("n1", zone="a"), node("n2", zone="b")]
    constraint = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}},
    }
    newcomer = pod(topologySpreadConstraints=[constraint])

    spreading = Spreading(newcomer, nodes, picture(n1=[pod("x")]))

    assert spreading.violates(nodes[0])
    assert not spreading.violates(nodes[1])


def test_what_is_counted_goes_with_the_pods() -> None:
    seen = picture(n1=[pod("x", cpu="500m"), pod("y")], n2=[pod("z")])
    seen.put(pod("x", cpu="500m"), "n2")
    seen.drop("z")
    going = pod("y")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    seen.put(going, "n1")

    assert seen.siblings(pod()) == {"n2": 1}
    assert (seen.tenants("n1").asked["cpu"], seen.tenants("n2").asked["cpu"]) == (0, Fraction(1, 2))
    assert set(seen.tenants("n1").pods) == {"y"}


def test_replicas_are_spread_over_zones_first() -> None:
    async def story(running: Plane) -> None:
        await running.client.create("deployments.apps", deployment(), **PLACE)
        pods = await running.until("pods", ready(3))

        assert {SIX[one["spec"]["nodeName"]] for one in pods} == {"a", "b", "c"}

    tell(story, nodes=SIX)


def test_a_pod_without_a_place_says_why_and_gets_one_when_there_is() -> None:
    async def story(running: Plane) -> None:
        for name in ("n1", "n2", "n3"):
            await running.client.patch("nodes", name, {"spec": {"unschedulable": True}})
        await running.client.create("deployments.apps", deployment(replicas=1), **PLACE)
        events = await running.until("events", lambda found: any(one["reason"] == "FailedScheduling" for one in found))
        pending, _ = await running.client.list("pods", **PLACE)
        await running.client.patch("nodes", "n2", {"spec": {"unschedulable": None}})
        placed = await running.until("pods", ready(1))

        message = "0/3 nodes are available: 3 node(s) were unschedulable."
        assert message in [one["message"] for one in events]
        condition = pending[0]["status"]["conditions"][0]
        assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "Unschedulable")
        assert placed[0]["spec"]["nodeName"] == "n2"

    tell(story)


def test_resources_freed_by_a_vanished_pod_are_used() -> None:
    async def story(running: Plane) -> None:
        body = deployment(replicas=4)
        body["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
        await running.client.create("deployments.apps", body, **PLACE)
        pods = await running.until("pods", lambda found: sum("nodeName" in one["spec"] for one in found) == 3 and len(found) == 4)
        waiting = next(one["metadata"]["name"] for one in pods if "nodeName" not in one["spec"])
        await running.client.patch("deployments.apps", "web", {"spec": {"replicas": 3}}, **PLACE)
        await running.until("pods", ready(3))
        left, _ = await running.client.list("pods", **PLACE)

        assert waiting not in {one["metadata"]["name"] for one in left}

    tell(story)
