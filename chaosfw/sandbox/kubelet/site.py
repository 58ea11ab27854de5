"""
What a kubelet works with: the doors to the API server and the runtime, addresses, directories, settings. The kubelets of a sandbox share
all of it but the line to the API server, where each has an identity of its own, and its being awake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chaosfw.sandbox.addresses import HostPort, Network
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kubelet.images import Images
from chaosfw.sandbox.kubelet.line import Line
from chaosfw.sandbox.profiles import Profile
from chaosfw.sandbox.runtime.door import RuntimeDoor
from chaosfw.timing import SYSTEM, Clock


class Fronts(Protocol):
    """Where the services are for the pods of a node; :mod:`chaosfw.sandbox.routes` knows."""

    def of_namespace(self, namespace: str, *, node: str) -> Mapping[str, list[tuple[str, HostPort]]]:
        """By service name, its ports' names and fronts in order."""
        ...

    def of_service(self, namespace: str, name: str, *, node: str, port: int | str | None = None) -> HostPort | None: ...


class Tokens(Protocol):
    """Where a pod gets what it shows to the API server."""

    async def of_pod(self, pod: Object, *, source: Object) -> str:
        """``source`` is a projected volume's ``serviceAccountToken``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    client: Line
    runtime: RuntimeDoor
    fronts: Fronts
    network: Network
    directory: Path
    images: Images
    profile: Profile
    workdir: Path
    environment: Mapping[str, str]
    """What every process needs of the machine: PATH, HOME, LANG, PYTHONPATH."""
    server: HostPort
    """The API server's real address."""
    tokens: Tokens
    proxy: str
    """Where pods of this node ask by the cluster's names, ``host:port``."""
    awake: asyncio.Event
    """Cleared while the machine is frozen: nothing is probed or started then."""
    clock: Clock = SYSTEM


@dataclass(frozen=True, slots=True)
class NodeName:
    """A node as its kubelet knows it. ``index`` decides its addresses."""

    name: str
    zone: str
    index: int
