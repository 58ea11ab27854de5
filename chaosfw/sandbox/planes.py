"""
The two control planes as the control process sees them: who answers, with which client a node talks, what has to run beside.

Made by :mod:`chaosfw.sandbox.control`. Kubelets and routes are the same under both, and know only clients.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Protocol

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import HostPort, Network
from chaosfw.sandbox.apiserver.server import ApiServer
from chaosfw.sandbox.client.http import HttpClient
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.controllers.manager import Controllers
from chaosfw.sandbox.kubelet.door import NodeDoor
from chaosfw.sandbox.kubelet.inward import Inward
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.kubelet.site import Tokens
from chaosfw.sandbox.profiles import Profile
from chaosfw.sandbox.scheduler.scheduler import Scheduler
from chaosfw.sandbox.upstream import binaries
from chaosfw.sandbox.upstream.files import NODES
from chaosfw.sandbox.upstream.processes import API_PORT, Upstream, User

USER: Final = "system:admin"
SERVICES: Final = "10.96.0.0/16"
_READY_WITHIN: Final = 45.0
"""Seconds; less than a starter waits, so that the last words of what did not come up are still told."""
_LOOK: Final = 0.05


class Plane(Protocol):
    """A control plane from the moment its API answers."""

    @property
    def server(self) -> HostPort: ...

    @property
    def client(self) -> Client:
        """Of everybody here who is no kubelet."""
        ...

    @property
    def of_all_nodes(self) -> Client:
        """With what is asked for nodes that are records only."""
        ...

    def of_node(self, name: str) -> tuple[Client, Tokens]:
        """With what the kubelet of that node asks, and where its pods' tokens come from."""
        ...

    async def run(self) -> None:
        """Returns when controllers and scheduler are at work."""
        ...

    async def admit(self, kubelet: Kubelet, *, address: str) -> None:
        """Lets the API server reach what runs on a node."""
        ...


class Embedded:
    """Ours: everything on this loop, and no sockets between its parts."""

    def __init__(self, server: ApiServer, *, at: HostPort, token: str, root_ca: str, reached: list[Kubelet], profile: Profile) -> None:
        self.server, self.client = at, server.client()
        self._api, self._token, self._reached = server, token, reached
        self._controllers = Controllers(server.client(manager="kube-controller-manager"), profile=profile, root_ca=root_ca)
        self._scheduler = Scheduler(server.client(manager="kube-scheduler"))

    @property
    def of_all_nodes(self) -> Client:
        return self._api.client(manager="kubelet")

    def of_node(self, name: str) -> tuple[Client, Tokens]:
        return self._api.client(manager="kubelet"), self

    async def of_pod(self, pod: Object, *, source: Object) -> str:
        """The one token that there is: authorization is not enforced."""
        return self._token

    async def run(self) -> None:
        await asyncio.gather(self._controllers.start(), self._scheduler.start())

    async def admit(self, kubelet: Kubelet, *, address: str) -> None:
        self._reached.append(kubelet)


async def embedded(*, directory: Path, network: Network, token: str, profile: Profile) -> Embedded:
    reached: list[Kubelet] = []
    server = ApiServer(
        ssl_context=_answering(directory / "server.pem"),
        tokens={token: USER},
        pod_door=Inward(reached),
        service_cidr=SERVICES,
        toleration_seconds=profile.toleration_seconds,
        through=f"http://{network.door(0)}",
    )
    port = await server.start(network.api_host)
    root_ca = (directory / "ca.pem").read_text()
    return Embedded(server, at=HostPort(network.api_host, port), token=token, root_ca=root_ca, reached=reached, profile=profile)


class Real:
    """Kubernetes' own: processes of ours. Each kubelet is a node to it, with a node's rights."""

    def __init__(self, upstream: Upstream, *, at: HostPort, directory: Path, client: HttpClient, nodes: dict[str, HttpClient]) -> None:
        self.server, self.client = at, client
        self._upstream, self._nodes = upstream, nodes
        self._answering = _answering(directory / NODES, called_by=directory / "ca.pem")
        self._doors: list[NodeDoor] = []

    @property
    def of_all_nodes(self) -> Client:
        return self.client

    def of_node(self, name: str) -> tuple[Client, Tokens]:
        return self._nodes[name], _Issued(self._nodes[name])

    async def run(self) -> None:
        """The default service account comes last of what a namespace needs before pods can be made. SandboxError: a part has ended."""
        while True:
            if trouble := self._upstream.trouble():
                raise SandboxError(trouble)
            try:
                await self.client.get("serviceaccounts", "default", namespace="default")
                return
            except ApiError as error:
                if error.code != 404:
                    raise
            await asyncio.sleep(_LOOK)

    async def admit(self, kubelet: Kubelet, *, address: str) -> None:
        door = NodeDoor(kubelet)
        await door.start(address, ssl_context=self._answering)
        self._doors.append(door)


class _Issued:
    """Tokens that the API server issues for service accounts."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def of_pod(self, pod: Object, *, source: Object) -> str:
        account = pod["spec"].get("serviceAccountName") or "default"
        return await self._client.token(account, namespace=pod["metadata"]["namespace"], pod=pod, source=source)


async def real(
    *,
    directory: Path,
    network: Network,
    token: str,
    nodes: Iterable[str],
    profile: Profile,
    secret: Callable[[], str],
    ended: Callable[[str], None],
) -> Real:
    """``ended`` hears why, when a part of it ends by itself. Raises SandboxError when the programs are missing or do not come up."""
    upstream = Upstream(
        binaries.find(),
        directory=directory,
        host=network.api_host,
        profile=profile,
        service_cidr=SERVICES,
        proxy=f"http://{network.door(0)}",
        ended=ended,
    )
    kubelets = {name: User(name=f"system:node:{name}", token=secret(), groups=("system:nodes",)) for name in nodes}
    manager = User(name="system:kube-controller-manager", token=secret(), groups=("system:masters",))
    admin = User(name=USER, token=token, groups=("system:masters",))
    trusted = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    await upstream.serve(users=(admin, manager, *kubelets.values()), asking=token, trusted=trusted, timeout=_READY_WITHIN)
    await upstream.run(token=manager.token, authority=(directory / "ca.pem").read_bytes())
    clients = {name: HttpClient(upstream.url, ssl_context=trusted, token=user.token) for name, user in kubelets.items()}
    own = HttpClient(upstream.url, ssl_context=trusted, token=token)
    return Real(upstream, at=HostPort(network.api_host, API_PORT), directory=directory, client=own, nodes=clients)


def _answering(certificate: Path, *, called_by: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if called_by is not None:
        context.load_verify_locations(called_by)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
