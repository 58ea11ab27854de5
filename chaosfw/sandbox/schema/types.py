"""
Object types by name: how their lists merge, and what Go would make of a JSON body.

Used by the verbs of the API server (:func:`fit` on every write, :class:`Type` as the shape of a strategic patch) and by
its OpenAPI documents (:func:`raw`). Knows nothing of kinds that have no published type (custom resources).
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META = f"{_META}ObjectMeta"
_ZERO: Mapping[str, Any] = {"string": "", "integer": 0, "boolean": False, "number": 0}
_GO = {"string": "string", "integer": "int32", "boolean": "bool", "number": "float64"}


_INDEX = re.compile(r"\[\d+\]")
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class MisfitError(ValueError):
    """A value of the wrong JSON type: the body cannot be decoded at all."""


class _WrongType(ValueError):
    """As :class:`MisfitError`, before it is known whose field it is."""

    def __init__(self, have: str, wanted: str) -> None:
        super().__init__(have, wanted)
        self.have, self.wanted = have, wanted


@cache
def raw() -> Mapping[str, Any]:
    """All schemas as derived, by full type name."""
    content = resources.files(__package__).joinpath("schema.json.gz").read_bytes()
    types: Mapping[str, Any] = json.loads(gzip.decompress(content))["types"]
    return types


@cache
def _names() -> Mapping[tuple[str, str, str], str]:
    names = {}
    for name, schema in raw().items():
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            names[(gvk["group"], gvk["version"], gvk["kind"])] = name
    return names


@dataclass(frozen=True, slots=True)
class Type:
    """One object type; the shape a strategic merge asks."""

    name: str
    properties: Mapping[str, Any]
    required: frozenset[str]

    def field(self, name: str) -> Type | None:
        found = self.properties.get(name, {})
        return by_name(found.get("$ref") or found.get("items", {}).get("$ref") or found.get("additionalProperties", {}).get("$ref"))

    def merge_key(self, name: str) -> str | None:
        found = self.properties.get(name, {})
        key: str | None = found.get("x-kubernetes-patch-merge-key")
        return key if "merge" in found.get("x-kubernetes-patch-strategy", "") else None

    def is_set(self, name: str) -> bool:
        found = self.properties.get(name, {})
        return "merge" in found.get("x-kubernetes-patch-strategy", "") and "x-kubernetes-patch-merge-key" not in found

    def retains(self, name: str) -> bool:
        return "retainKeys" in self.properties.get(name, {}).get("x-kubernetes-patch-strategy", "")


@cache
def by_name(name: str | None) -> Type | None:
    """None for free-form types (quantities, times, JSON)."""
    schema = raw().get(name or "")
    if schema is None or "properties" not in schema:
        return None
    return Type(name or "", schema["properties"], frozenset(schema.get("required", ())))


def of_kind(group: str, version: str, kind: str) -> Type | None:
    """The type of a kind, None where none is published."""
    return by_name(_names().get((group, version, kind)))


@dataclass(slots=True)
class Fit:
    """A body as Go would have decoded and encoded it, and the fields it did not know."""

    value: Any
    unknown: list[str] = field(default_factory=list)


def fit(value: Any, shape: Type | None) -> Fit:
    """
    Nulls, unknown fields and empty optional lists and maps are gone; required scalars are there. Raises
    :class:`MisfitError` where a value has the wrong JSON type. The input is not changed.
    """
    result = Fit(None)
    result.value = _object(value, shape, "", result.unknown)
    return result


def _object(value: Any, shape: Type | None, path: str, unknown: list[str]) -> Any:
    if shape is None or not isinstance(value, dict):
        return _free(value)
    known = {}
    for name, inner in value.items():
        schema = shape.properties.get(name)
        if schema is None:
            unknown.append(f"{path}{name}")
        elif inner is not None:
            try:
                fitted = _value(inner, schema, f"{path}{name}", unknown)
            except _WrongType as wrong:
                owner, where = shape.name.rsplit(".", 1)[-1], _INDEX.sub("", f"{path}{name}")
                raise MisfitError(
                    f"json: cannot unmarshal {wrong.have} into Go struct field {owner}.{where} of type {wrong.wanted}"
                ) from wrong
            if fitted or name in shape.required or not _is_container(schema):
                known[name] = fitted
    for name in shape.required:
        if name not in known and (zero := _ZERO.get(shape.properties[name].get("type", ""))) is not None:
            known[name] = zero
    return known


def _is_container(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "array" or "additionalProperties" in schema


def _value(value: Any, schema: Mapping[str, Any], path: str, unknown: list[str]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        if not isinstance(value, list):
            raise _wrong(value, "[]")
        return [_value(item, schema.get("items", {}), f"{path}[{index}]", unknown) for index, item in enumerate(value)]
    if "additionalProperties" in schema:
        if not isinstance(value, dict):
            raise _wrong(value, "map[string]string")
        inner = schema["additionalProperties"] or {}
        texts = inner.get("type") == "string"
        there = {key: "" if item is None and texts else item for key, item in value.items()}
        return {key: _value(item, inner, f"{path}.{key}", unknown) for key, item in there.items() if item is not None}
    if reference := schema.get("$ref"):
        return _reference(value, reference, path, unknown)
    if kind in _GO and not _is(value, kind):
        raise _wrong(value, _GO[kind])
    if schema.get("format") == "byte":
        _check_bytes(value)
    return value if kind in _GO else _free(value)


def _reference(value: Any, reference: str, path: str, unknown: list[str]) -> Any:
    shape = by_name(reference)
    if shape is None:
        return str(value) if reference.endswith(".Quantity") else _free(value)
    if not isinstance(value, dict):
        raise _wrong(value, reference.rsplit(".", 1)[-1])
    return _object(value, shape, f"{path}.", unknown)


def _is(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(value: Any, wanted: str) -> _WrongType:
    have = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}.get(type(value), "value")
    return _WrongType(have, wanted)


def _check_bytes(text: str) -> None:
    """As Go's base64.StdEncoding names the first byte that is wrong."""
    kept = text.replace("\r", "").replace("\n", "")
    body = kept.rstrip("=")
    wrong = next((index for index, char in enumerate(kept) if char not in _ALPHABET and not (char == "=" and index >= len(body))), None)
    if wrong is None and (len(kept) % 4 or len(kept) - len(body) > 2):
        wrong = len(body) if len(kept) > len(body) else len(kept) - len(kept) % 4
    if wrong is not None:
        raise MisfitError(f"illegal base64 data at input byte {wrong}")


def _free(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _free(item) for key, item in value.items()}
    return [_free(item) for item in value] if isinstance(value, list) else value
