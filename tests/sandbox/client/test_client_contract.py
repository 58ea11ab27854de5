"""One contract, both clients: what a component may rely on whether the server is in its process or across a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chaosfw.sandbox.client.informer import Informer
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from tests.sandbox.apiserver.plane import DEADLINE, ours, plane

WAYS = ("local", "http")


@asynccontextmanager
async def connected(way: str) -> AsyncIterator[Client]:
    async with plane(controllers=False, kubelet=False) as running:
        if way == "local":
            yield running.client
            return
        async with running.http() as client:
            yield client


def config(name: str, **data: str) -> Object:
    return {"metadata": {"name": name, "labels": {"name": name}}, "data": data}


def verify(way: str, story: Any) -> None:
    async def tell() -> None:
        async with asyncio.timeout(DEADLINE), connected(way) as client:
            await story(client)

    asyncio.run(tell())


@pytest.mark.parametrize("way", WAYS)
def test_what_is_created_can_be_read_changed_and_deleted(way: str) -> None:
    async def story(client: Client) -> None:
        made = await client.create("configmaps", config("a", x="1"), namespace="default")
        patched = await client.patch("configmaps", "a", {"data": {"y": "2"}}, namespace="default")
        replaced = await client.replace("configmaps", "a", {**patched, "data": {"z": "3"}}, namespace="default")
        gone = await client.delete("configmaps", "a", namespace="default", uid=made["metadata"]["uid"])

        assert patched["data"] == {"x": "1", "y": "2"}
        assert replaced["data"] == {"z": "3"}
        assert gone["status"] == "Success"
        with pytest.raises(ApiError, match='404 NotFound: configmaps "a" not found'):
            await client.get("configmaps", "a", namespace="default")

    verify(way, story)


@pytest.mark.parametrize("way", WAYS)
def test_a_stale_replacement_is_a_conflict(way: str) -> None:
    async def story(client: Client) -> None:
        stale = await client.create("configmaps", config("a", x="1"), namespace="default")
        await client.patch("configmaps", "a", {"data": {"x": "2"}}, namespace="default")

        with pytest.raises(ApiError, match="409 Conflict: Operation cannot be fulfilled"):
            await client.replace("configmaps", "a", stale, namespace="default")

    verify(way, story)


@pytest.mark.parametrize("way", WAYS)
def test_answers_are_copies(way: str) -> None:
    async def story(client: Client) -> None:
        made = await client.create("configmaps", config("a", x="1"), namespace="default")
        made["data"]["x"] = "changed by the caller"

        assert (await client.get("configmaps", "a", namespace="default"))["data"] == {"x": "1"}

    verify(way, story)


@pytest.mark.parametrize("way", WAYS)
def test_a_watch_goes_on_where_the_list_ended(way: str) -> None:
    async def story(client: Client) -> None:
        await client.create("configmaps", config("a"), namespace="default")
        found, version = await client.list("configmaps", namespace="default", labels="name=a")
        watch = client.watch("configmaps", since=version, namespace="default", fields="metadata.name=b")
        await client.create("configmaps", config("b"), namespace="default")
        await client.patch("configmaps", "b", {"data": {"x": "1"}}, namespace="default")
        await client.delete("configmaps", "b", namespace="default")
        seen = [await anext(watch) for _ in range(3)]
        await watch.aclose()  # type: ignore[attr-defined]  # both are generators

        assert [obj["metadata"]["name"] for obj in found] == ["a"]
        assert [kind for kind, _ in seen] == ["ADDED", "MODIFIED", "DELETED"]
        versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in seen]
        assert versions == sorted(set(versions))

    verify(way, story)


@pytest.mark.parametrize("way", WAYS)
def test_the_status_has_a_door_of_its_own(way: str) -> None:
    async def story(client: Client) -> None:
        await client.create("nodes", {"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "4"}}})
        told = await client.patch(
            "nodes", "n1", {"status": {"capacity": {"cpu": "8"}}, "spec": {"unschedulable": True}}, subresource="status"
        )

        assert told["status"]["capacity"] == {"cpu": "8"}
        assert "unschedulable" not in told["spec"]

    verify(way, story)


@pytest.mark.parametrize("way", WAYS)
def test_an_informer_keeps_a_copy_and_tells_of_changes(way: str) -> None:
    async def story(client: Client) -> None:
        told: list[tuple[bool, bool]] = []
        informer = Informer(client, "configmaps", namespace="default")
        await client.create("configmaps", config("a"), namespace="default")
        await informer.start()
        informer.listen(lambda old, new: told.append((old is not None, new is not None)))
        changed = await client.patch("configmaps", "a", {"data": {"x": "1"}}, namespace="default")
        await informer.seen(changed["metadata"]["resourceVersion"])
        known = informer.get("default", "a")
        await client.delete("configmaps", "a", namespace="default")
        last = await client.create("configmaps", config("b"), namespace="default")
        await informer.seen(last["metadata"]["resourceVersion"])
        await informer.stop()

        assert known is not None
        assert known["data"] == {"x": "1"}
        assert informer.get("default", "a") is None
        assert told == [(False, True), (True, True), (True, False), (False, True)]

    verify(way, story)


@pytest.mark.parametrize("way", WAYS)
def test_an_unknown_resource_is_not_found(way: str) -> None:
    async def story(client: Client) -> None:
        with pytest.raises(ApiError, match="404"):
            await client.list("wonders.nowhere.io")

    verify(way, story)


@ours("its server is stopped and started again")
def test_an_informer_comes_back_when_its_watch_breaks() -> None:
    """The connection goes, the server comes back elsewhere in the story: the cache catches up by itself."""

    async def story() -> None:
        async with asyncio.timeout(DEADLINE), plane(controllers=False, kubelet=False) as running, running.http() as client:
            informer = Informer(client, "configmaps", namespace="default")
            await informer.start()
            assert running.server is not None
            await running.server.stop()
            made = await running.client.create("configmaps", config("meanwhile"), namespace="default")
            await running.server.start("127.0.0.1", int(running.url.rpartition(":")[2]))
            await informer.seen(made["metadata"]["resourceVersion"])
            known = informer.get("default", "meanwhile")
            await informer.stop()

        assert known is not None

    asyncio.run(story())
