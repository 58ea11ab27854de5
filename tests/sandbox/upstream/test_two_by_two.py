"""
The same story on all four pairs of API server and controllers, ours and Kubernetes' own: whatever differs between two of them is an error
of ours. Compared is where they come to rest, not when.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers.objects import controller_of
from tests.sandbox.apiserver.plane import NODES, Plane, deployment, is_ready, service
from tests.sandbox.upstream.mixed import OURS, THEIRS, mixed

PLACE = {"namespace": "default"}
PAIRS = [(OURS, OURS), (OURS, THEIRS), (THEIRS, OURS), (THEIRS, THEIRS)]
PATIENCE = 60.0
TOLERATIONS = [
    {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}
    for key in ("unreachable", "not-ready")
]
BUDGET: Object = {
    "apiVersion": "policy/v1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "web"},
    "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
}
_TIMES = ("lastUpdateTime", "lastTransitionTime", "lastProbeTime", "lastHeartbeatTime", "startTime", "timeAdded")


class Seen:
    """Everything of one look that is compared."""

    def __init__(self, running: Plane) -> None:
        self._client = running.client

    async def look(self) -> Object:
        items = {name: (await self._client.list(name))[0] for name in RESOURCES}
        return {
            name: sorted((told for one in items[name] if (told := tell(one, items)) is not None), key=str)
            for name, tell in RESOURCES.items()
        }

    async def until(self, holds: Callable[[Object], Any]) -> Object:
        """The look that holds, once the one after it is the same: at rest."""
        async with asyncio.timeout(PATIENCE):
            before = None
            while True:
                found = await self.look()
                if holds(found) and found == before:
                    return found
                before = found
                await asyncio.sleep(0.2)


def pod(one: Object, items: dict[str, list[Object]]) -> Object | None:
    image = one["spec"]["containers"][0]["image"]
    disrupted = sorted(c["reason"] for c in one["status"].get("conditions", ()) if c["type"] == "DisruptionTarget")
    going = bool(one["metadata"].get("deletionTimestamp"))
    return {"image": image, "ready": is_ready(one), "phase": one["status"]["phase"], "going": going, "why": disrupted}


def replica_set(one: Object, items: dict[str, list[Object]]) -> Object:
    labels = {**one["metadata"]["labels"], "pod-template-hash": "…"}
    status = without_times(one["status"])
    status.pop("observedGeneration", None)
    return {
        "image": one["spec"]["template"]["spec"]["containers"][0]["image"],
        "annotations": one["metadata"]["annotations"],
        "labels": labels,
        "replicas": one["spec"]["replicas"],
        "status": status,
    }


def whole(one: Object, items: dict[str, list[Object]]) -> Object:
    status = without_times(one.get("status") or {})
    for condition in status.get("conditions", ()):
        condition["message"] = words(condition.get("message", ""), items)
    status["conditions"] = sorted(status.get("conditions", ()), key=lambda c: str(c["type"]))
    return {"name": one["metadata"]["name"], "annotations": one["metadata"].get("annotations", {}), "status": status}


def budget(one: Object, items: dict[str, list[Object]]) -> Object:
    told = whole(one, items)
    told["status"].pop("disruptedPods", None)  # of the last two minutes
    return told


def node(one: Object, items: dict[str, list[Object]]) -> Object:
    ready = {c["type"]: (c["status"], c["reason"]) for c in one["status"]["conditions"]}
    taints = sorted((taint["key"], taint["effect"]) for taint in one["spec"].get("taints") or ())
    return {"name": one["metadata"]["name"], "conditions": ready, "taints": taints, "closed": bool(one["spec"].get("unschedulable"))}


def endpoint_slice(one: Object, items: dict[str, list[Object]]) -> Object | None:
    if one["metadata"]["namespace"] != "default" or one["metadata"]["labels"].get("kubernetes.io/service-name") == "kubernetes":
        return None
    labels = {name: value for name, value in one["metadata"]["labels"].items() if name != "app"}
    states = Counter(str(sorted(end["conditions"].items())) for end in one.get("endpoints") or ())
    return {"labels": labels, "ports": one["ports"], "endpoints": dict(states), "type": one["addressType"]}


def endpoints(one: Object, items: dict[str, list[Object]]) -> Object | None:
    if one["metadata"]["name"] != "web":
        return None
    return {
        "subsets": [
            {name: len(some.get(name) or ()) for name in ("addresses", "notReadyAddresses", "ports")} for some in one.get("subsets") or ()
        ]
    }


def event(one: Object, items: dict[str, list[Object]]) -> Object | None:
    """Of controllers; a kubelet of a test says nothing, and a scheduler's words of trouble come and go."""
    if one["metadata"]["namespace"] != "default" or one["reason"] in ("FailedScheduling", "Scheduled", "RegisteredNode"):
        return None
    about = one["involvedObject"]["kind"]
    return {"about": about, "reason": one["reason"], "type": one["type"], "message": words(one["message"], items)}


RESOURCES: dict[str, Callable[[Object, dict[str, list[Object]]], Object | None]] = {
    "nodes": node,
    "deployments.apps": whole,
    "replicasets.apps": replica_set,
    "pods": pod,
    "poddisruptionbudgets.policy": budget,
    "endpointslices.discovery.k8s.io": endpoint_slice,
    "endpoints": endpoints,
}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(one) for name, one in value.items() if name not in _TIMES}
    return [without_times(one) for one in value] if isinstance(value, list) else value


def words(text: str, items: dict[str, list[Object]]) -> str:
    """With the image that it runs instead of a ReplicaSet's own name."""
    for one in items["replicasets.apps"]:
        text = text.replace(one["metadata"]["name"], one["spec"]["template"]["spec"]["containers"][0]["image"])
    return text


def rested(revision: str, *, ready: int = 3) -> Callable[[Object], bool]:
    def holds(found: Object) -> bool:
        [web] = found["deployments.apps"]
        status = web["status"]
        done = any(c["type"] == "Progressing" and c["reason"] == "NewReplicaSetAvailable" for c in status["conditions"])
        pods = [one for one in found["pods"] if not one["going"]]
        return (
            done
            and web["annotations"].get("deployment.kubernetes.io/revision") == revision
            and status.get("availableReplicas") == status.get("updatedReplicas") == status.get("replicas") == ready
            and len(pods) == ready
            and all(one["ready"] for one in pods)
            and found["poddisruptionbudgets.policy"][0]["status"].get("currentHealthy") == ready
            and served(found) == ready
            and sum(sum(piece["endpoints"].values()) for piece in found["endpointslices.discovery.k8s.io"]) == len(found["pods"])
        )

    return holds


async def story(running: Plane) -> dict[str, Object]:
    """What was seen at rest after each chapter."""
    client, seen = running.client, Seen(running)
    book: dict[str, Object] = {}
    first = deployment()
    first["spec"]["template"]["spec"]["tolerations"] = TOLERATIONS
    await client.create("services", service(), **PLACE)
    await client.create("poddisruptionbudgets.policy", BUDGET, **PLACE)
    await client.create("deployments.apps", first, **PLACE)
    book["made"] = await seen.until(rested("1"))

    await client.patch("deployments.apps", "web", image("stand-in:2"), style="strategic", **PLACE)
    book["rolled out"] = await seen.until(rested("2"))

    await client.patch("deployments.apps", "web", image("stand-in:1"), style="strategic", **PLACE)
    book["rolled back"] = await seen.until(rested("3"))

    await client.patch("deployments.apps", "web", {"spec": {"replicas": 5}}, **PLACE)
    book["scaled up"] = await seen.until(rested("3", ready=5))
    await client.patch("deployments.apps", "web", {"spec": {"replicas": 3}}, **PLACE)
    book["scaled down"] = await seen.until(rested("3"))

    await client.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    await empty(running, "n1")
    book["drained"] = await seen.until(lambda found: rested("3")(found) and shut(found, "n1"))
    await client.patch("nodes", "n1", {"spec": {"unschedulable": None}})
    book["open again"] = await seen.until(lambda found: rested("3")(found) and not shut(found, "n1"))

    assert running.kubelet is not None
    name = await lonely(running)
    running.kubelet.silent.add(name)
    book["lost"] = renamed(await seen.until(lambda found: lost(found, name)), name)
    await running.kubelet.speak(name)
    back = await seen.until(lambda found: rested("3")(found) and not taints(found, name) and not going(found))
    book["back"] = renamed(back, name)

    await client.delete("deployments.apps", "web", propagation="Foreground", **PLACE)
    book["gone"] = renamed(await seen.until(gone), name)
    return book


def gone(found: Object) -> bool:
    expected = found["poddisruptionbudgets.policy"][0]["status"].get("expectedPods")
    routed = any(piece["endpoints"] for piece in found["endpointslices.discovery.k8s.io"])
    return not (found["pods"] or found["replicasets.apps"] or found["deployments.apps"] or routed or expected)


def served(found: Object) -> int:
    """How many endpoints of the service are ready."""
    states = [state for piece in found["endpointslices.discovery.k8s.io"] for state in piece["endpoints"].items()]
    return sum(count for state, count in states if "('ready', True)" in state)


def image(name: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


async def on_node(running: Plane, node: str) -> list[Object]:
    pods, _ = await running.client.list("pods", **PLACE)
    return [pod for pod in pods if pod["spec"].get("nodeName") == node]


async def empty(running: Plane, node: str) -> None:
    """As kubectl drain, which leaves those of daemon sets: evicted until the budget allows it."""
    async with asyncio.timeout(PATIENCE):
        while pods := [one for one in await on_node(running, node) if (controller_of(one) or {}).get("kind") != "DaemonSet"]:
            for one in pods:
                try:
                    await running.client.evict(one["metadata"]["name"], **PLACE)
                except ApiError as error:
                    if error.code not in (404, 429):
                        raise
            await asyncio.sleep(0.05)


async def lonely(running: Plane) -> str:
    """A node with one pod: how they are spread is a scheduler's taste."""
    counts = {name: len(await on_node(running, name)) for name in NODES}
    return next(name for name, count in counts.items() if count == 1)


def lost(found: Object, name: str) -> bool:
    return served(found) == 3 and going(found) == 1 and len(taints(found, name)) == 2 and sum(one["ready"] for one in found["pods"]) == 3


def renamed(found: Object, name: str) -> Object:
    told = copy.deepcopy(found)
    for one in told["nodes"]:
        one["name"] = "lost" if one["name"] == name else "other"
    return {**told, "nodes": sorted(told["nodes"], key=str)}


def going(found: Object) -> int:
    return sum(one["going"] for one in found["pods"])


def taints(found: Object, name: str) -> list[Any]:
    return next(list(one["taints"]) for one in found["nodes"] if one["name"] == name)


def shut(found: Object, name: str) -> bool:
    return bool(taints(found, name))


def told(api: str, controllers: str, tale: Callable[[Plane], Awaitable[dict[str, Object]]] = story) -> dict[str, Object]:
    async def run() -> dict[str, Object]:
        async with mixed(api=api, controllers=controllers) as running:
            return await tale(running)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def real() -> dict[str, Object]:
    return told(THEIRS, THEIRS)


@pytest.mark.parametrize(("api", "controllers"), PAIRS[:-1])
def test_they_come_to_rest_in_the_same_state(real: dict[str, Object], api: str, controllers: str) -> None:
    ours = told(api, controllers)
    for chapter, expected in real.items():
        for resource in RESOURCES:
            assert ours[chapter][resource] == expected[resource], f"{chapter}: {resource}"
