"""
Where things are: one value object for the three names of a place, and the /16 of loopback that a sandbox claims.

::

    recorded 10.a.b.c:port   what API objects say; a real API server refuses loopback in EndpointSlices
    front    127.x.y.z:port' a listener of the data plane, one per service and *source*, so that it can tell callers apart
    back     127.u.v.w:port'' where the process really listens

Used by the kubelet, the routes and the keeper. Pure arithmetic but for :func:`claim`. Ports below 1024 are refused to users, so
those move up by :data:`SHIFT`, on fronts and backs alike. Linux only: other systems have a single loopback address.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chaosfw.errors import SandboxError

SHIFT = 20_000
"""Added to privileged ports: 80 is served at 20080."""

MAX_NODES = 120
"""Each takes two /24 of the sandbox's /16: one for its pods, one as a source of calls to services."""
MAX_PODS = 250
"""A node's pods are one /24."""
MAX_SERVICES = 250
DOOR_PORT = 3128
"""Where the proxy for each source listens: what proxies have used since Squid."""

OUTSIDE = "outside"
"""The source of everyone who is not a pod: prober, Locust, k6, curl."""

_BACKS, _FRONTS = 8, 128
"""The third numbers at which pods and fronts begin."""
_CLAIMABLE = range(16, 240)
_CLAIM_PORT = 64_999


class HostPort(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One place by its names. A service has a front for each source and many backs; a pod has a back."""

    recorded: HostPort
    front: HostPort | None = None
    back: HostPort | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """
    The addresses of one sandbox: 127.``number``.0.0/16 behind 10.244.0.0/16 (pods), 10.96.0.0/16 (services), 10.89.0.0/24 (nodes).
    ``calls_nodes``: an API server that is not ours calls each node's kubelet, so that nodes have addresses that can be called.
    """

    number: int
    calls_nodes: bool = False

    @property
    def api_host(self) -> str:
        return f"127.{self.number}.0.1"

    def node(self, index: int) -> str:
        """The recorded address of a node."""
        place = 10 + _below(index, MAX_NODES, "nodes")
        return f"127.{self.number}.1.{place}" if self.calls_nodes else f"10.89.0.{place}"

    def pod_cidr(self, node: int) -> str:
        return f"10.244.{_below(node, MAX_NODES, 'nodes')}.0/24"

    def pod(self, node: int, slot: int, *, port: int = 0) -> Address:
        """A pod by its node and its slot there."""
        recorded = f"10.244.{_below(node, MAX_NODES, 'nodes')}.{2 + _below(slot, MAX_PODS, 'pods on a node')}"
        return Address(recorded=HostPort(recorded, port), back=self.back(recorded, port))

    def back(self, recorded: str, port: int) -> HostPort | None:
        """Where the process behind a recorded pod address listens; nothing for an address that is no pod's."""
        parts = recorded.split(".")
        if len(parts) != 4 or parts[:2] != ["10", "244"] or int(parts[2]) >= MAX_NODES:
            return None
        return HostPort(f"127.{self.number}.{_BACKS + int(parts[2])}.{parts[3]}", unprivileged(port))

    def door(self, source: int) -> HostPort:
        """Where clients of one source ask by the cluster's names; sources as in :meth:`service`."""
        return HostPort(f"127.{self.number}.{_FRONTS + _below(source, MAX_NODES + 1, 'sources')}.{2 + MAX_SERVICES}", DOOR_PORT)

    def service(self, cluster_ip: str, *, slot: int, source: int, port: int) -> Address:
        """A service as one source sees it: source 0 is outside, source ``i + 1`` the pods of node ``i``."""
        third = _FRONTS + _below(source, MAX_NODES + 1, "sources")
        front = HostPort(f"127.{self.number}.{third}.{2 + _below(slot, MAX_SERVICES, 'services')}", unprivileged(port))
        return Address(recorded=HostPort(cluster_ip, port), front=front)


def unprivileged(port: int) -> int:
    """The port a user may bind in place of ``port``; 0 stays 0."""
    return port + SHIFT if 0 < port < 1024 else port


def _below(value: int, limit: int, what: str) -> int:
    if not 0 <= value < limit:
        raise SandboxError(f"the sandbox has room for {limit} {what}, not for number {value + 1}")
    return value


class Claim:
    """A held 127.n.0.0/16. The kernel frees it when the process that holds it dies, however it dies."""

    def __init__(self, network: Network, *, lock: int, guard: socket.socket, path: Path) -> None:
        self.network = network
        self._lock = lock
        self._guard = guard
        self._path = path

    def release(self) -> None:
        self._guard.close()
        self._path.unlink(missing_ok=True)
        os.close(self._lock)


def claim(locks: Path) -> Claim:
    """
    Takes a /16 that nobody on this machine has: a file lock in ``locks`` (this user's sandboxes) and a bound port in it
    (other users' sandboxes, which have their own ``locks``).
    """
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in random.sample(_CLAIMABLE, k=len(_CLAIMABLE)):
        held = _claim_one(locks / f"127.{number}.lock", number=number)
        if held is not None:
            return held
    raise SandboxError("all loopback networks from 127.16 to 127.239 are taken", hint="chaosfw sandbox down stops a pinned sandbox")


def _claim_one(path: Path, *, number: int) -> Claim | None:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    guard = socket.socket()
    try:
        guard.bind((f"127.{number}.0.1", _CLAIM_PORT))
    except OSError:
        guard.close()
        path.unlink(missing_ok=True)
        os.close(lock)
        return None
    return Claim(Network(number), lock=lock, guard=guard, path=path)
