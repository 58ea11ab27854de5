"""
Manifests: read from files, directories and dicts, and brought into the sandbox as ``kubectl apply`` would.

Used by :mod:`.public`. Every trouble names the file and the object in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from chaosfw.errors import SandboxError
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.https import Api
from chaosfw.timing import SYSTEM, nanoseconds

_FIRST: Final = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "Secret", "ConfigMap", "Service")
"""What others need goes first; the rest in the order given."""
_PATIENCE: Final = 5.0
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


@dataclass(frozen=True, slots=True)
class Manifest:
    body: Object
    origin: str

    def __str__(self) -> str:
        meta = self.body.get("metadata") or {}
        return f"{self.origin}: {self.body.get('kind', 'object')} {'/'.join(filter(None, (meta.get('namespace'), meta.get('name'))))}"


def read(sources: Iterable[Path | Mapping[str, Any]]) -> list[Manifest]:
    """All objects, Lists unfolded, in the order in which they can be made."""
    found = [manifest for source in sources for manifest in _read(source)]
    return sorted(found, key=lambda manifest: _FIRST.index(manifest.body["kind"]) if manifest.body["kind"] in _FIRST else len(_FIRST))


def apply(api: Api, manifests: Iterable[Manifest]) -> None:
    """Creates what is not there and patches what is. The server's words come back as SandboxError with file and object."""
    resources: dict[str, Mapping[str, Object]] = {}
    for manifest in manifests:
        version, kind = manifest.body["apiVersion"], manifest.body["kind"]
        try:
            if kind not in resources.get(version, ()):
                resources[version] = _resources(api, version)
            _apply_one(api, manifest, resources[version])
            if kind == "CustomResourceDefinition":
                _await_served(api, manifest.body["spec"])
        except ApiError as error:
            raise SandboxError(f"{manifest}: {error.message or error}") from error


def _await_served(api: Api, spec: Object) -> None:
    """A real API server serves a new kind a moment after it has its definition; what is applied next may be one of that kind."""
    deadline = SYSTEM.monotonic_ns() + nanoseconds(_PATIENCE)
    wanted = [f"{spec['group']}/{version['name']}" for version in spec["versions"] if version.get("served", True)]
    while SYSTEM.monotonic_ns() < deadline:
        try:
            if all(spec["names"]["kind"] in _resources(api, version) for version in wanted):
                return
        except ApiError as error:
            if error.code != 404:
                raise
        SYSTEM.sleep(0.05)


def _read(source: Path | Mapping[str, Any]) -> Iterator[Manifest]:
    if isinstance(source, Mapping):
        yield from _unfold(dict(source), "given object")
        return
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if path.suffix in _SUFFIXES:
                yield from _read(path)
        return
    try:
        documents = list(yaml.safe_load_all(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise SandboxError(f"{source}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SandboxError(f"{source}: not YAML: {error}") from error
    for document in documents:
        if document is not None:
            yield from _unfold(document, str(source))


def _unfold(document: Any, origin: str) -> Iterator[Manifest]:
    if not isinstance(document, dict) or not {"apiVersion", "kind"} <= document.keys():
        raise SandboxError(f"{origin}: an object needs apiVersion and kind, got {json.dumps(document, default=str)[:80]}")
    if document["kind"].endswith("List") and "items" in document:
        for item in document["items"]:
            yield from _unfold(item, origin)
        return
    if not (document.get("metadata") or {}).get("name"):
        raise SandboxError(f"{origin}: {document['kind']} has no metadata.name")
    yield Manifest(document, origin)


def _resources(api: Api, version: str) -> Mapping[str, Object]:
    """By kind, from the server's own discovery."""
    listed = api.get(_root(version))["resources"]
    return {row["kind"]: row for row in listed if "/" not in row["name"]}


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _apply_one(api: Api, manifest: Manifest, resources: Mapping[str, Object]) -> None:
    body = manifest.body
    row = resources.get(body["kind"])
    if row is None:
        raise SandboxError(f"{manifest}: the sandbox does not serve {body['kind']} in {body['apiVersion']}")
    namespace = body["metadata"].get("namespace") or "default"
    place = f"{_root(body['apiVersion'])}/" + (f"namespaces/{namespace}/" if row["namespaced"] else "") + row["name"]
    try:
        _create(api, place, body)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
        api.call("PATCH", f"{place}/{body['metadata']['name']}", body, content_type="application/merge-patch+json")


def _create(api: Api, place: str, body: Object) -> None:
    """A pod may come before its new namespace has a service account: a moment later it has one."""
    deadline = SYSTEM.monotonic_ns() + nanoseconds(_PATIENCE)
    while True:
        try:
            api.call("POST", place, body)
            return
        except ApiError as error:
            if "error looking up service account" not in error.message or SYSTEM.monotonic_ns() > deadline:
                raise
        SYSTEM.sleep(0.02)
