"""
Bodies in Kubernetes' protocol buffers, which typed Go clients (``kubectl create``) send: read into the JSON they stand for.

Read only: answers are always JSON, which every client takes. Field numbers are data (``protobuf.json.gz``, see NOTICE). Go
writes zero values that JSON leaves out, and one cannot tell them from zeros that were meant: :data:`MEANT` names the fields
whose zero is kept.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from chaosfw.sandbox.schema import types

MAGIC = b"k8s\x00"
MEANT = frozenset(
    {
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "backoffLimit",
        "completions",
        "enableServiceLinks",
        "fsGroup",
        "gracePeriodSeconds",
        "minReplicas",
        "parallelism",
        "partition",
        "priority",
        "privileged",
        "progressDeadlineSeconds",
        "readOnlyRootFilesystem",
        "ready",
        "replicas",
        "revisionHistoryLimit",
        "runAsGroup",
        "runAsNonRoot",
        "runAsUser",
        "serving",
        "suspend",
        "terminating",
        "terminationGracePeriodSeconds",
        "tolerationSeconds",
        "ttlSecondsAfterFinished",
    }
)
_META = "k8s.io.apimachinery.pkg.apis.meta.v1."


class UnreadableError(ValueError):
    """No protocol buffer, or one of a kind without published fields."""


def decode(data: bytes) -> dict[str, Any]:
    """The object in an envelope, with its kind; raises :class:`UnreadableError`."""
    if not data.startswith(MAGIC):
        raise UnreadableError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    envelope = {number: value for number, value in _fields(data[len(MAGIC) :]) if isinstance(value, bytes)}
    named = {number: value.decode() for number, value in _fields(envelope.get(1, b"")) if isinstance(value, bytes)}
    version, kind = named.get(1, ""), named.get(2, "")
    shape = types.of_kind(*_group_version(version), kind) or types.of_kind("", "v1", kind)
    if shape is None:
        raise UnreadableError(f'no kind "{kind}" is registered for version "{version}"')
    body = _message(envelope.get(2, b""), shape.name.replace("io.k8s.", "k8s.io.", 1))
    return {"kind": kind, "apiVersion": version, **body}


@cache
def _messages() -> Mapping[str, Mapping[str, list[str]]]:
    content = resources.files(__package__).joinpath("protobuf.json.gz").read_bytes()
    messages: Mapping[str, Mapping[str, list[str]]] = json.loads(gzip.decompress(content))
    return messages


def _group_version(version: str) -> tuple[str, str]:
    group, _, name = version.rpartition("/")
    return group, name


# --- the wire


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if wire == 2:
            size, place = _varint(data, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise UnreadableError(f"proto: wrong wireType = {wire}")
        if place + size > len(data):
            raise UnreadableError("unexpected EOF")
        yield number, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
    raise UnreadableError("unexpected EOF")


# --- messages


def _message(data: bytes, name: str) -> dict[str, Any]:
    known, shape = _messages().get(name, {}), types.by_name(name.replace("k8s.io.", "io.k8s.", 1))
    result: dict[str, Any] = {}
    for number, raw in _fields(data):
        if str(number) not in known:
            continue
        field, kind, label = known[str(number)]
        if label == "map":
            key, value = _entry(raw, kind)
            result.setdefault(field, {})[key] = value
            continue
        value = _value(raw, kind)
        if label == "repeated":
            result.setdefault(field, []).append(value)
        elif shape is not None and field not in shape.properties and isinstance(value, dict):
            result.update(value)  # embedded in Go: its fields are ours in JSON
        elif _says_something(field, value):
            result[field] = value
    return result


def _says_something(field: str, value: Any) -> bool:
    if value is None or value == "" or (field == "targetPort" and value == 0):
        return False
    return bool(value) or isinstance(value, dict | _KeptZero) or field in MEANT


class _KeptZero(int):
    """A zero that stands in a message of its own (IntOrString), and so was meant."""


def _entry(raw: int | bytes, kind: str) -> tuple[str, Any]:
    found = dict(_fields(raw)) if isinstance(raw, bytes) else {}
    key = found.get(1, b"")
    return (key.decode() if isinstance(key, bytes) else str(key)), _value(found.get(2, b""), kind)


def _value(raw: int | bytes, kind: str) -> Any:
    if kind in _SCALARS:
        return _SCALARS[kind](raw)
    inner = raw if isinstance(raw, bytes) else b""
    return _SPECIAL[kind](inner) if kind in _SPECIAL else _message(inner, kind)


def _signed(raw: Any) -> int:
    return int(raw - (1 << 64) if raw >= 1 << 63 else raw)


def _time(data: bytes, form: str) -> str | None:
    found = dict(_fields(data))
    seconds, nanos = _signed(found.get(1, 0)), _signed(found.get(2, 0))
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=nanos // 1000).strftime(form)


def _quantity(data: bytes) -> str:
    text = dict(_fields(data)).get(1, b"0")
    return text.decode() if isinstance(text, bytes) else "0"


def _int_or_string(data: bytes) -> int | str:
    found = dict(_fields(data))
    if found.get(1, 0) == 1:
        text = found.get(3, b"")
        return text.decode() if isinstance(text, bytes) else ""
    return _signed(found.get(2, 0)) or _KeptZero(0)


def _raw_json(data: bytes) -> Any:
    text = dict(_fields(data)).get(1, b"")
    return json.loads(text) if isinstance(text, bytes) and text else None


_SCALARS: Mapping[str, Callable[[Any], Any]] = {
    "string": lambda raw: raw.decode(),
    "bytes": lambda raw: base64.b64encode(raw).decode(),
    "bool": bool,
    "int32": _signed,
    "int64": _signed,
    "uint32": int,
    "uint64": int,
    "double": lambda raw: struct.unpack("<d", raw)[0],
    "float": lambda raw: struct.unpack("<f", raw)[0],
}
_SPECIAL: Mapping[str, Callable[[bytes], Any]] = {
    f"{_META}Time": lambda data: _time(data, "%Y-%m-%dT%H:%M:%SZ"),
    f"{_META}MicroTime": lambda data: _time(data, "%Y-%m-%dT%H:%M:%S.%fZ"),
    f"{_META}FieldsV1": lambda data: None,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _raw_json,
}
