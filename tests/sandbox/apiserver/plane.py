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
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import trustme
import yaml

from chaosfw.sandbox.addresses import claim
from chaosfw.sandbox.apiserver.server import ApiServer
from chaosfw.sandbox.client.http import HttpClient
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.controllers.manager import Controllers
from chaosfw.sandbox.controllers.orphans import QUARANTINE
from chaosfw.sandbox.keeper.authority import issue
from chaosfw.sandbox.profiles import profile
from chaosfw.sandbox.scheduler.scheduler import Scheduler
from chaosfw.sandbox.spec import KUBERNETES
from chaosfw.sandbox.upstream.binaries import find
from chaosfw.sandbox.upstream.processes import Upstream, User
from tests.sandbox.apiserver.fake_kubelet import FakeKubelet

TOKEN = "a-token-of-the-test"
NODES = {"n1": "zone-a", "n2": "zone-b", "n3": "zone-c"}
DEADLINE = 10.0
_CA = trustme.CA()
_CERTIFICATE = _CA.issue_cert("127.0.0.1", "localhost")


class EchoDoor:
    """Answers for pods: a line that names the container, and one more for a follower."""

    async def execute(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("no test of this room asks")

    async def dial(self, *_: Any) -> Any:
        raise AssertionError("no test of this room asks")

    async def logs(self, namespace: str, pod: str, container: str, *, follow: bool = False, **_: Any) -> AsyncIterator[bytes]:
        yield f"first line of {namespace}/{pod}/{container}\n".encode()
        if follow:
            yield b"second line\n"


class Plane:
    """What a test holds of a running control plane."""

    def __init__(self, url: str, client: Client, kubelet: FakeKubelet | None) -> None:
        self.url, self.client, self.kubelet = url, client, kubelet
        self.server: ApiServer | None = None
        """Ours; None where the oracle answers."""

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


def is_oracle() -> bool:
    """Whether these tests ask the API server that Kubernetes ships: what they demand of ours has to be true of it."""
    return os.environ.get("CHAOSFW_CONTROL_PLANE") == KUBERNETES


NO_DOOR = "the fake kubelet under both has no server that a real API server could ask for logs"


def ours(reason: str) -> pytest.MarkDecorator:
    """Demanded of the embedded API server only, and why the oracle is not asked."""
    return pytest.mark.skipif(is_oracle(), reason=f"of the embedded one only: {reason}")


@asynccontextmanager
async def plane(
    *,
    nodes: Mapping[str, str] = NODES,
    hold: tuple[str, ...] = (),
    controllers: bool = True,
    kubelet: bool = True,
    quarantine: float = QUARANTINE,
    settings: str = "default",
) -> AsyncIterator[Plane]:
    if is_oracle():
        async with (
            oracle(controllers=controllers, settings=settings) as (url, http),
            served(url, http, [], nodes=nodes, hold=hold, kubelet=kubelet) as running,
        ):
            yield running
        return
    patience = profile(settings).toleration_seconds
    server = ApiServer(ssl_context=server_context(), tokens={TOKEN: "tester"}, pod_door=EchoDoor(), toleration_seconds=patience)
    port = await server.start("127.0.0.1")
    client = server.client()
    parts: list[Any] = [Controllers(client, profile=profile(settings), quarantine=quarantine), Scheduler(client)] if controllers else []
    try:
        async with served(f"https://127.0.0.1:{port}", client, parts, nodes=nodes, hold=hold, kubelet=kubelet) as running:
            running.server = server
            yield running
    finally:
        await server.stop()


@asynccontextmanager
async def served(
    url: str, client: Client, parts: list[Any], *, nodes: Mapping[str, str], hold: tuple[str, ...], kubelet: bool
) -> AsyncIterator[Plane]:
    fake = FakeKubelet(client, nodes=nodes, hold=hold) if kubelet else None
    if fake is not None:
        parts.append(fake)
    try:
        for part in parts:
            await part.start()
        yield Plane(url, client, fake)
    finally:
        for part in reversed(parts):
            await part.stop()


@asynccontextmanager
async def oracle(*, controllers: bool, settings: str = "default") -> AsyncIterator[tuple[str, HttpClient]]:
    """etcd and kube-apiserver of a test's own, with or without controller manager and scheduler."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        claimed = claim(directory / "networks")
        host = claimed.network.api_host
        issue(_CA, directory, host=host, nodes=["127.0.0.1"])
        upstream = Upstream(
            find(), directory=directory, host=host, profile=profile(settings), service_cidr="10.96.0.0/16", ended=lambda why: None
        )
        user = User(name="tester", token=TOKEN, groups=("system:masters",))
        try:
            await upstream.serve(users=(user,), asking=TOKEN, trusted=client_context(), timeout=60.0)
            async with HttpClient(upstream.url, ssl_context=client_context(), token=TOKEN) as client:
                if controllers:
                    await upstream.run(token=TOKEN, authority=_CA.cert_pem.bytes())
                    while not await _there(client):
                        await asyncio.sleep(0.02)
                else:  # pods need it, and nobody else makes it
                    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
                    await client.create("serviceaccounts", account, namespace="default")
                yield upstream.url, client
        finally:
            await upstream.stop()
            claimed.release()


async def _there(client: HttpClient) -> bool:
    try:
        await client.get("serviceaccounts", "default", namespace="default")
    except ApiError:
        return False
    return True


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _CERTIFICATE.configure_cert(context)
    return context


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
        self.kubeconfig = write_kubeconfig(self._folder, self.plane.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._context.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

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


def write_kubeconfig(folder: Path, url: str) -> Path:
    """For the one user of these control planes, at whatever stands at ``url``."""
    authority, path = folder / "ca.pem", folder / "kubeconfig"
    _CA.cert_pem.write_to_path(str(authority))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "tester", "user": {"token": TOKEN}}],
        "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "tester"}}],
        "current-context": "sandbox",
    }
    path.write_text(yaml.safe_dump(config))
    return path


def kubectl_path() -> str:
    """The one that these tests are written for, before any that a machine happens to have."""
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaosfw/bin/kubectl"
    found = os.environ.get("CHAOSFW_TEST_KUBECTL") or (str(cached) if cached.exists() else shutil.which("kubectl"))
    assert found, "these tests need kubectl 1.37: `scripts/kubectl` builds it, or say where one is in CHAOSFW_TEST_KUBECTL"
    return found


def clients_python() -> str:
    """The interpreter that has other people's clients, and an older Python client."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "chaosfw"
    found = cache / f"clients-{sys.version_info.major}.{sys.version_info.minor}" / "bin" / "python"
    assert found.exists(), "these tests need kr8s, lightkube and kubernetes 29: `scripts/clients` installs them"
    return str(found)


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
