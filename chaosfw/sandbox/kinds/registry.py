"""
All rows of one API server: the built-in ones, and those that custom resource definitions add while it runs.

Asked by routing, discovery and OpenAPI. Core and ``apps`` come first because clients resolve ambiguous names in this order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chaosfw.sandbox.kinds import cluster, custom, events, jobs, network, pods, reviews, stored, workloads
from chaosfw.sandbox.kinds.row import Kind

BUILT_IN: tuple[Kind, ...] = (
    cluster.NAMESPACE,
    cluster.NODE,
    pods.POD,
    pods.BINDING,
    network.SERVICE,
    network.ENDPOINTS,
    cluster.CONFIG_MAP,
    cluster.SECRET,
    cluster.SERVICE_ACCOUNT,
    events.EVENT,
    *(row for row in (*stored.STORAGE, *stored.INTERNAL) if not row.group),
    workloads.DEPLOYMENT,
    workloads.REPLICA_SET,
    workloads.STATEFUL_SET,
    workloads.DAEMON_SET,
    *(row for row in stored.INTERNAL if row.group == "apps"),
    events.NEW_EVENT,
    jobs.JOB,
    jobs.CRON_JOB,
    *(row for row in stored.OTHERS if row.group == "autoscaling"),
    network.INGRESS,
    network.INGRESS_CLASS,
    network.NETWORK_POLICY,
    cluster.BUDGET,
    network.ENDPOINT_SLICE,
    cluster.LEASE,
    *stored.ROLES,
    *(row for row in stored.STORAGE if row.group),
    *(row for row in stored.INTERNAL if row.group == "storage.k8s.io"),
    *(row for row in stored.OTHERS if row.group != "autoscaling"),
    *reviews.ROWS,
    custom.DEFINITION,
)


_GROUPS = (
    "",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
)
"""As a kube-apiserver of 1.37 orders those that it has; groups of custom kinds come after."""


class Registry:
    """Rows by address and by resource name."""

    def __init__(self, rows: Iterable[Kind] = BUILT_IN) -> None:
        self._rows: dict[tuple[str, str, str], Kind] = {}
        self._by_resource: dict[str, Kind] = {}
        self.changes = 0
        for row in rows:
            self.add(row)

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._rows.values())

    def add(self, row: Kind) -> None:
        self._rows[(row.group, row.version, row.plural)] = row
        self._by_resource.setdefault(row.resource, row)
        self.changes += 1

    def remove(self, *, group: str, plural: str) -> None:
        for address in [address for address in self._rows if address[0] == group and address[2] == plural]:
            del self._rows[address]
        self._by_resource.pop(f"{plural}.{group}", None)
        self.changes += 1

    def at(self, group: str, version: str, plural: str) -> Kind | None:
        return self._rows.get((group, version, plural))

    def by_resource(self, resource: str) -> Kind | None:
        return self._by_resource.get(resource)

    def of(self, group: str, version: str) -> list[Kind]:
        """By name, as clients are told them, who show them in this order."""
        return sorted((row for row in self if (row.group, row.version) == (group, version)), key=lambda row: row.plural)

    def versions(self) -> dict[str, list[str]]:
        """Versions by group, in the order in which clients look through them."""
        found: dict[str, list[str]] = {}
        for row in sorted(self, key=lambda row: _GROUPS.index(row.group) if row.group in _GROUPS else len(_GROUPS)):
            known = found.setdefault(row.group, [])
            if row.version not in known:
                known.append(row.version)
        return found
