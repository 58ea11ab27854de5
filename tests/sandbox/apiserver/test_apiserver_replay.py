"""Every kind of request stock chaosk8s sends, from a table beside this file: its status and the shape of its answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import NamedTuple

import aiohttp
from yarl import URL

from tests.sandbox.apiserver.plane import DEADLINE, TOKEN, Plane, client_context, deployment, is_ready, plane, ready, service

TABLE = Path(__file__).with_name("chaosk8s-requests.txt")


class Recorded(NamedTuple):
    method: str
    path: str
    media: str
    status: int
    kind: str
    body: str


def recorded() -> list[Recorded]:
    rows = []
    for line in TABLE.read_text().splitlines():
        if line and not line.startswith("#"):
            method, path, media, status, kind, body = [*line.split(" ", 5), ""][:6]
            rows.append(Recorded(method, path, media, int(status), kind, body))
    return rows


async def send(session: aiohttp.ClientSession, running: Plane, row: Recorded) -> tuple[int, str]:
    """The status, and the kind of the answer: of its first event for a watch, ``text`` for what is no JSON."""
    path, body = await filled(running, row.path), await filled(running, row.body)
    headers = {} if row.media == "-" else {"Content-Type": row.media}
    async with session.request(row.method, URL(running.url + path, encoded=True), data=body or None, headers=headers) as answer:
        if answer.content_type != "application/json":
            return answer.status, "text"
        first = json.loads(await answer.content.readline() if "watch=true" in path else await answer.read())
        return answer.status, first.get("kind") or first["type"]


async def filled(running: Plane, text: str) -> str:
    if "{pod}" in text:
        pods = await running.until("pods", lambda found: any(is_ready(pod) and "web" in pod["metadata"]["name"] for pod in found))
        text = text.replace("{pod}", next(pod["metadata"]["name"] for pod in pods if is_ready(pod)))
    if "{set}" in text:
        found, _ = await running.client.list("replicasets.apps", namespace="default")
        text = text.replace("{set}", found[0]["metadata"]["name"])
    return text


def test_each_recorded_request_gets_an_answer_of_the_right_shape() -> None:
    async def run() -> list[str]:
        wrong = []
        async with asyncio.timeout(3 * DEADLINE), plane() as running:
            await running.client.create("deployments.apps", deployment(), namespace="default")
            await running.client.create("services", service(), namespace="default")
            await running.until("pods", ready(3))
            connector = aiohttp.TCPConnector(ssl=client_context())
            options = {
                "headers": {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"},
                "skip_auto_headers": ("Content-Type",),
            }
            async with aiohttp.ClientSession(connector=connector, read_bufsize=2**20, **options) as session:  # type: ignore[arg-type]  # mixed options
                for row in recorded():
                    status, kind = await send(session, running, row)
                    if (status, kind) != (row.status, row.kind):
                        wrong.append(f"{row.method} {row.path}: {status} {kind}, expected {row.status} {row.kind}")
        return wrong

    assert asyncio.run(run()) == []
