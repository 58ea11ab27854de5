"""
Jobs on all four pairs of API server and controllers, ours and Kubernetes' own: every way that one can end, told in the same words.

Each chapter has a job of its own; they are told side by side, because some of them wait for a back-off of ten seconds.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import ApiError, Object
from tests.sandbox.apiserver.fake_kubelet import ended
from tests.sandbox.apiserver.plane import Plane
from tests.sandbox.upstream.mixed import THEIRS
from tests.sandbox.upstream.test_two_by_two import PAIRS, PATIENCE, PLACE, told

JOBS = "jobs.batch"
TIMES = ("lastTransitionTime", "lastProbeTime", "startTime", "completionTime", "startedAt", "finishedAt")
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def job(name: str, *, policy: str = "Never", **spec: Any) -> Object:
    containers = [{"name": "app", "image": "stand-in:1"}]
    template = {"spec": {"restartPolicy": policy, "containers": containers}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}


class Chapter:
    """One job and what is seen of it."""

    def __init__(self, running: Plane, name: str) -> None:
        self.client, self.name = running.client, name
        self.seen: list[Object] = []

    async def make(self, **spec: Any) -> None:
        await self.client.create(JOBS, job(self.name, **spec), **PLACE)

    async def change(self, **spec: Any) -> None:
        await self.client.patch(JOBS, self.name, {"spec": spec}, **PLACE)

    async def job(self) -> Object | None:
        try:
            return await self.client.get(JOBS, self.name, **PLACE)
        except ApiError as error:
            if error.code != 404:
                raise
            return None

    async def pods(self, *phases: str) -> list[Object]:
        found, _ = await self.client.list("pods", labels=f"batch.kubernetes.io/job-name={self.name}", **PLACE)
        return sorted(
            (pod for pod in found if not phases or pod["status"]["phase"] in phases), key=lambda pod: str(pod["metadata"]["name"])
        )

    async def running(self, count: int) -> list[Object]:
        """So many run, and none is going."""

        async def there() -> list[Object]:
            pods = [pod for pod in await self.pods("Running") if not pod["metadata"].get("deletionTimestamp")]
            return pods if len(pods) == count and not await self.pods("Pending") else []

        return await until(there)

    async def end(self, pod: Object, code: int = 0) -> None:
        await self.client.patch("pods", pod["metadata"]["name"], ended(pod, code), subresource="status", style="strategic", **PLACE)

    async def until(self, holds: Callable[[Object], Any]) -> Object:
        """Its status as soon as that holds."""

        async def there() -> Object | None:
            found = await self.job()
            return found if found is not None and holds(found.get("status") or {}) else None

        found: Object = await until(there)
        return found

    async def over(self, kind: str) -> None:
        await self.until(lambda status: any(one["type"] == kind and one["status"] == "True" for one in status.get("conditions", ())))

    async def look(self) -> None:
        """At rest: seen twice the same."""
        self.seen.append(await rested(self._look))

    async def _look(self) -> Object:
        found = await self.job()
        told = found and {"spec": found["spec"], "labels": found["metadata"].get("labels"), "status": found["status"]}
        return {"job": plain(told), "pods": sorted((plain(pod_seen(pod)) for pod in await self.pods()), key=str)}


async def rested(look: Callable[[], Awaitable[Any]], *, within: float = 1.5) -> Any:
    """What is seen twice the same; Kubernetes' own gathers what happens to pods for a second."""
    found = await look()
    async with asyncio.timeout(PATIENCE):
        while True:
            before = found
            await asyncio.sleep(within)
            if (found := await look()) == before:
                return found


async def events(running: Plane) -> list[Any]:
    """Of all jobs, as often as they were told."""
    found, _ = await running.client.list("events", **PLACE)
    mine = [one for one in found if one["involvedObject"]["kind"] == "Job"]
    return sorted([one["involvedObject"]["name"], one["reason"], one["type"], plain(one["message"])] for one in mine)


def pod_seen(pod: Object) -> Object:
    metadata, spec = pod["metadata"], pod["spec"]
    return {
        "labels": {key: value for key, value in metadata["labels"].items() if not key.startswith("topology")},
        "annotations": metadata.get("annotations"),
        "generateName": metadata["generateName"],
        "finalizers": metadata.get("finalizers"),
        "owners": [(one["kind"], one["name"]) for one in metadata.get("ownerReferences", ())],
        "going": bool(metadata.get("deletionTimestamp")),
        "phase": pod["status"]["phase"],
        "hostname": spec.get("hostname"),
        "env": spec["containers"][0].get("env"),
    }


def plain(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: plain(one, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if name in TIMES and value:
        return "TIME"
    return (
        re.sub(r"\b([a-z]+(?:-\d)?-)[bcdfghjklmnpqrstvwxz2456789]{5}\b", r"\1…", UID.sub("UID", value)) if isinstance(value, str) else value
    )


async def until(there: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while not (found := await there()):
            await asyncio.sleep(0.1)
        return found


# --- the chapters


async def several(it: Chapter) -> None:
    await it.make(completions=3, parallelism=2, ttlSecondsAfterFinished=1000)
    first, _ = await it.running(2)
    await it.look()
    await it.end(first)
    for pod in await it.running(2):
        await it.end(pod)
    await it.over("Complete")
    await it.look()


async def fails(it: Chapter) -> None:
    await it.make(backoffLimit=0, parallelism=2, completions=2)
    first, _ = await it.running(2)
    await it.end(first, 1)
    await it.over("Failed")
    await it.look()


async def tries(it: Chapter) -> None:
    await it.make(backoffLimit=2)
    await it.end((await it.running(1))[0], 1)
    await it.until(lambda status: status.get("failed") == 1)
    await it.look()
    await it.end((await it.running(1))[0])
    await it.over("Complete")
    await it.look()


async def killed(it: Chapter) -> None:
    await it.make(completions=2, parallelism=2)
    await it.client.delete("pods", (await it.running(2))[0]["metadata"]["name"], **PLACE)
    await it.until(lambda status: status.get("failed") == 1)
    for pod in await it.running(2):
        await it.end(pod)
    await it.over("Complete")
    await it.look()


async def patient(it: Chapter) -> None:
    await it.make(podReplacementPolicy="Failed")
    await it.client.delete("pods", (await it.running(1))[0]["metadata"]["name"], **PLACE)
    await it.until(lambda status: status.get("failed") == 1)
    await it.end((await it.running(1))[0])
    await it.over("Complete")
    await it.look()


async def queue(it: Chapter) -> None:
    await it.make(parallelism=2, completions=None)
    first, second = await it.running(2)
    await it.end(first)
    await it.until(lambda status: status.get("succeeded") == 1)
    await it.look()
    await it.end(second, 1)
    await it.over("Complete")
    await it.look()


async def indexed(it: Chapter) -> None:
    await it.make(completionMode="Indexed", completions=4, parallelism=4)
    for pod in (await it.running(4))[:3]:
        await it.end(pod)
    await it.until(lambda status: status.get("completedIndexes") == "0-2")
    await it.look()
    await it.change(completions=5, parallelism=5)
    for pod in await it.running(2):
        await it.end(pod)
    await it.over("Complete")
    await it.look()


async def alone(it: Chapter) -> None:
    await it.make(completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=1)
    first, second, third = await it.running(3)
    await it.end(first)
    await it.end(second, 1)
    await it.until(lambda status: status.get("completedIndexes") == "0")
    await it.end(third)
    await it.end((await it.running(1))[0], 1)
    await it.over("Failed")
    await it.look()


async def enough(it: Chapter) -> None:
    policy = {"rules": [{"succeededIndexes": "0,2", "succeededCount": 1}]}
    await it.make(completionMode="Indexed", completions=3, parallelism=3, successPolicy=policy)
    await it.end((await it.running(3))[0])
    await it.over("Complete")
    await it.look()


async def hopeless(it: Chapter) -> None:
    rules = [
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
        {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "NotIn", "values": [1, 2]}},
    ]
    await it.make(podFailurePolicy={"rules": rules}, completions=2, parallelism=2)
    ignored, _ = await it.running(2)
    await it.end(ignored, 7)
    await it.end((await it.running(2))[0], 42)
    await it.over("Failed")
    await it.look()


async def late(it: Chapter) -> None:
    await it.make(activeDeadlineSeconds=1)
    await it.over("Failed")
    await it.look()


async def halted(it: Chapter) -> None:
    await it.make(suspend=True, parallelism=2, completions=2)
    await it.until(lambda status: status.get("conditions"))
    await it.look()
    await it.change(suspend=False)
    await it.running(2)
    await it.look()
    await it.change(suspend=True)
    await until(lambda: none(it))
    await it.look()
    await it.client.delete(JOBS, it.name, propagation="Foreground", **PLACE)
    await until(lambda: absent(it))


async def fewer(it: Chapter) -> None:
    await it.make(parallelism=3, completions=3)
    await it.running(3)
    await it.change(parallelism=1)
    await it.running(1)
    await it.look()
    await it.client.delete(JOBS, it.name, propagation="Background", **PLACE)
    await until(lambda: none(it))
    await it.look()


async def left(it: Chapter) -> None:
    """Deleted without a word on its pods."""
    await it.make()
    await it.running(1)
    await it.client.delete(JOBS, it.name, **PLACE)
    await until(lambda: absent(it))
    await until(lambda: free(it))
    await it.look()


async def fleeting(it: Chapter) -> None:
    await it.make(ttlSecondsAfterFinished=1)
    await it.end((await it.running(1))[0])
    await until(lambda: absent(it))
    await until(lambda: none(it))
    await it.look()


async def none(it: Chapter) -> bool:
    return not await it.pods()


async def absent(it: Chapter) -> bool:
    return await it.job() is None


async def free(it: Chapter) -> bool:
    return not any(pod["metadata"].get("finalizers") or pod["metadata"].get("ownerReferences") for pod in await it.pods())


CHAPTERS = (several, fails, tries, killed, patient, queue, indexed, alone, enough, hopeless, late, halted, fewer, left, fleeting)


async def story(running: Plane) -> dict[str, Object]:
    await running.until("serviceaccounts", lambda found: any(one["metadata"]["name"] == "default" for one in found))

    async def tell(chapter: Callable[[Chapter], Awaitable[None]]) -> list[Object]:
        it = Chapter(running, chapter.__name__)
        try:
            await chapter(it)
        except TimeoutError as error:
            raise AssertionError(f"{it.name} waited in vain; at last: {await it._look()}") from error
        return it.seen

    book: dict[str, Object] = dict(zip((one.__name__ for one in CHAPTERS), await asyncio.gather(*map(tell, CHAPTERS)), strict=True))
    book["events"] = [{"all": await rested(lambda: events(running), within=5.0)}]  # theirs are written when nothing else is to be
    return book


@pytest.fixture(scope="module")
def real() -> dict[str, Object]:
    return told(THEIRS, THEIRS, story)


@pytest.mark.parametrize(("api", "controllers"), PAIRS[:-1])
def test_they_end_in_the_same_way(real: dict[str, Object], api: str, controllers: str) -> None:
    ours = told(api, controllers, story)
    for name, looks in real.items():
        for number, expected in enumerate(looks):
            for part, value in expected.items():
                assert ours[name][number][part] == value, f"{name}, look {number + 1}: {part}"
