"""The controllers on a real server with a fake kubelet: what they make true, and how they get there."""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import orphans, rollout
from chaosfw.sandbox.controllers.nodes import Nodes, _Heard
from chaosfw.sandbox.controllers.rollout import SetCount
from chaosfw.sandbox.objects.tolerations import patience
from chaosfw.sandbox.profiles import PROFILES
from chaosfw.timing import nanoseconds
from tests.sandbox.apiserver.plane import DEADLINE, Plane, deployment, is_ready, ours, plane, ready, service

SLICES = "endpointslices.discovery.k8s.io"
SETS = "replicasets.apps"
PLACE = {"namespace": "default"}


def tell(story: Callable[[Plane], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(2 * DEADLINE), plane(**options) as running:
            await story(running)

    asyncio.run(run())


def available(count: int, *, revision: str = "") -> Callable[[list[Object]], bool]:
    def holds(found: list[Object]) -> bool:
        status = found[0].get("status") or {}
        progress = [one for one in status.get("conditions", ()) if one["type"] == "Progressing"]
        complete = bool(progress) and progress[0]["reason"] == "NewReplicaSetAvailable"
        noted = found[0]["metadata"].get("annotations", {}).get("deployment.kubernetes.io/revision", "")
        observed = status.get("observedGeneration", 0) == found[0]["metadata"]["generation"]
        return observed and complete and status.get("availableReplicas", 0) == count and revision in ("", noted)

    return holds


async def rolled_out(running: Plane, **spec: Any) -> Object:
    await running.client.create("deployments.apps", deployment(**spec), **PLACE)
    return (await running.until("deployments.apps", available(spec.get("replicas", 3))))[0]


async def listed(running: Plane, pod: Object, *, going: bool) -> list[Object]:
    """The endpoints of a pod, once its slice says whether it is going."""

    def of_pod(found: list[Object]) -> list[Object]:
        return [one for one in found[0]["endpoints"] if one["targetRef"]["uid"] == pod["metadata"]["uid"]]

    slices = await running.until(SLICES, lambda found: any(one["conditions"]["terminating"] is going for one in of_pod(found)))
    return of_pod(slices)


def test_a_deployment_becomes_ready_pods_one_on_each_node() -> None:
    async def story(running: Plane) -> None:
        found = await rolled_out(running)
        pods, _ = await running.client.list("pods", **PLACE)
        sets, _ = await running.client.list(SETS, **PLACE)

        assert {pod["spec"]["nodeName"] for pod in pods} == {"n1", "n2", "n3"}
        counters = {name: value for name, value in found["status"].items() if name != "conditions"}
        all_three = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 3)
        assert counters == {"observedGeneration": 1, "terminatingReplicas": 0, **all_three}
        template = copy.deepcopy(sets[0]["spec"]["template"])
        digest = template["metadata"]["labels"].pop("pod-template-hash")
        assert template == found["spec"]["template"]
        assert sets[0]["metadata"]["name"] == f"web-{digest}"

    tell(story)


def test_a_deleted_pod_is_replaced_within_milliseconds() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        pods, _ = await running.client.list("pods", **PLACE)
        gone = pods[0]["metadata"]

        began = time.monotonic()
        await running.client.delete("pods", gone["name"], grace=0, uid=gone["uid"], **PLACE)
        await running.until("pods", lambda found: len(found) == 3 and all(pod["metadata"]["uid"] != gone["uid"] for pod in found))

        assert time.monotonic() - began < 0.5

    tell(story)


def test_a_rollout_keeps_within_surge_and_unavailability() -> None:
    async def story(running: Plane) -> None:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        await rolled_out(running, replicas=4, strategy=strategy)
        _, version = await running.client.list("pods", **PLACE)
        watch = running.client.watch("pods", since=version, **PLACE)
        known = {pod["metadata"]["name"]: pod for pod in (await running.client.list("pods", **PLACE))[0]}
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "stand-in:2"}]}}}}
        await running.client.patch("deployments.apps", "web", change, style="strategic", **PLACE)

        most, fewest = 4, 4
        while not all(pod["spec"]["containers"][0]["image"] == "stand-in:2" for pod in known.values()) or len(known) != 4:
            kind, pod = await anext(watch)
            known[pod["metadata"]["name"]] = pod
            if kind == "DELETED":
                del known[pod["metadata"]["name"]]
            active = [one for one in known.values() if not one["metadata"].get("deletionTimestamp")]
            most, fewest = max(most, len(active)), min(fewest, sum(is_ready(one) for one in active))
        await running.until("deployments.apps", available(4, revision="2"))

        assert (most, fewest) == (5, 4)

    tell(story)


def test_a_rollout_that_cannot_get_ready_leaves_the_old_pods() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running, progressDeadlineSeconds=1)
        assert running.kubelet is not None
        running.kubelet.hold = ("web-",)
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "broken:1"}]}}}}
        await running.client.patch("deployments.apps", "web", change, style="strategic", **PLACE)
        failed = await running.until(
            "deployments.apps",
            lambda found: any(one.get("reason") == "ProgressDeadlineExceeded" for one in found[0]["status"]["conditions"]),
        )
        pods, _ = await running.client.list("pods", **PLACE)

        assert failed[0]["status"]["availableReplicas"] == 3
        assert sum(is_ready(pod) for pod in pods) == 3
        assert len(pods) == 4

    tell(story)


def test_recreate_never_runs_both_versions() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running, strategy={"type": "Recreate"})
        _, version = await running.client.list("pods", **PLACE)
        watch = running.client.watch("pods", since=version, **PLACE)
        known = {pod["metadata"]["name"]: pod for pod in (await running.client.list("pods", **PLACE))[0]}
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "stand-in:2"}]}}}}
        await running.client.patch("deployments.apps", "web", change, style="strategic", **PLACE)
        mixed = False
        while {pod["spec"]["containers"][0]["image"] for pod in known.values()} != {"stand-in:2"} or len(known) != 3:
            kind, pod = await anext(watch)
            known[pod["metadata"]["name"]] = pod
            if kind == "DELETED":
                del known[pod["metadata"]["name"]]
            mixed = mixed or len({one["spec"]["containers"][0]["image"] for one in known.values()}) == 2

        assert not mixed

    tell(story)


def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        change = {"spec": {"paused": True, "replicas": 5, "template": {"metadata": {"annotations": {"a": "b"}}}}}
        await running.client.patch("deployments.apps", "web", change, **PLACE)
        await running.until("pods", ready(5))
        sets, _ = await running.client.list(SETS, **PLACE)

        assert len(sets) == 1

    tell(story)


def test_endpoints_tell_ready_serving_and_terminating_apart() -> None:
    async def story(running: Plane) -> None:
        await running.client.create("services", service(), **PLACE)
        await rolled_out(running)
        full = await running.until(SLICES, lambda found: bool(found) and len(found[0]["endpoints"]) == 3)
        endpoint = full[0]["endpoints"][0]
        pod = await running.client.get("pods", endpoint["targetRef"]["name"], **PLACE)
        assert running.kubelet is not None
        running.kubelet.lets_go = False
        await running.client.delete("pods", pod["metadata"]["name"], **PLACE)
        states = [one["conditions"] for one in await listed(running, pod, going=True)]
        await running.client.delete("pods", pod["metadata"]["name"], grace=0, **PLACE)
        await running.until(SLICES, lambda found: pod["metadata"]["uid"] not in repr(found))

        assert full[0]["ports"] == [{"name": "", "port": 8000, "protocol": "TCP"}]
        assert endpoint["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert endpoint["zone"] == {"n1": "zone-a", "n2": "zone-b", "n3": "zone-c"}[endpoint["nodeName"]]
        assert states == [{"ready": False, "serving": True, "terminating": True}]

    tell(story)


def test_a_service_without_pods_has_an_empty_slice() -> None:
    async def story(running: Plane) -> None:
        await running.client.create("services", service(), **PLACE)
        found = await running.until(SLICES, bool)

        assert found[0]["endpoints"] is None, "as Go writes an empty list"

    tell(story)


@pytest.mark.parametrize(("spec", "allowed"), [({"minAvailable": 2}, 1), ({"maxUnavailable": 2}, 2), ({"minAvailable": "100%"}, 0)])
def test_a_budget_says_how_many_may_go(spec: Object, allowed: int) -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        body = {"metadata": {"name": "web"}, "spec": {**spec, "selector": {"matchLabels": {"app": "web"}}}}
        await running.client.create("poddisruptionbudgets.policy", body, **PLACE)
        found = await running.until("poddisruptionbudgets.policy", lambda found: found[0]["status"]["currentHealthy"] == 3)

        assert found[0]["status"]["disruptionsAllowed"] == allowed
        assert found[0]["status"]["expectedPods"] == 3

    tell(story)


def test_two_evictions_at_once_cannot_share_the_last_allowance() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        body = {"metadata": {"name": "web"}, "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}}
        await running.client.create("poddisruptionbudgets.policy", body, **PLACE)
        await running.until("poddisruptionbudgets.policy", lambda found: found[0]["status"]["disruptionsAllowed"] == 1)
        pods, _ = await running.client.list("pods", **PLACE)

        await running.client.evict(pods[0]["metadata"]["name"], **PLACE)
        with pytest.raises(ApiError, match="429 TooManyRequests"):
            await running.client.evict(pods[1]["metadata"]["name"], **PLACE)

    tell(story)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_what_is_owned_goes_with_its_owner(propagation: str) -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        await running.client.delete("deployments.apps", "web", propagation=propagation, **PLACE)

        for resource in ("deployments.apps", SETS, "pods"):
            await running.until(resource, lambda found: not found)

    tell(story)


@ours("Kubernetes' own collector learns of a kind when it looks for new ones, each 30 s")
@pytest.mark.parametrize("gone", ["the owner", "its kind"])
def test_what_a_custom_object_owns_goes_with_it(gone: str) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "runs", "singular": "run", "kind": "Run"}
    spec = {"group": "test.io", "scope": "Namespaced", "names": names, "versions": [version]}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "runs.test.io"},
        "spec": spec,
    }

    async def scenario(running: Plane) -> None:
        client = running.client
        await client.create("customresourcedefinitions.apiextensions.k8s.io", definition)
        owner = await client.create("runs.test.io", {"apiVersion": "test.io/v1", "kind": "Run", "metadata": {"name": "one"}}, **PLACE)
        reference = {"apiVersion": "test.io/v1", "kind": "Run", "name": "one", "uid": owner["metadata"]["uid"]}
        stranger = {**reference, "uid": "0c0ffee0-0000-4000-8000-000000000000"}
        for name, owners in (("kept", []), ("owned", [reference]), ("late", [stranger])):
            await client.create("configmaps", {"metadata": {"name": name, "ownerReferences": owners}}, **PLACE)
        await running.until("configmaps", lambda found: _names(found) == {"kept", "owned"})  # of the late one nobody was ever there
        if gone == "the owner":
            await client.delete("runs.test.io", "one", propagation="Foreground", **PLACE)
        else:
            await client.delete("customresourcedefinitions.apiextensions.k8s.io", "runs.test.io")
        await running.until("configmaps", lambda found: _names(found) == {"kept"})

    tell(scenario)


def _names(found: list[Object]) -> set[str]:
    return {one["metadata"]["name"] for one in found} - {"kube-root-ca.crt"}


def test_orphans_stay_and_are_adopted_again() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        before, _ = await running.client.list("pods", **PLACE)
        await running.client.delete("deployments.apps", "web", propagation="Orphan", **PLACE)
        await running.until("deployments.apps", lambda found: not found)
        orphans, _ = await running.client.list(SETS, **PLACE)
        await rolled_out(running)
        adopted, _ = await running.client.list(SETS, **PLACE)
        after, _ = await running.client.list("pods", **PLACE)

        assert "ownerReferences" not in orphans[0]["metadata"]
        assert [one["metadata"]["uid"] for one in adopted] == [orphans[0]["metadata"]["uid"]]
        assert {pod["metadata"]["uid"] for pod in before} == {pod["metadata"]["uid"] for pod in after}

    tell(story)


def test_a_namespace_has_its_account_and_is_emptied_when_it_goes() -> None:
    async def story(running: Plane) -> None:
        await running.client.create("namespaces", {"metadata": {"name": "shop"}})
        await running.until("serviceaccounts", bool, namespace="shop")
        await running.until("configmaps", bool, namespace="shop")
        await running.client.create("deployments.apps", deployment(), namespace="shop")
        await running.until("pods", ready(3), namespace="shop")
        await running.client.delete("namespaces", "shop")
        with pytest.raises(ApiError, match="because it is being terminated"):
            await running.client.create("configmaps", {"metadata": {"name": "late"}}, namespace="shop")
        await running.until("namespaces", lambda found: all(one["metadata"]["name"] != "shop" for one in found), namespace="")
        left, _ = await running.client.list("pods", namespace="shop")

        assert left == []

    tell(story)


def test_growing_fills_the_surge_and_no_more() -> None:
    limits = rollout.Bounds(replicas=4, surge=1, unavailable=0)

    assert rollout.grow(limits, SetCount("new", 0, 0), [SetCount("old", 4, 4)]) == 1
    assert rollout.shrink(limits, SetCount("new", 1, 0), [SetCount("old", 4, 4)]) == {"old": 4}
    assert rollout.shrink(limits, SetCount("new", 1, 1), [SetCount("old", 4, 4)]) == {"old": 3}


def test_broken_old_pods_go_first_and_are_not_counted_as_available() -> None:
    limits = rollout.Bounds(replicas=4, surge=1, unavailable=1)

    assert rollout.shrink(limits, SetCount("new", 1, 0), [SetCount("old", 4, 2)]) == {"old": 3}


def test_percentages_round_as_kubernetes_rounds_them() -> None:
    assert rollout.bounds({"replicas": 3}) == rollout.Bounds(replicas=3, surge=1, unavailable=0)
    zero = {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": "10%"}}
    assert rollout.bounds({"replicas": 3, "strategy": zero}).unavailable == 1


def test_scaling_in_the_middle_of_a_rollout_is_shared_out() -> None:
    limits = rollout.Bounds(replicas=20, surge=0, unavailable=0)

    sizes = rollout.proportional(limits, [SetCount("old", 8, 8), SetCount("new", 2, 2)])

    assert sizes == {"old": 16, "new": 4}


def test_pods_of_a_node_that_is_gone_are_removed_and_placed_elsewhere() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        pods, _ = await running.client.list("pods", **PLACE)
        (lost,) = [pod["metadata"]["uid"] for pod in pods if pod["spec"]["nodeName"] == "n1"]

        await running.client.delete("nodes", "n1")

        def replaced(found: list[Object]) -> bool:
            return len(found) == 3 and all(is_ready(pod) and pod["metadata"]["uid"] != lost for pod in found)

        found = await running.until("pods", replaced)
        assert {pod["spec"]["nodeName"] for pod in found} <= {"n2", "n3"}

    tell(story, quarantine=0.05)


def test_pods_of_a_node_that_came_back_in_time_stay() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        node = await running.client.get("nodes", "n1")
        before, _ = await running.client.list("pods", **PLACE)
        await running.client.delete("nodes", "n1")
        kept = {name: value for name, value in node["metadata"].items() if name in ("name", "labels", "annotations")}
        await running.client.create("nodes", {"metadata": kept, "spec": node["spec"]})

        # another node's end is seen later than the one that came back, so that one has been looked at by then
        (mine,), (other,) = ([pod["metadata"]["uid"] for pod in before if pod["spec"]["nodeName"] == name] for name in ("n1", "n2"))
        await running.client.delete("nodes", "n2")
        found = await running.until("pods", lambda found: all(pod["metadata"]["uid"] != other for pod in found))

        assert mine in {pod["metadata"]["uid"] for pod in found}

    tell(story, quarantine=2.0)


def test_a_node_that_goes_again_has_all_its_time_again() -> None:
    """Its pods are not ended by what is left of the first time."""

    async def story(running: Plane) -> None:
        await rolled_out(running)
        node = await running.client.get("nodes", "n1")
        before, _ = await running.client.list("pods", **PLACE)
        (mine,) = (pod["metadata"]["uid"] for pod in before if pod["spec"]["nodeName"] == "n1")
        kept = {name: value for name, value in node["metadata"].items() if name in ("name", "labels", "annotations")}
        await running.client.delete("nodes", "n1")
        await running.client.create("nodes", {"metadata": kept, "spec": node["spec"]})
        await asyncio.sleep(0.5)  # half of the quarantine: what this test is about
        again = time.monotonic()
        await running.client.delete("nodes", "n1")

        await running.until("pods", lambda found: all(pod["metadata"]["uid"] != mine for pod in found))

        assert time.monotonic() - again >= 1.0

    tell(story, quarantine=1.0)


NO_EXECUTE = {"key": "k", "value": "", "effect": "NoExecute"}


def test_a_taint_that_executes_ends_pods_and_asks_no_budget() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        pods, _ = await running.client.list("pods", **PLACE)
        (lost,) = [pod["metadata"] for pod in pods if pod["spec"]["nodeName"] == "n1"]
        budget = {"metadata": {"name": "web"}, "spec": {"minAvailable": 3, "selector": {"matchLabels": pods[0]["metadata"]["labels"]}}}
        await running.client.create("poddisruptionbudgets.policy", budget, **PLACE)

        await running.client.patch("nodes", "n1", {"spec": {"taints": [NO_EXECUTE]}})

        def replaced(found: list[Object]) -> bool:
            return len(found) == 3 and all(is_ready(pod) and pod["metadata"]["uid"] != lost["uid"] for pod in found)

        found = await running.until("pods", replaced)
        assert {pod["spec"]["nodeName"] for pod in found} <= {"n2", "n3"}
        told = await running.until("events", lambda found: any(one["reason"] == "TaintManagerEviction" for one in found))
        (event,) = [one for one in told if one["reason"] == "TaintManagerEviction"]
        assert event["message"] == f"Marking for deletion Pod default/{lost['name']}"

    tell(story)


@pytest.mark.parametrize(
    ("tolerations", "expected"),
    [
        ([], 0.0),
        ([{"key": "k", "operator": "Exists"}], math.inf),
        ([{"operator": "Exists"}], math.inf),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 30}], 30.0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": -1}], 0.0),
        ([{"key": "k", "operator": "Exists", "tolerationSeconds": 30}, {"operator": "Exists", "tolerationSeconds": 5}], 5.0),
        ([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}], 0.0),
        ([{"key": "k", "value": "other"}], 0.0),
    ],
)
def test_how_long_a_pod_puts_up_with_a_taint(tolerations: list[Object], expected: float) -> None:
    assert patience({"spec": {"tolerations": tolerations}}, [NO_EXECUTE]) == expected


def test_a_pod_that_tolerates_for_a_while_goes_after_it() -> None:
    async def story(running: Plane) -> None:
        await rolled_out(running)
        for_a_while = {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
        template = {"spec": {"tolerations": [for_a_while]}}
        await running.client.patch("deployments.apps", "web", {"spec": {"template": template}}, **PLACE)
        tolerating = await running.until(
            "pods", lambda found: len(found) == 3 and all(is_ready(pod) and for_a_while in pod["spec"]["tolerations"] for pod in found)
        )
        began = time.monotonic()
        stays = [pod["metadata"]["uid"] for pod in tolerating if pod["spec"]["nodeName"] == "n1"]
        await running.client.patch("nodes", "n1", {"spec": {"taints": [NO_EXECUTE]}})

        await running.until("pods", lambda found: not {pod["metadata"]["uid"] for pod in found} & set(stays))

        assert time.monotonic() - began >= 1.0, "not before its time"

    tell(story)


def test_pods_that_end_on_a_node_out_of_service_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kubelet will never say that they are gone; the taint is somebody's word that nothing of it runs (KEP-2268)."""
    monkeypatch.setattr(orphans, "PERIOD", 0.05)

    async def story(running: Plane) -> None:
        await rolled_out(running)
        kubelet = running.kubelet
        assert kubelet is not None
        kubelet.lets_go = False
        pods, _ = await running.client.list("pods", **PLACE)
        [victim] = [pod["metadata"]["uid"] for pod in pods if pod["spec"]["nodeName"] == "n1"]
        lost = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
        await running.client.patch("nodes", "n1", {"status": lost}, subresource="status", style="strategic")
        taint = {"key": orphans.OUT_OF_SERVICE, "value": "nodeshutdown", "effect": "NoExecute"}
        await running.client.patch("nodes", "n1", {"spec": {"taints": [taint]}})

        await running.until("pods", lambda found: victim not in {pod["metadata"]["uid"] for pod in found} and ready(3)(found))

    tell(story)


def test_while_everything_stood_still_no_node_was_silent() -> None:
    """A machine that was suspended, or a process that got no time, must not find all its nodes lost."""
    watched = Nodes(SimpleNamespace(client=None), None, profile=PROFILES["fast"])  # type: ignore[arg-type]  # asks nobody here
    watched._heard["n1"] = heard = _Heard(renewed="", reported="", at_ns=100)

    watched._excuse(nanoseconds(0.4))
    assert heard.at_ns == 100
    watched._excuse(nanoseconds(30.0))
    assert heard.at_ns == 100 + nanoseconds(30.0)


def test_a_second_zone_may_be_lost_while_the_first_is_tainted() -> None:
    """The task that taints goes on."""

    async def story() -> None:
        watched = Nodes(SimpleNamespace(client=None), None, profile=PROFILES["fast"])  # type: ignore[arg-type]  # asks nobody here
        seen: list[str] = []
        both = asyncio.Event()

        async def taint_one(zone: str, names: dict[str, None]) -> None:
            seen.append(zone)
            watched._waiting.setdefault("b", {})
            await asyncio.sleep(0)
            if "b" in seen:
                both.set()

        watched._taint_one = taint_one  # type: ignore[method-assign]  # what it does to a zone is not asked here
        watched._waiting["a"] = {}
        watched.start()
        async with asyncio.timeout(DEADLINE):
            await both.wait()
        await watched.stop()

    asyncio.run(story())
