"""
What the server serves, told in both ways clients ask: aggregated (two requests) and legacy (one a group version).

Derived from the rows, every time it is asked: a custom resource appears with its definition.
"""

from __future__ import annotations

import base64
import hashlib

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.registry import Registry
from chaosfw.sandbox.kinds.row import Kind, Subresource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"


def wants_aggregated(accept: str) -> str:
    """The version of the aggregated document the client takes first, or nothing."""
    for offer in accept.replace(" ", "").split(","):
        if "as=APIGroupDiscoveryList" in offer and "application/json" in offer:
            for version in ("v2", "v2beta1"):
                if f"v={version}" in offer.split(";"):
                    return version
    return ""


def aggregated(registry: Registry, *, core: bool, version: str) -> Object:
    """``/api`` has the core group, ``/apis`` all others."""
    groups = [group for group in registry.versions() if (group == "") is core]
    items = [_group_item(registry, group) for group in groups]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": f"apidiscovery.k8s.io/{version}", "metadata": {}, "items": items}


def _group_item(registry: Registry, group: str) -> Object:
    versions = [
        {"version": version, "resources": [_resource_item(row) for row in registry.of(group, version)], "freshness": "Current"}
        for version in registry.versions()[group]
    ]
    return {"metadata": {"name": group} if group else {}, "versions": versions}


def _response(row: Kind, kind: str, group: str, version: str) -> Object:
    """Of its own kinds a real one tells in this document only the name; of others all."""
    own = (group, version) == (row.group, row.version) and not row.custom
    return {"group": "" if own else group, "version": "" if own else version, "kind": kind}


def _resource_item(row: Kind) -> Object:
    item: Object = {
        "resource": row.plural,
        "responseKind": _response(row, row.kind, row.group, row.version),
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    if row.short:
        item["shortNames"] = list(row.short)
    if row.categories:
        item["categories"] = list(row.categories)
    if row.doors:
        item["subresources"] = [_door_item(row, door) for door in row.doors]
    return item


def _door_item(row: Kind, door: Subresource) -> Object:
    kind = _response(row, door.kind, door.group, door.version)
    return {"subresource": door.name, "responseKind": kind, "verbs": list(door.verbs)}


def core_versions(address: str) -> Object:
    cidrs = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": cidrs}


def group_list(registry: Registry) -> Object:
    groups = [_group(group, versions) for group, versions in registry.versions().items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Object | None:
    versions = registry.versions().get(name) if name else None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions else None


def _group(name: str, versions: list[str]) -> Object:
    told = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": told, "preferredVersion": told[0]}


def resource_list(registry: Registry, group: str, version: str) -> Object | None:
    rows = registry.of(group, version)
    if not rows:
        return None
    resources = [entry for row in rows for entry in _legacy_entries(row)]
    head: Object = {"kind": "APIResourceList", "groupVersion": version}
    if group:
        head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{group}/{version}"}
    return {**head, "resources": resources}


def _legacy_entries(row: Kind) -> list[Object]:
    own: Object = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short:
        own["shortNames"] = list(row.short)
    if row.categories:
        own["categories"] = list(row.categories)
    if "get" in row.verbs:
        own["storageVersionHash"] = _storage_hash(row)
    return [own, *(_legacy_door(row, door) for door in row.doors)]


def _storage_hash(row: Kind) -> str:
    """
    Of the form in which objects are kept: apiserver, pkg/endpoints/discovery/storageversionhash.go. Events are kept in the core group's,
    definitions in that of their beta.
    """
    group, version = "" if row.view else row.group, "v1beta1" if row.plural == "customresourcedefinitions" else row.version
    return base64.b64encode(hashlib.sha256(f"{group}/{version}/{row.kind}".encode()).digest()[:8]).decode()


def _legacy_door(row: Kind, door: Subresource) -> Object:
    entry: Object = {
        "name": f"{row.plural}/{door.name}",
        "singularName": "",
        "namespaced": row.namespaced,
        "kind": door.kind,
        "verbs": list(door.verbs),
    }
    if (door.group, door.version) != (row.group, row.version):
        entry["group"], entry["version"] = door.group, door.version
    return entry
