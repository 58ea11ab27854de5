"""A line to the API server that is cut: nothing is refused, nothing lost, everything late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kubelet.line import Line


class Server:
    """Answers everything, and refuses pods named "none"."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.events: asyncio.Queue[tuple[str, Object]] = asyncio.Queue()

    async def get(self, resource: str, name: str, *, namespace: str = "") -> Object:
        self.asked.append(name)
        await asyncio.sleep(0)
        if name == "none":
            raise ApiError(404, "NotFound", "no such pod")
        return {"metadata": {"name": name}}

    async def watch(self, resource: str, **_: Any) -> AsyncIterator[tuple[str, Object]]:
        while True:
            yield await self.events.get()


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_what_is_asked_while_it_is_cut_is_asked_when_it_is_whole() -> None:
    async def story() -> None:
        server = Server()
        line = Line(server)  # type: ignore[arg-type]  # of a client, what is asked here
        line.cut()
        asking = asyncio.create_task(line.get("pods", "one"))
        await turns()
        assert server.asked == []
        line.mend()
        assert (await asking)["metadata"]["name"] == "one"

    asyncio.run(story())


@pytest.mark.parametrize("name", ["one", "none"])
def test_an_answer_that_was_on_its_way_arrives_when_it_is_whole(name: str) -> None:
    async def story() -> None:
        server = Server()
        line = Line(server)  # type: ignore[arg-type]  # as above
        asking = asyncio.create_task(line.get("pods", name))
        while not server.asked:
            await asyncio.sleep(0)
        line.cut()
        await turns()
        assert not asking.done()
        line.mend()
        if name == "none":
            with pytest.raises(ApiError, match="no such pod"):
                await asking
        else:
            await asking

    asyncio.run(story())


def test_events_wait_and_come_in_order() -> None:
    async def story() -> None:
        server = Server()
        line = Line(server)  # type: ignore[arg-type]  # as above
        heard: list[str] = []

        async def follow() -> None:
            async for kind, _ in line.watch("pods", since="1"):
                heard.append(kind)

        following = asyncio.create_task(follow())
        server.events.put_nowait(("ADDED", {}))
        await turns()
        line.cut()
        for kind in ("MODIFIED", "DELETED"):
            server.events.put_nowait((kind, {}))
        await turns()
        assert heard == ["ADDED"]
        line.mend()
        await turns()
        assert heard == ["ADDED", "MODIFIED", "DELETED"]
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(story())


def test_who_waits_on_a_dead_line_can_be_stopped() -> None:
    async def story() -> None:
        line = Line(Server())  # type: ignore[arg-type]  # as above
        line.cut()
        asking = asyncio.create_task(line.get("pods", "one"))
        await turns()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(story())
