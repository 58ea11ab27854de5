"""
A container's output: asked of whoever runs the pod, streamed by line. Which container, if none is named, is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.verbs import Verbs
from chaosfw.sandbox.client.verbs import Object, PodDoor
from chaosfw.sandbox.kinds.pods import POD, containers
from chaosfw.sandbox.kinds.row import read

_FIRST_WORD = 0.05
"""Seconds a follower waits for the first line before the headers go out without it: refusals come faster than that."""


def open_log(verbs: Verbs, door: PodDoor, namespace: str, name: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Raises ApiError for a pod, a container or an option that cannot be."""
    container = chosen(verbs, namespace, name, query.get("container", ""))
    return door.logs(
        namespace,
        name,
        container,
        follow=_flag(query, "follow"),
        previous=_flag(query, "previous"),
        tail=int(query["tailLines"]) if query.get("tailLines") else None,
        since_seconds=float(query["sinceSeconds"]) if query.get("sinceSeconds") else None,
        timestamps=_flag(query, "timestamps"),
    )


def chosen(verbs: Verbs, namespace: str, name: str, wanted: str) -> str:
    """Which container of a pod is meant. Raises ApiError for one that is not there, or a pod that runs nowhere yet."""
    pod = verbs.get(POD, namespace, name).obj
    container = _container(pod, wanted)
    if not read(pod, "spec.nodeName"):
        raise errors.bad_request(f"pod {name} does not have a host assigned")
    return container


async def begun(chunks: AsyncIterator[bytes], *, follow: bool) -> AsyncIterator[bytes]:
    """
    The same chunks, once it is known that there is no refusal: raises what the first of them raises. A follower does not
    wait for the first line longer than a moment.
    """
    first = asyncio.ensure_future(anext(chunks, None))
    await asyncio.wait([first], timeout=_FIRST_WORD if follow else None)
    if first.done():
        first.result()
    return _all(first, chunks)


async def _all(first: asyncio.Future[bytes | None], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        chunk = await first
        if chunk is None:
            return
        yield chunk
        async for chunk in rest:
            yield chunk
    finally:
        first.cancel()


def _flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "") in ("true", "1")


def _container(pod: Object, wanted: str) -> str:
    name, known = pod["metadata"]["name"], [container["name"] for container in containers(pod["spec"])]
    if wanted:
        if wanted not in known:
            raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
        return wanted
    ordinary = [container["name"] for container in pod["spec"]["containers"]]
    if len(ordinary) > 1:
        raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(ordinary)}]")
    return str(ordinary[0])
