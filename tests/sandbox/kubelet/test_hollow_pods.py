"""What the one kubelet of hollow nodes does with pods that are not its own any more, and with those of which others say something."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kubelet.hollow import _AT_ONCE, MOST_PODS, Hollow
from chaosfw.sandbox.objects.moments import stamp
from chaosfw.sandbox.profiles import profile
from chaosfw.timing import SYSTEM
from tests.sandbox.apiserver.plane import DEADLINE, Plane, is_ready, plane

PLACE: dict[str, Any] = {"namespace": "default"}


def tell(story: Callable[[Plane, Hollow], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(2 * DEADLINE), plane(nodes={}, controllers=False, kubelet=False) as running:
            await running.client.create("serviceaccounts", {"metadata": {"name": "default"}}, **PLACE)
            hollow = Hollow(running.client, nodes={"hollow-1": "zone-a"}, profile=profile("default"))
            await hollow.start()
            await story(running, hollow)

    asyncio.run(run())


def pod(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "x"}], **spec}}


async def come(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.005)


def named(name: str, holds: Callable[[Object], bool]) -> Callable[[list[Object]], bool]:
    return lambda pods: any(one["metadata"]["name"] == name and holds(one) for one in pods)


def test_one_of_the_same_name_that_has_no_node_is_left_alone_and_stops_nobody() -> None:
    async def story(running: Plane, hollow: Hollow) -> None:
        await running.client.create("pods", pod("elsewhere"), **PLACE)
        await come(lambda: hollow._pods.get("default", "elsewhere") is not None)
        for _ in range(2 * _AT_ONCE):
            hollow._wanted.put_nowait(("default", "elsewhere"))
        await come(hollow._wanted.empty)

        await running.client.create("pods", pod("here", nodeName="hollow-1"), **PLACE)
        found = await running.until("pods", named("here", is_ready))

        assert {one["metadata"]["name"]: one["status"]["phase"] for one in found} == {"elsewhere": "Pending", "here": "Running"}

    tell(story)


def test_a_pod_of_which_somebody_says_that_it_is_not_ready_has_not_begun_anew() -> None:
    async def story(running: Plane, hollow: Hollow) -> None:
        await running.client.create("pods", pod("p", nodeName="hollow-1"), **PLACE)
        before = (await running.until("pods", named("p", is_ready)))[0]["status"]
        while stamp(SYSTEM.wall_ns()) == before["startTime"]:
            await asyncio.sleep(0.01)
        unready = {"status": {"conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": stamp(SYSTEM.wall_ns())}]}}
        await running.client.patch("pods", "p", unready, subresource="status", style="strategic", **PLACE)
        after = (await running.until("pods", named("p", is_ready)))[0]["status"]

        assert after["containerStatuses"] == before["containerStatuses"]

    tell(story)


def test_a_full_node_leaves_the_next_waiting_and_goes_on() -> None:
    async def story(running: Plane, hollow: Hollow) -> None:
        hollow._slots["hollow-1"] = {f"uid-{number}": number + 2 for number in range(MOST_PODS)}
        await running.client.create("pods", pod("p", nodeName="hollow-1"), **PLACE)
        await come(lambda: hollow._pods.get("default", "p") is not None)
        for _ in range(2 * _AT_ONCE):
            hollow._wanted.put_nowait(("default", "p"))
        await come(hollow._wanted.empty)
        hollow._on_pod({"metadata": {"uid": "uid-7"}, "spec": {"nodeName": "hollow-1"}}, None)

        found = await running.until("pods", named("p", is_ready))

        assert found[0]["status"]["podIP"] == "10.128.0.9"

    tell(story)
