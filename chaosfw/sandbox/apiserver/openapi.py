"""
OpenAPI v3, derived from the rows and the schema data: what ``kubectl apply``, ``explain`` and validation read.

One document a group version, made on first request and kept until the rows change. There is no v2 document (404).
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.registry import Registry
from chaosfw.sandbox.kinds.row import Kind
from chaosfw.sandbox.schema import types

_REFERENCE = "#/components/schemas/"
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")
_LIST_PARAMETERS = (
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "timeoutSeconds",
    "watch",
)


class Documents:
    """The documents of one server."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, bytes] = {}
        self._changes = registry.changes

    def index(self) -> Object:
        """Each with a hash of its content, so that clients may keep it."""
        paths = {}
        for group, versions in self._registry.versions().items():
            for version in versions:
                name = f"apis/{group}/{version}" if group else f"api/{version}"
                content = self.document(name) or b""
                digest = hashlib.sha256(content).hexdigest().upper()
                paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        return {"paths": paths}

    def document(self, name: str) -> bytes | None:
        """The document of ``api/v1`` or ``apis/GROUP/VERSION``."""
        if self._registry.changes != self._changes:
            self._made.clear()
            self._changes = self._registry.changes
        if name not in self._made:
            rows = self._registry.of(*_group_version(name))
            if not rows:
                return None
            self._made[name] = json.dumps(_document(rows), separators=(",", ":")).encode()
        return self._made[name]


def _group_version(name: str) -> tuple[str, str]:
    parts = name.split("/")
    return (parts[1], parts[2]) if parts[0] == "apis" and len(parts) == 3 else ("", parts[-1])


def _document(rows: list[Kind]) -> Object:
    paths: Object = {}
    schemas: Object = {}
    for row in rows:
        paths.update(_paths(row))
        _collect(_schema_name(row), schemas)
        if row.type is None:
            schemas[_schema_name(row)] = _free(row)
            _collect(types.OBJECT_META, schemas)
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.37.2"}, "paths": paths, "components": {"schemas": schemas}}


def _schema_name(row: Kind) -> str:
    return row.type.name if row.type else f"{'.'.join(reversed(row.group.split('.')))}.{row.version}.{row.kind}"


def _free(row: Kind) -> Object:
    """Of a custom kind: its own schema, and what every object has."""
    gvk = [{"group": row.group, "version": row.version, "kind": row.kind}]
    own = row.schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    meta: Object = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _REFERENCE + types.OBJECT_META}}
    if own.get("properties"):
        own = {**own, "properties": {**meta, **own["properties"], "metadata": meta["metadata"]}}
    return {**own, "x-kubernetes-group-version-kind": gvk}


def _collect(name: str, found: Object) -> None:
    """The type and all it refers to."""
    schema = types.raw().get(name)
    if schema is None or name in found:
        return
    found[name] = _referring(schema)
    for reference in _references(schema):
        _collect(reference, found)


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
        return own + [name for value in schema.values() for name in _references(value)]
    return [name for value in schema for name in _references(value)] if isinstance(schema, list) else []


def _referring(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {
            key: f"{_REFERENCE}{value}" if key == "$ref" and isinstance(value, str) else _referring(value) for key, value in schema.items()
        }
    return [_referring(value) for value in schema] if isinstance(schema, list) else schema


def _paths(row: Kind) -> Object:
    root = f"/apis/{row.group}/{row.version}" if row.group else f"/api/{row.version}"
    where = f"{root}/namespaces/{{namespace}}/{row.plural}" if row.namespaced else f"{root}/{row.plural}"
    collection = {"get": ("list", _LIST_PARAMETERS), "post": ("create", _WRITE_PARAMETERS)}
    single = {
        "get": ("get", ()),
        "put": ("update", _WRITE_PARAMETERS),
        "patch": ("patch", (*_WRITE_PARAMETERS, "force")),
        "delete": ("delete", ()),
    }
    paths: Object = {}
    for path, methods in ((where, collection), (f"{where}/{{name}}", single)):
        served = {method: _operation(row, verb, parameters) for method, (verb, parameters) in methods.items() if verb in row.verbs}
        if served:
            paths[path] = served
    return paths


def _operation(row: Kind, verb: str, parameters: tuple[str, ...]) -> Object:
    media = {"application/json": {"schema": {"$ref": _REFERENCE + _schema_name(row)}}}
    operation: Object = {
        "x-kubernetes-action": verb if verb != "create" else "post",
        "x-kubernetes-group-version-kind": {"group": row.group, "version": row.version, "kind": row.kind},
        "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in parameters],
        "responses": {"200": {"description": "OK", "content": media}},
    }
    if verb in ("create", "update"):
        operation["requestBody"] = {"content": {"*/*": media["application/json"]}}
    if verb == "patch":
        patch = {"schema": {"type": "object"}}
        kinds = ["json-patch+json", "merge-patch+json", "apply-patch+yaml", *(["strategic-merge-patch+json"] if row.strategic else [])]
        operation["requestBody"] = {"content": {f"application/{kind}": patch for kind in kinds}}
    return operation
