"""Events live for an hour after their last write, so that a cluster that lives for days does not grow by them."""

from __future__ import annotations

import asyncio

from chaosfw.sandbox.apiserver.store import Store
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers.recorder import REMEMBERED, Recorder
from chaosfw.sandbox.kubelet.events import Recorder as KubeletRecorder
from chaosfw.sandbox.objects.moments import stamp
from chaosfw.testing.clock import FakeClock
from chaosfw.timing import SYSTEM
from tests.sandbox.apiserver.plane import Plane, plane

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u"}}


def obj(name: str) -> Object:
    return {"metadata": {"name": name, "namespace": "default"}}


def test_a_day_of_events_is_an_hour_of_events() -> None:
    clock = FakeClock()
    store = Store(clock=clock)
    for minute in range(24 * 60):
        store.put("events", ("default", f"event-{minute}"), obj(f"event-{minute}"))
        store.put("leases.coordination.k8s.io", ("kube-node-lease", "n1"), obj("n1"))
        clock.advance(60.0)

    store.put("configmaps", ("default", "a"), obj("a"))

    assert store.count("events") == 59
    assert store.count("configmaps") == 1


def test_one_that_is_written_again_lives_longer_and_watchers_see_the_others_go() -> None:
    async def story() -> None:
        clock = FakeClock()
        store = Store(clock=clock)
        for name in ("often", "once"):
            store.put("events", ("default", name), obj(name))
        follower = store.follow("events", since=store.version)
        clock.advance(3000.0)
        store.put("events", ("default", "often"), obj("often"))
        clock.advance(1000.0)
        store.put("configmaps", ("default", "a"), obj("a"))

        seen = [follower.queue.get_nowait() for _ in range(follower.queue.qsize())]
        assert [(change.key[1], change.new is None) for change in seen] == [("often", False), ("once", True)]  # type: ignore[union-attr]  # no marks
        assert store.get("events", ("default", "often")) is not None

    asyncio.run(story())


def test_who_repeats_an_event_that_has_gone_begins_anew() -> None:
    async def story(running: Plane) -> None:
        recorder = Recorder(running.client, "test")
        kubelet = KubeletRecorder(running.client, node="n1", clock=SYSTEM)
        task = asyncio.create_task(kubelet.run())
        for _ in range(2):
            recorder.tell(POD, "Told", "by a controller")
            await running.until("events", lambda found: any(one["reason"] == "Told" for one in found))
            kubelet.pod(POD, "Normal", "Started", "by a kubelet")
            found = await running.until("events", lambda found: {"Told", "Started"} <= {one["reason"] for one in found})
            for event in found:
                await running.client.delete("events", event["metadata"]["name"], namespace="default")
        task.cancel()
        await recorder.stop()

    async def run() -> None:
        async with plane(nodes={}, controllers=False, kubelet=False) as running:
            await story(running)

    asyncio.run(run())


def test_a_namespace_that_ends_ends_since_it_was_deleted_first() -> None:
    async def run() -> None:
        async with plane(nodes={}, controllers=False, kubelet=False) as running:
            await running.client.create("namespaces", {"metadata": {"name": "shop"}})
            first = await running.client.delete("namespaces", "shop")
            while stamp(SYSTEM.wall_ns()) == first["metadata"]["deletionTimestamp"]:
                await asyncio.sleep(0.01)
            again = await running.client.delete("namespaces", "shop")

            assert again["metadata"] == first["metadata"]

    asyncio.run(run())


def test_a_recorder_remembers_so_many_and_no_more() -> None:
    class Nobody:
        async def create(self, *_: object, **__: object) -> Object:
            raise ApiError(503, "ServiceUnavailable", "not now")

    async def story() -> None:
        recorder = Recorder(Nobody(), "test")  # type: ignore[arg-type]  # nothing else is asked
        for number in range(REMEMBERED + 10):
            await recorder._write(POD, "Told", f"number {number}", "Normal")
        assert len(recorder._counts) == REMEMBERED

    asyncio.run(story())
