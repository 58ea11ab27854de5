"""
From services and endpoints to the data plane's table: who listens where, for whom, in front of which pods.

Runs in the control process. It gives each service its fronts, tells the kubelet's pods about them, and sends the whole table whenever
endpoints change; changes that come together are sent together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import OUTSIDE, Address, HostPort, Network
from chaosfw.sandbox.client.informer import Informer, Key, key_of, started, stopped
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.dataplane.table import Backend, Place, Route, route_to_json
from chaosfw.sandbox.lines import Caller

LOG = logging.getLogger("chaosfw.sandbox")
RETRY_AFTER: Final = 0.2
"""Seconds until the data plane is told again what it could not take."""
_SERVICE: Final = "kubernetes.io/service-name"


class Routes:
    """``nodes`` maps each node to its zone; the order of the nodes decides the fronts."""

    def __init__(self, client: Client, *, network: Network, nodes: Mapping[str, str], dataplane: Path) -> None:
        self._network = network
        self._zones = nodes
        self._sources = {OUTSIDE: 0, **{name: index + 1 for index, name in enumerate(nodes)}}
        self._dataplane = dataplane
        self._services = Informer(client, "services")
        self._slices = Informer(client, "endpointslices.discovery.k8s.io")
        self._slots: dict[Key, int] = {}
        self._in_force: tuple[Route, ...] = ()
        self._client = client
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        caller = await Caller.connect(self._dataplane)
        self._services.listen(self._service_changed)
        self._slices.listen(self._endpoints_changed)
        await started(self._services, self._slices)
        self._task = asyncio.get_running_loop().create_task(self._send(caller), name="routes")

    async def stop(self) -> None:
        await stopped(self._services, self._slices)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- what pods and users ask

    def of_namespace(self, namespace: str, *, node: str) -> Mapping[str, list[tuple[str, HostPort]]]:
        found = {}
        for service in self._services.all(namespace=namespace):
            ports = [(port.get("name", ""), address.front) for port, address in self._ports(service, source=node) if address.front]
            if ports:
                found[service["metadata"]["name"]] = ports
        return found

    def of_service(self, namespace: str, name: str, *, node: str = OUTSIDE, port: int | str | None = None) -> HostPort | None:
        """The front of one port, by number or name; the first when none is named."""
        service = self._services.get(namespace, name)
        if service is None:
            return None
        for row, address in self._ports(service, source=node):
            if port is None or port in (row["port"], row.get("name"), str(row["port"])):
                return address.front
        return None

    def named(self, cluster_ip: str) -> tuple[str, str] | None:
        """Namespace and name of the service with that address."""
        return next((key_of(one) for one in self._services.all() if one["spec"].get("clusterIP") == cluster_ip), None)

    def pods_of(self, namespace: str, name: str) -> list[str]:
        """The addresses at which the ready pods of a service listen."""
        found = self._backends()
        return sorted({one.at.host for key, backends in found.items() if key[:2] == (namespace, name) for one in backends})

    def member(self, namespace: str, service: str, hostname: str) -> str | None:
        """Where the ready pod of a service listens that has this hostname, as those of a StatefulSet have."""
        pieces = [
            piece for piece in self._slices.all(namespace=namespace) if (piece["metadata"].get("labels") or {}).get(_SERVICE) == service
        ]
        for endpoint in (one for piece in pieces for one in piece.get("endpoints") or ()):
            back = self._network.back(endpoint["addresses"][0], 0)
            ready = (endpoint.get("conditions") or {}).get("ready") is not False
            if back is not None and ready and endpoint.get("hostname") == hostname:
                return back.host
        return None

    def doors(self) -> Mapping[str, HostPort]:
        """Each source's proxy for clients that know only the cluster's names."""
        return {source: self._network.door(number) for source, number in self._sources.items()}

    async def know(self, namespace: str, name: str) -> None:
        """Returns when a service that the API has is known here too."""
        try:
            service = await self._client.get("services", name, namespace=namespace)
        except ApiError:
            return
        await self._services.seen(service["metadata"]["resourceVersion"])

    def backends(self) -> dict[str, list[str]]:
        """The pods behind each service, as ``namespace/name``: those the data plane has acknowledged."""
        found: dict[str, list[str]] = {}
        for route in self._in_force:
            for backend in route.backends:
                uids = found.setdefault(f"{backend.place.namespace}/{backend.place.service}", [])
                if backend.uid not in uids:
                    uids.append(backend.uid)
        return found

    def endpoint(self, namespace: str, name: str, *, port: int | str | None) -> HostPort:
        """For outside clients; a SandboxError names what there is."""
        front = self.of_service(namespace, name, port=port)
        if front is not None:
            return front
        service = self._services.get(namespace, name)
        if service is None:
            there = ", ".join(sorted(s["metadata"]["name"] for s in self._services.all(namespace=namespace))) or "none"
            raise SandboxError(f"no service {name!r} in namespace {namespace!r}; there: {there}")
        ports = ", ".join(f"{p['port']} {p.get('name', '')}".strip() for p in service["spec"].get("ports") or ()) or "none"
        raise SandboxError(f"service {namespace}/{name} has no port {port!r}; it has: {ports}")

    def endpoints(self) -> dict[str, str]:
        """All services' first ports, as ``namespace/name``, for outside clients."""
        found = {}
        for service in self._services.all():
            namespace, name = key_of(service)
            front = self.of_service(namespace, name)
            if front is not None and (namespace, name) != ("default", "kubernetes"):
                found[f"{namespace}/{name}"] = str(front)
        return found

    # --- the table

    def table(self) -> list[Route]:
        backends = self._backends()
        return [
            Route(at=address.front, source=self._source(source), backends=tuple(backends.get((*key_of(service), port.get("name", "")), ())))
            for service in self._services.all()
            for source in self._sources
            for port, address in self._ports(service, source=source)
            if address.front is not None
        ]

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            self._slots.pop(key_of(old), None)
        self._changed.set()

    def _endpoints_changed(self, old: Object | None, new: Object | None) -> None:
        self._changed.set()

    async def _send(self, caller: Caller) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            table = self.table()
            try:
                await caller.ask({"do": "route", "routes": [route_to_json(route) for route in table]})
            except SandboxError as error:
                LOG.warning("routes: the data plane says: %s; trying again", error)
                await asyncio.sleep(RETRY_AFTER)
                self._changed.set()
                continue
            self._in_force = tuple(table)

    def _ports(self, service: Object, *, source: str) -> Iterator[tuple[Object, Address]]:
        """Nothing for what has no address of its own: headless and external ones, and the API server, which is reached directly."""
        cluster_ip = service["spec"].get("clusterIP") or "None"
        if cluster_ip == "None" or service["spec"].get("type") == "ExternalName" or key_of(service) == ("default", "kubernetes"):
            return
        slot = self._slot(key_of(service))
        for port in service["spec"].get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                yield port, self._network.service(cluster_ip, slot=slot, source=self._sources[source], port=port["port"])

    def _slot(self, key: Key) -> int:
        if key not in self._slots:
            taken = set(self._slots.values())
            self._slots[key] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        return self._slots[key]

    def _source(self, source: str) -> Place:
        return Place(node=source, zone=self._zones.get(source, ""))

    def _backends(self) -> dict[tuple[str, str, str], list[Backend]]:
        """By namespace, service and port name: the ready endpoints."""
        found: dict[tuple[str, str, str], list[Backend]] = {}
        for piece in self._slices.all():
            service = (piece["metadata"].get("labels") or {}).get(_SERVICE)
            if service is None:
                continue
            namespace = piece["metadata"]["namespace"]
            for port in piece.get("ports") or ():
                if port.get("port"):
                    found.setdefault((namespace, service, port.get("name") or ""), []).extend(
                        self._ready(piece, port["port"], service=service)
                    )
        return found

    def _ready(self, piece: Object, port: int, *, service: str) -> Iterator[Backend]:
        for endpoint in piece.get("endpoints") or ():
            back = self._network.back(endpoint["addresses"][0], port)
            if back is None or (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            target = endpoint.get("targetRef") or {}
            node = endpoint.get("nodeName") or ""
            place = Place(
                node=node,
                zone=endpoint.get("zone") or self._zones.get(node, ""),
                namespace=piece["metadata"]["namespace"],
                service=service,
                pod=target.get("name", ""),
            )
            yield Backend(at=back, uid=target.get("uid", str(back)), place=place)
