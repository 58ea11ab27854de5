"""
The embedded control plane beside the one that Kubernetes ships, in one run: start, pods that come up, the API with ten thousand pods in it,
memory. ``python -m benchmarks.planes [PODS]``; about six minutes.

The ten thousand are records: they name a scheduler that nobody is, so that no kubelet starts them. The client is a process of its own for
both, over HTTPS, with eight requests at a time; p99 is of single requests. Memory is what the processes of the control plane have for
themselves and their share of the rest (PSS), without data plane, runtime and pods.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final

from benchmarks.table import machine
from chaosfw.sandbox.client.http import HttpClient
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES

Object = dict[str, Any]
AT_ONCE: Final = 8
RUNNING: Final = 100
LISTS: Final = 10
PATCHES: Final = 2_000
STARTS: Final = 5
_SLOW: Final = 180.0


def spec(plane: str, **more: Any) -> SandboxSpec:
    return SandboxSpec(control_plane=plane, **more)


def starts(plane: str) -> dict[str, float]:
    """From nothing to an API whose nodes are ready: seconds, median of several."""
    took = []
    for _ in range(STARTS):
        began = time.monotonic()
        with start(spec(plane), timeout=_SLOW):
            took.append(time.monotonic() - began)
    return {"start to ready, s": sorted(took)[len(took) // 2]}


def pods_up(plane: str) -> dict[str, float]:
    """A Deployment of a hundred pods that are processes, until all are ready."""
    template = {
        "metadata": {"labels": {"app": "many"}},
        "spec": {"containers": [{"name": "app", "image": "x", "ports": [{"containerPort": 8000}]}]},
    }
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "many", "namespace": "default"}}
    with start(spec(plane, nodes=10), timeout=_SLOW) as sandbox:
        began = time.monotonic()
        sandbox.apply([{**body, "spec": {"replicas": RUNNING, "selector": {"matchLabels": {"app": "many"}}, "template": template}}])
        sandbox.settle(timeout=_SLOW)
        took = time.monotonic() - began
        return {f"{RUNNING} pods: started a second": RUNNING / took, f"{RUNNING} pods: memory, MB": memory(sandbox)}


def memory(sandbox: Sandbox) -> float:
    pids = [one.pid for one in sandbox.processes() if one.name in ("control", "plane")]
    return sum(pss(pid) for pid in pids) / 1024


def pss(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("Pss:"))


def many(plane: str, *, pods: int) -> dict[str, float]:
    with start(spec(plane), timeout=_SLOW) as sandbox:
        empty = memory(sandbox)
        found = asyncio.run(_ask(sandbox, pods=pods))
        return {"memory with nothing in it, MB": empty, **found, f"memory with {pods:,} pods, MB": memory(sandbox)}


async def _ask(sandbox: Sandbox, *, pods: int) -> dict[str, float]:
    context = ssl.create_default_context(cafile=str(sandbox.ca))
    async with HttpClient(sandbox.server, ssl_context=context, token=sandbox.token) as client:
        created, took = await _timed(lambda number: client.create("pods", _record(number), namespace="default"), range(pods))
        listed = []
        for _ in range(LISTS):
            began = time.monotonic()
            items, version = await client.list("pods", namespace="default")
            listed.append(time.monotonic() - began)
        assert len(items) == pods
        answered: dict[int, float] = {}
        seen: dict[int, float] = {}
        watching = asyncio.create_task(_watch(client, version, seen))

        async def patch(number: int) -> None:
            await client.patch("pods", f"record-{number}", {"metadata": {"labels": {"n": str(number)}}}, namespace="default")
            answered[number] = time.monotonic()

        patched, patches = await _timed(patch, range(min(PATCHES, pods)))
        async with asyncio.timeout(_SLOW):
            await watching
        late = [max(0.0, seen[number] - at) for number, at in answered.items()]
        return {
            "creations a second": pods / created,
            "creation, p99 ms": _p99(took) * 1000,
            f"list of {pods:,}, median ms": sorted(listed)[len(listed) // 2] * 1000,
            f"list of {pods:,}, longest ms": max(listed) * 1000,
            "patches a second": len(patches) / patched,
            "patch, p99 ms": _p99(patches) * 1000,
            "watch: event after the answer, p99 ms": _p99(late) * 1000,
        }


async def _watch(client: HttpClient, version: str, seen: dict[int, float]) -> None:
    async for _, pod in client.watch("pods", since=version, namespace="default"):
        seen[int(pod["metadata"]["name"].removeprefix("record-"))] = time.monotonic()
        if len(seen) == PATCHES:
            return


async def _timed(call: Callable[[int], Awaitable[Any]], numbers: Iterable[int]) -> tuple[float, list[float]]:
    """Seconds in all, and of each call; so many at a time."""
    waiting, took = iter(numbers), list[float]()

    async def work() -> None:
        for number in waiting:
            began = time.monotonic()
            await call(number)
            took.append(time.monotonic() - began)

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return time.monotonic() - began, took


def _p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def _record(number: int) -> Object:
    spec = {"schedulerName": "nobody", "containers": [{"name": "app", "image": "x:1"}]}
    return {"metadata": {"name": f"record-{number}", "labels": {"app": "record"}}, "spec": spec}


def main() -> None:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print(f"{machine()}\n")
    found: dict[str, dict[str, float]] = {}
    for plane in CONTROL_PLANES:
        found[plane] = {**starts(plane), **pods_up(plane), **many(plane, pods=pods)}
        print(f"{plane}: done", file=sys.stderr)
    print(f"{'':<44}" + "".join(f"{plane:>14}" for plane in found))
    for name in found[CONTROL_PLANES[0]]:
        print(f"{name:<44}" + "".join(f"{figures[name]:>14.2f}" for figures in found.values()))


if __name__ == "__main__":
    main()
