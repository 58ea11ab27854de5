"""
The verbs every component of the sandbox speaks to an API server, ours or a real one.

Used by the controllers, the scheduler and the kubelet; implemented by ``client.local`` (no socket) and ``client.http``.
Resources are named by their plural, with the group where it is not the core one: ``"pods"``, ``"deployments.apps"``,
``"endpointslices.discovery.k8s.io"``, ``"leases.coordination.k8s.io"``.
"""

from __future__ import annotations

from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Object = dict[str, Any]
"""A Kubernetes object as JSON. The only place where untyped data is right: its shape is the API's, not ours."""

PatchStyle = Literal["merge", "json", "strategic"]


class ApiError(Exception):
    """A Status of kind Failure: ``code`` (HTTP), ``reason`` (``NotFound``, ``Conflict``, ``Invalid`` …), ``message``, ``details``."""

    def __init__(self, code: int, reason: str, message: str, *, details: Object | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.warnings: tuple[str, ...] = ()
        """What the server says besides, in headers."""


class Client(Protocol):
    """Answers are fresh copies: callers may change what they get. Every refusal is an :class:`ApiError`."""

    async def get(self, resource: str, name: str, *, namespace: str = "") -> Object: ...

    async def list(self, resource: str, *, namespace: str = "", labels: str = "", fields: str = "") -> tuple[list[Object], str]:
        """The items and the resourceVersion of the list. No namespace: all of them."""
        ...

    def watch(
        self, resource: str, *, since: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        """``(ADDED | MODIFIED | DELETED | BOOKMARK, object)`` after ``since``; raises ApiError 410 when that is too old."""
        ...

    async def create(self, resource: str, body: Object, *, namespace: str = "") -> Object: ...

    async def replace(self, resource: str, name: str, body: Object, *, namespace: str = "", subresource: str = "") -> Object: ...

    async def patch(
        self, resource: str, name: str, body: Any, *, namespace: str = "", subresource: str = "", style: PatchStyle = "merge"
    ) -> Object: ...

    async def delete(
        self, resource: str, name: str, *, namespace: str = "", uid: str = "", grace: int | None = None, propagation: str = ""
    ) -> Object: ...

    async def evict(self, name: str, *, namespace: str) -> Object: ...


STDIN, STDOUT, STDERR = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A command for a container, and which of its streams somebody listens to."""

    command: tuple[str, ...]
    streams: frozenset[int] = frozenset()
    tty: bool = False


class Execution(Protocol):
    """A command that runs in a container."""

    async def feed(self, data: bytes) -> None: ...

    def feed_end(self) -> None: ...

    def resize(self, *, width: int, height: int) -> None: ...

    def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """``(STDOUT | STDERR, bytes)`` until the end of both."""
        ...

    async def code(self) -> int: ...

    def close(self) -> None: ...


class PodDoor(Protocol):
    """What a kubelet offers the API server for one node or for all."""

    async def execute(self, namespace: str, pod: str, container: str, *, wanted: Wanted) -> Execution: ...

    async def dial(self, namespace: str, pod: str, port: int) -> tuple[StreamReader, StreamWriter]: ...

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        tail: int | None = None,
        since_seconds: float | None = None,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]: ...
