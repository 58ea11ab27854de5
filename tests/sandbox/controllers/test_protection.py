"""Claims and volumes that are in use stay until nobody uses them any more, under either control plane."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.controllers.protection import CLAIMS, VOLUMES
from chaosfw.sandbox.spec import CONTROL_PLANES, KUBERNETES
from tests.sandbox.apiserver.plane import DEADLINE, Plane, oracle, plane, served

NODES = {"n1": "zone-a"}
PLACE = {"namespace": "default"}
SIZE = {"requests": {"storage": "1Gi"}}


def claim(**spec: Any) -> Object:
    return {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": SIZE, **spec}}


def user() -> Object:
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    container = {"name": "app", "image": "x", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {"metadata": {"name": "user"}, "spec": {"nodeName": "n1", "containers": [container], "volumes": [volume]}}


async def a_used_claim(running: Plane) -> None:
    client = running.client
    await client.create(CLAIMS, claim(), **PLACE)
    await client.create("pods", user(), **PLACE)
    await running.until("pods", lambda found: bool(found) and found[0]["status"].get("phase") == "Running")

    await client.delete(CLAIMS, "data", **PLACE)
    held = await client.get(CLAIMS, "data", **PLACE)
    await client.delete("pods", "user", **PLACE)
    await running.until(CLAIMS, lambda found: not found)

    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]


async def an_unused_claim_and_volume(running: Plane) -> None:
    client = running.client
    spec = {"capacity": SIZE["requests"], "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}, "storageClassName": "other"}
    made = await client.create(VOLUMES, {"metadata": {"name": "disk"}, "spec": spec})
    await client.create(CLAIMS, claim(), **PLACE)

    await client.delete(CLAIMS, "data", **PLACE)
    await client.delete(VOLUMES, "disk")
    await running.until(CLAIMS, lambda found: not found)
    await running.until(VOLUMES, lambda found: not found, namespace="")

    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]


@pytest.mark.parametrize("story", [a_used_claim, an_unused_claim_and_volume])
@pytest.mark.parametrize("control_plane", CONTROL_PLANES)
def test_what_is_used_stays(control_plane: str, story: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(6 * DEADLINE):
            if control_plane == KUBERNETES:
                async with (
                    oracle(controllers=True) as (url, client),
                    served(url, client, [], nodes=NODES, hold=(), kubelet=True) as running,
                ):
                    await story(running)
            else:
                async with plane(nodes=NODES) as running:
                    await story(running)

    asyncio.run(run())
