"""
From a path to what it names: a kind's row, perhaps a namespace, a name, a subresource. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from chaosfw.sandbox.kinds.registry import Registry
from chaosfw.sandbox.kinds.row import Kind


@dataclass(frozen=True, slots=True)
class Target:
    """What a resource path names. No name: the collection."""

    row: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watched: bool = False
    """By the old way, whose path says so and not its query."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A path below a served group version that names nothing we have."""


def resolve(path: str, registry: Registry) -> Target | Unknown | None:
    """None: the path is not below a group version that is served at all."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    if not registry.of(group, version):
        return None
    if rest[0] == "watch" and len(rest) > 1:
        found = _target(rest[1:], group, version, registry)
        return replace(found, watched=True) if found and not found.subresource else Unknown()
    return _target(rest, group, version, registry) or Unknown()


def _target(rest: list[str], group: str, version: str, registry: Registry) -> Target | None:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    row = registry.at(group, version, rest[0])
    proxied = len(rest) > 3 and rest[2] == "proxy"  # what follows is for whoever is asked
    if row is None or (len(rest) > 3 and not proxied) or (namespace and not row.namespaced):
        return None
    if len(rest) > 1 and row.namespaced and not namespace:
        return None
    subresource = rest[2] if len(rest) >= 3 else ""
    if subresource and row.door(subresource) is None:
        return None
    return Target(row, namespace, rest[1] if len(rest) > 1 else "", subresource)
