"""
The schema of a Custom Resource Definition at work: what of an object is kept, what is filled in, what is wrong with it.

Used by the rows that :mod:`.custom` makes. Structural schemas of ``apiextensions.k8s.io/v1`` only, and of their vocabulary what is common:
types, required, enum, bounds, lengths, patterns. CEL rules (``x-kubernetes-validations``) and ``oneOf`` and the like are not evaluated.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import Cause, invalid, required, unsupported

Schema = Mapping[str, Any]

_KEEPS: Final = "x-kubernetes-preserve-unknown-fields"
_ALWAYS: Final = frozenset({"apiVersion", "kind", "metadata"})
"""The server's own part of every object, whatever the schema says of it."""


def pruned(value: Any, schema: Schema, *, path: str = "", root: bool = True) -> tuple[Any, list[str]]:
    """Without the fields that the schema does not know, and which those were."""
    if isinstance(value, list):
        found = [pruned(item, schema.get("items") or {}, path=f"{path}[{index}]", root=False) for index, item in enumerate(value)]
        return [item for item, _ in found], [one for _, gone in found for one in gone]
    if not isinstance(value, dict):
        return value, []
    known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    kept, gone = {}, []
    for name, inner in value.items():
        here = f"{path}.{name}" if path else name
        if root and name in _ALWAYS:
            kept[name] = inner
        elif name in known or isinstance(rest, dict):
            kept[name], below = pruned(inner, known.get(name) or rest or {}, path=here, root=False)
            gone += below
        elif schema.get(_KEEPS) or rest is True:
            kept[name] = inner
        else:
            gone.append(here)
    return kept, gone


def fill(value: Any, schema: Schema) -> None:
    """Defaults of the schema where a field is absent, or null where that is not allowed; in place."""
    if isinstance(value, list):
        for item in value:
            fill(item, schema.get("items") or {})
    if not isinstance(value, dict):
        return
    for name, inner in (schema.get("properties") or {}).items():
        if "default" in inner and (name not in value or (value[name] is None and not inner.get("nullable"))):
            value[name] = copy.deepcopy(inner["default"])
        if name in value:
            fill(value[name], inner)
    if isinstance(rest := schema.get("additionalProperties"), dict):
        for name in value.keys() - (schema.get("properties") or {}).keys():
            fill(value[name], rest)


def check(obj: Object, schema: Schema) -> list[Cause]:
    """What is wrong with an object, in the words of the API server."""
    return list(_value(obj, schema, ""))


def _value(value: Any, schema: Schema, path: str) -> Iterator[Cause]:
    if value is None and schema.get("nullable"):
        return
    wanted = schema.get("type", "")
    if wanted and not schema.get("x-kubernetes-int-or-string") and not _is(value, wanted):
        have = _type(value)
        words = f'Invalid value: "{have}": {path} in body must be of type {wanted}: "{have}"'
        yield Cause("FieldValueTypeInvalid", path, words)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, tuple(map(str, schema["enum"])))
    if isinstance(value, str):
        yield from _text(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number(value, schema, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _value(item, schema.get("items") or {}, f"{path}[{index}]")
    elif isinstance(value, dict):
        yield from _object(value, schema, path)


def _object(value: Object, schema: Schema, path: str) -> Iterator[Cause]:
    known, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    for name in schema.get("required") or ():
        if name not in value:
            yield required(f"{path}.{name}" if path else name)
    for name, inner in value.items():
        if not path and name in _ALWAYS:
            continue
        if (found := known.get(name) or (rest if isinstance(rest, dict) else None)) is not None:
            yield from _value(inner, found, f"{path}.{name}" if path else name)


def _text(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    if (least := schema.get("minLength")) is not None and len(value) < least:
        yield invalid(path, value, f"{path} in body should be at least {least} chars long")
    if (most := schema.get("maxLength")) is not None and len(value) > most:
        yield Cause("FieldValueTooLong", path, f"Too long: may not be more than {most} bytes")
    if (pattern := schema.get("pattern")) is not None and not re.search(pattern, value):
        yield invalid(path, value, f"{path} in body should match '{pattern}'")


def _number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    if (least := schema.get("minimum")) is not None and value < least:
        yield invalid(path, value, f"{path} in body should be greater than or equal to {least}")
    if (most := schema.get("maximum")) is not None and value > most:
        yield invalid(path, value, f"{path} in body should be less than or equal to {most}")


def _is(value: Any, wanted: str) -> bool:
    have = _type(value)
    return have == wanted or (wanted == "number" and have == "integer")


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return {dict: "object", list: "array", str: "string", int: "integer", type(None): "null"}[type(value)]
