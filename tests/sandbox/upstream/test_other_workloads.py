"""
StatefulSets and DaemonSets on all four pairs of API server and controllers, ours and Kubernetes' own: they come to rest in the same states.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import Object
from tests.sandbox.apiserver.plane import Plane, is_ready
from tests.sandbox.upstream.mixed import THEIRS
from tests.sandbox.upstream.test_two_by_two import PAIRS, PATIENCE, PLACE, empty, told, without_times

NAMES = ("db", "agent")


def template(name: str) -> Object:
    return {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "stand-in:1", "ports": [{"containerPort": 8000}]}]},
    }


def stateful(**spec: Any) -> Object:
    own = {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"app": "db"}}, "template": template("db")}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": {**own, **spec}}


def daemons() -> Object:
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent")}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": spec}


def image(name: str) -> Object:
    return {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": name}]}}}}


class Look:
    """Everything of one look that is compared."""

    def __init__(self, running: Plane) -> None:
        self._client = running.client

    async def look(self) -> Object:
        found: Object = {}
        for resource in ("statefulsets.apps", "daemonsets.apps", "pods", "controllerrevisions.apps", "events", "persistentvolumeclaims"):
            items, _ = await self._client.list(resource, **PLACE)
            found[resource] = sorted((seen for one in items if (seen := TELL[resource](one)) is not None), key=str)
        return _without_hashes(found)

    async def until(self, holds: Callable[[Object], Any]) -> Object:
        async with asyncio.timeout(PATIENCE):
            before = None
            while True:
                found = await self.look()
                if holds(found) and found == before:
                    return found
                before = found
                await asyncio.sleep(0.2)


def _pod(one: Object) -> Object:
    metadata, spec = one["metadata"], one["spec"]
    mine = metadata["labels"]["app"] == "db"
    return {
        "name": metadata["name"] if mine else "agent-…",
        "labels": {key: "…" if mine and key.startswith("topology") else value for key, value in metadata["labels"].items()},
        "node": "" if mine else spec.get("nodeName"),
        "image": spec["containers"][0]["image"],
        "ready": is_ready(one),
        "going": bool(metadata.get("deletionTimestamp")),
        "identity": (spec.get("hostname"), spec.get("subdomain")),
        "tolerations": sorted(map(str, spec.get("tolerations", ()))),
        "volumes": sorted(str(volume) for volume in spec.get("volumes", ()) if "persistentVolumeClaim" in volume),
        "affinity": spec.get("affinity"),
    }


def _workload(one: Object) -> Object:
    notes = dict(one["metadata"].get("annotations") or {})
    return {"name": one["metadata"]["name"], "annotations": notes, "status": without_times(one["status"])}


def _revision(one: Object) -> Object:
    return {"labels": one["metadata"]["labels"], "data": one["data"], "revision": one["revision"], "name": one["metadata"]["name"]}


def _event(one: Object) -> Object | None:
    if one["involvedObject"]["kind"] not in ("StatefulSet", "DaemonSet"):
        return None
    message = one["message"]
    if "agent-" in message:
        message = message[: message.index("agent-")] + "agent-…"
    return {"about": one["involvedObject"]["kind"], "reason": one["reason"], "type": one["type"], "message": message}


def _claim(one: Object) -> Object:
    return {"name": one["metadata"]["name"], "labels": one["metadata"]["labels"], "modes": one["spec"]["accessModes"]}


TELL: dict[str, Callable[[Object], Object | None]] = {
    "statefulsets.apps": _workload,
    "daemonsets.apps": _workload,
    "pods": _pod,
    "controllerrevisions.apps": _revision,
    "events": _event,
    "persistentvolumeclaims": _claim,
}


def _without_hashes(found: Object) -> Object:
    """Hashes of templates are of each implementation's own; which of them are the same is compared."""
    names = {one["name"]: f"{one['name'].rsplit('-', 1)[0]}-{one['revision']}" for one in found["controllerrevisions.apps"]}
    hashes = {name.rsplit("-", 1)[1]: new.rsplit("-", 1)[1] for name, new in names.items()}

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return sorted((plain(one) for one in value), key=str)
        return names.get(value, hashes.get(value, value)) if isinstance(value, str) else value

    return {key: plain(value) for key, value in found.items()}


def rested(found: Object, *, replicas: int, image: str, daemons: int = 3) -> bool:
    pods = found["pods"]
    if not found["statefulsets.apps"] or not found["daemonsets.apps"]:
        return False
    db, agent = found["statefulsets.apps"][0]["status"], found["daemonsets.apps"][0]["status"]
    return (
        db.get("availableReplicas", 0) == db.get("updatedReplicas", 0) == db["replicas"] == replicas
        and db.get("currentRevision") == db.get("updateRevision")
        and agent.get("numberAvailable") == agent.get("updatedNumberScheduled") == agent["desiredNumberScheduled"] == daemons
        and len(pods) == replicas + daemons
        and all(pod["ready"] and pod["image"] == image and not pod["going"] for pod in pods)
    )


async def story(running: Plane) -> dict[str, Object]:
    client, seen = running.client, Look(running)
    book: dict[str, Object] = {}
    await running.until("serviceaccounts", lambda found: any(one["metadata"]["name"] == "default" for one in found))
    await client.create("statefulsets.apps", stateful(), **PLACE)
    await client.create("daemonsets.apps", daemons(), **PLACE)
    book["made"] = await seen.until(lambda found: rested(found, replicas=2, image="stand-in:1"))

    for name, resource in zip(NAMES, ("statefulsets.apps", "daemonsets.apps"), strict=True):
        await client.patch(resource, name, image("stand-in:2"), style="strategic", **PLACE)
    book["rolled out"] = await seen.until(lambda found: rested(found, replicas=2, image="stand-in:2"))
    for name, resource in zip(NAMES, ("statefulsets.apps", "daemonsets.apps"), strict=True):
        await client.patch(resource, name, image("stand-in:1"), style="strategic", **PLACE)
    book["rolled back"] = await seen.until(lambda found: rested(found, replicas=2, image="stand-in:1"))

    await client.patch("statefulsets.apps", "db", {"spec": {"replicas": 4}}, **PLACE)
    book["scaled up"] = await seen.until(lambda found: rested(found, replicas=4, image="stand-in:1"))
    await client.patch("statefulsets.apps", "db", {"spec": {"replicas": 1}}, **PLACE)
    book["scaled down"] = await seen.until(lambda found: rested(found, replicas=1, image="stand-in:1"))

    await client.delete("pods", "db-0", **PLACE)
    book["killed"] = await seen.until(lambda found: rested(found, replicas=1, image="stand-in:1"))

    partition = {"spec": {"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}}}
    await client.patch("statefulsets.apps", "db", partition, **PLACE)
    await seen.until(lambda found: rested(found, replicas=3, image="stand-in:1"))
    await client.patch("statefulsets.apps", "db", image("stand-in:3"), style="strategic", **PLACE)
    book["partly"] = await seen.until(lambda found: images(found) == {"db-0": 1, "db-1": 1, "db-2": 3} and all_ready(found))

    await client.patch("nodes", "n1", {"spec": {"unschedulable": True}})
    await empty(running, "n1")
    book["drained"] = await seen.until(lambda found: images(found) == {"db-0": 1, "db-1": 1, "db-2": 3} and all_ready(found))
    await client.patch("nodes", "n1", {"spec": {"unschedulable": None}})

    for name, resource in zip(NAMES, ("statefulsets.apps", "daemonsets.apps"), strict=True):
        await client.delete(resource, name, propagation="Foreground", **PLACE)
    book["gone"] = await seen.until(lambda found: not (found["pods"] or found["statefulsets.apps"] or found["daemonsets.apps"]))
    return book


def images(found: Object) -> dict[str, int]:
    return {pod["name"]: int(pod["image"][-1]) for pod in found["pods"] if pod["name"].startswith("db-")}


def all_ready(found: Object) -> bool:
    return len(found["pods"]) == 6 and all(pod["ready"] and not pod["going"] for pod in found["pods"])


@pytest.fixture(scope="module")
def real() -> dict[str, Object]:
    return told(THEIRS, THEIRS, story)


@pytest.mark.parametrize(("api", "controllers"), PAIRS[:-1])
def test_they_come_to_rest_in_the_same_state(real: dict[str, Object], api: str, controllers: str) -> None:
    ours = told(api, controllers, story)
    for chapter, expected in real.items():
        for resource in TELL:
            assert ours[chapter][resource] == expected[resource], f"{chapter}: {resource}"
