"""
A whole control plane for one test: the real server over TLS, controllers, scheduler, and a fake kubelet under them.

Runs in the test's own event loop, or (:class:`Background`) in a thread of its own for clients that block. Waiting is on
events with a deadline; nothing sleeps.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import trustme
import yaml

from chaosfw.sandbox.apiserver.server import ApiServer
from chaosfw.sandbox.client.http import HttpClient
from chaosfw.sandbox.client.verbs import Client, Object
from chaosfw.sandbox.controllers.manager import Controllers
from chaosfw.sandbox.controllers.orphans import QUARANTINE
from chaosfw.sandbox.scheduler.scheduler import Scheduler
from tests.sandbox.apiserver.fake_kubelet import FakeKubelet

TOKEN = "a-token-of-the-test"
NODES = {"n1": "zone-a", "n2": "zone-b", "n3": "zone-c"}
DEADLINE = 10.0
_CA = trustme.CA()
_CERTIFICATE = _CA.issue_cert("127.0.0.1", "localhost")


class EchoDoor:
    """Answers for pods: a line that names the container, and one more for a follower."""

    async def logs(self, namespace: str, pod: str, container: str, *, follow: bool = False, **_: Any) -> AsyncIterator[bytes]:
        yield f"first line of {namespace}/{pod}/{container}\n".encode()
        if follow:
            yield b"second line\n"


class Plane:
    """What a test holds of a running control plane."""

    def __init__(self, server: ApiServer, port: int, kubelet: FakeKubelet | None) -> None:
        self.server, self.port, self.kubelet = server, port, kubelet
        self.client: Client = server.client()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def http(self) -> HttpClient:
        return HttpClient(self.url, ssl_context=client_context(), token=TOKEN)

    async def until(self, resource: str, holds: Callable[[list[Object]], bool], *, namespace: str = "default") -> list[Object]:
        """The objects as soon as they satisfy ``holds``, looked at after each event."""
        async with asyncio.timeout(DEADLINE):
            found, version = await self.client.list(resource, namespace=namespace)
            known = {obj["metadata"]["uid"]: obj for obj in found}
            if holds(list(known.values())):
                return list(known.values())
            async for kind, obj in self.client.watch(resource, since=version, namespace=namespace):
                if kind == "DELETED":
                    known.pop(obj["metadata"]["uid"], None)
                else:
                    known[obj["metadata"]["uid"]] = obj
                if holds(list(known.values())):
                    return list(known.values())
        raise AssertionError("the watch ended")


@asynccontextmanager
async def plane(
    *,
    nodes: Mapping[str, str] = NODES,
    hold: tuple[str, ...] = (),
    controllers: bool = True,
    kubelet: bool = True,
    quarantine: float = QUARANTINE,
) -> AsyncIterator[Plane]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _CERTIFICATE.configure_cert(context)
    server = ApiServer(ssl_context=context, tokens={TOKEN: "tester"}, pod_door=EchoDoor())
    port = await server.start("127.0.0.1")
    client = server.client()
    parts: list[Any] = [Controllers(client, quarantine=quarantine), Scheduler(client)] if controllers else []
    fake = FakeKubelet(client, nodes=nodes, hold=hold) if kubelet else None
    if fake is not None:
        parts.append(fake)
    try:
        for part in parts:
            await part.start()
        yield Plane(server, port, fake)
    finally:
        for part in reversed(parts):
            await part.stop()
        await server.stop()


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    _CA.configure_trust(context)
    return context


class Background:
    """A plane in a thread, for clients that are programs or that block; ``run`` calls into its loop."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self._folder, self._options = folder, options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.plane: Plane

    def __enter__(self) -> Self:
        self._thread.start()
        self._context = plane(**self._options)
        self.plane = self.run(self._context.__aenter__())
        self.kubeconfig = self._folder / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(self._config()))
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def _config(self) -> Object:
        authority = self._folder / "ca.pem"
        _CA.cert_pem.write_to_path(str(authority))
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": {"server": self.plane.url, "certificate-authority": str(authority)}}],
            "users": [{"name": "tester", "user": {"token": TOKEN}}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "tester"}}],
            "current-context": "sandbox",
        }

    def environment(self) -> dict[str, str]:
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self._folder)}

    def kubectl(self, *arguments: str, stdin: str | None = None, ok: bool = True) -> str:
        """Output and errors together; ``ok`` False: it must fail."""
        program = kubectl_path()
        done = subprocess.run(
            [program, *arguments], env=self.environment(), input=stdin, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode == 0) is ok, f"kubectl {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr


def kubectl_path() -> str:
    cached = Path.home() / ".cache/chaosfw/bin/kubectl"
    found = os.environ.get("CHAOSFW_TEST_KUBECTL") or shutil.which("kubectl") or (str(cached) if cached.exists() else None)
    assert found, f"these tests need kubectl 1.37: set CHAOSFW_TEST_KUBECTL, put it on PATH, or at {cached}"
    return found


def deployment(name: str = "web", *, replicas: int = 3, **spec: Any) -> Object:
    """A small deployment; ``spec`` adds to its spec."""
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", "image": "stand-in:1", "ports": [{"name": "http", "containerPort": 8000}]}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def service(name: str = "web") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    }


def is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions", ())
    return not pod["metadata"].get("deletionTimestamp") and any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def ready(count: int) -> Callable[[list[Object]], bool]:
    """Exactly so many ready pods, and no others."""
    return lambda pods: len(pods) == count and all(is_ready(pod) for pod in pods)
