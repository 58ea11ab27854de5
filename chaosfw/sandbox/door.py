"""
A door for clients that know only what the cluster says: an HTTP proxy that resolves service names, cluster addresses and pod addresses.

Runs in the control process, one listener for each source, so that what stands between places holds here too. For Prometheus, curl, an
operator that asks its pods: ``http_proxy=$CHAOSFW_PROXY``. Not for load: every byte goes through the control process.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import re
import urllib.parse
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from chaosfw.sandbox.addresses import HostPort, Network, unprivileged
from chaosfw.sandbox.client.verbs import ApiError, Client

LONGEST_HEAD: Final = 65_536
"""Bytes of a request line and its headers."""
CONNECT_WITHIN: Final = 10.0
"""Seconds."""
FAILED: Final = "Proxy-Status"
"""A header of answers that are the door's own, because nobody was reached (RFC 9209)."""
_PIECE: Final = 65_536
_OURS: Final = ("connection", "proxy-connection", "proxy-authorization", "keep-alive")


_FORWARDED_BY: Final = re.compile(r"^x-forwarded-uri: *(\S+)", re.IGNORECASE | re.MULTILINE)
_FORWARDED: Final = re.compile(r"/api/v1/namespaces/(?P<namespace>[^/]+)/(?P<kind>pods|services)/(?P<name>[^/:]+):(?P<port>\d+)/proxy(/|$)")


class Services(Protocol):
    """Where services are; :mod:`chaosfw.sandbox.routes` knows."""

    def of_service(self, namespace: str, name: str, *, node: str, port: int | str | None = None) -> HostPort | None: ...

    def named(self, cluster_ip: str) -> tuple[str, str] | None:
        """Namespace and name of the service with that address."""
        ...

    def pods_of(self, namespace: str, name: str) -> list[str]:
        """The addresses at which the ready pods of a service listen."""
        ...

    def member(self, namespace: str, service: str, hostname: str) -> str | None:
        """The address of one of them, by its hostname."""
        ...


class Unknown(Exception):
    """Nothing in this cluster has that name or address."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a name or an address stands for, as one source sees it."""

    services: Services
    client: Client
    network: Network
    server: HostPort
    source: str

    def find(self, host: str, port: int) -> HostPort:
        """Raises Unknown."""
        try:
            found = self._address(str(ipaddress.ip_address(host)), port)
        except ValueError:
            found = self._name(host.rstrip(".").lower(), port)
        if found is None:
            raise Unknown(f"{host}:{port} is nothing in this sandbox: services as NAME.NAMESPACE, cluster and pod addresses were expected")
        return found

    async def forwarded(self, uri: str) -> HostPort:
        """
        Whom Kubernetes' own API server means when it proxies to a pod or a service. To a proxy it sends its own name as the host
        (``UpgradeAwareHandler`` keeps the caller's Host), and only ``X-Forwarded-Uri`` says who is asked. Raises Unknown.
        """
        match = _FORWARDED.match(uri)
        if match is None:
            raise Unknown(f"{uri}: a pod or a service with a port, NAME:PORT, was expected")
        namespace, name, port = match["namespace"], match["name"], int(match["port"])
        found = self._service(namespace, name, port=port) if match["kind"] == "services" else await self._pod(namespace, name, port=port)
        if found is None:
            raise Unknown(f"{match['kind']} {namespace}/{name} is not reachable at port {port}")
        return found

    async def _pod(self, namespace: str, name: str, *, port: int) -> HostPort | None:
        try:
            pod = await self.client.get("pods", name, namespace=namespace)
        except ApiError:
            return None
        return self.network.back((pod.get("status") or {}).get("podIP") or "", port)

    def _address(self, host: str, port: int) -> HostPort | None:
        if host.startswith(f"127.{self.network.number}."):  # its own real addresses, and no other sandbox's or server's
            return HostPort(host, port)
        service = self.services.named(host)
        return self._service(*service, port=port) if service is not None else self.network.back(host, port)

    def _name(self, host: str, port: int) -> HostPort | None:
        words = host.removesuffix(".cluster.local").split(".")
        if words[-1] == "pod" and len(words) == 3:
            return self.network.back(words[0].replace("-", "."), port)
        if words[-1] == "svc":
            words.pop()
        if len(words) == 3:
            place = self.services.member(words[2], words[1], words[0])
            return HostPort(place, unprivileged(port)) if place is not None else None
        return self._service(words[1], words[0], port=port) if len(words) == 2 else None

    def _service(self, namespace: str, name: str, *, port: int) -> HostPort | None:
        if (namespace, name) == ("default", "kubernetes"):
            return self.server
        front = self.services.of_service(namespace, name, node=self.source, port=port)
        pods = self.services.pods_of(namespace, name) if front is None else []
        return front or (HostPort(random.choice(pods), unprivileged(port)) if pods else None)


async def open_door(at: HostPort, names: Names) -> asyncio.Server:
    """Listens until it is closed. OSError: somebody has that address."""
    return await asyncio.start_server(_visit(names), at.host, at.port, limit=LONGEST_HEAD)


def _visit(names: Names) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]:
    async def visit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            await _serve(head, reader, writer, names=names)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    return visit


async def _serve(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, names: Names) -> None:
    line, _, rest = head.partition("\r\n")
    try:
        method, target, version = line.split(" ")
        host, port, path = _asked(method, target)
        forwarded = _FORWARDED_BY.search(rest) if HostPort(host, port) == names.server else None
        at = await names.forwarded(forwarded[1]) if forwarded else names.find(host, port)
        async with asyncio.timeout(CONNECT_WITHIN):
            there, onward = await asyncio.open_connection(at.host, at.port)
    except Unknown as unknown:
        return await _refuse(writer, 502, str(unknown))
    except ValueError:
        return await _refuse(writer, 400, f"this is a proxy for http:// and CONNECT; it was asked {line[:200]!r}")
    except OSError as trouble:
        return await _refuse(writer, 504 if isinstance(trouble, TimeoutError) else 502, f"{host}:{port} at {at}: {_why(trouble)}")
    try:
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            onward.write(f"{method} {path} {version}\r\n{_headers(rest)}".encode("latin-1"))
        await _both(_copy(reader, onward), _copy(there, writer))
    finally:
        onward.close()


def _asked(method: str, target: str) -> tuple[str, int, str]:
    """Host, port and path. Raises ValueError."""
    parts = urllib.parse.urlsplit(f"//{target}" if method == "CONNECT" else target)
    if not parts.hostname or parts.scheme not in ("", "http") or (method != "CONNECT" and not parts.scheme):
        raise ValueError(target)
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    return parts.hostname, parts.port or (443 if method == "CONNECT" else 80), path


def _headers(text: str) -> str:
    """One request a connection, unless it is to become something else than HTTP."""
    lines = [line for line in text.split("\r\n") if line]
    if any(line.lower().startswith("upgrade:") for line in lines):
        return text
    kept = [line for line in lines if line.partition(":")[0].lower() not in _OURS]
    return "\r\n".join([*kept, "Connection: close", "", ""])


async def _both(*ways: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
    with suppress(OSError):
        writer.write_eof()


def _why(trouble: OSError) -> str:
    return os.strerror(trouble.errno) if trouble.errno else f"no answer within {CONNECT_WITHIN:g} s"


async def _refuse(writer: asyncio.StreamWriter, status: int, words: str) -> None:
    body = words.encode() + b"\n"
    said: Mapping[int, str] = {400: "Bad Request", 502: "Bad Gateway", 504: "Gateway Timeout"}
    head = (
        f"HTTP/1.1 {status} {said[status]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"{FAILED}: chaosfw-sandbox",
        "Connection: close",
    )
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()
