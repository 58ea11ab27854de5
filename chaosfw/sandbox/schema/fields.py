"""
The fields of an object as sets of paths: what it has, what changed, what remains; and the merge of server-side apply.

Pure; used by the API server to know who owns which field. Follows Kubernetes' structured merge (v6.4.2: ``typed/tofieldset.go``,
``compare.go``, ``merge.go``, ``remove.go``, ``validate.go``). Shapes are OpenAPI schemas as mappings: published types (``{"$ref": NAME}``)
or the schema of a custom resource; what a schema does not say merges as JSON does: maps by key, lists as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any, Final

from chaosfw.sandbox.schema import types

Schema = Mapping[str, Any]
Path = tuple[str, ...]
"""Elements as ``fieldsV1`` writes them: ``f:name`` a field, ``k:{...}`` the keys of a list's item, ``v:...`` the value of a set's."""

_ABSENT: Final = object()
_KEY_DEFAULTS: Final[Mapping[str, Any]] = {"protocol": "TCP"}
"""Of the published types, what stands for a key of a list's item that is not said, if not Go's zero value."""
_ZERO: Final[Mapping[str, Any]] = {"string": "", "integer": 0, "number": 0, "boolean": False}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Paths that only the new one has, that differ, that only the old one has."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    def but(self, ignored: tuple[Path, ...]) -> Comparison:
        """Without what lies at or below ``ignored``."""
        return Comparison(*(outside(found, ignored) for found in (self.added, self.modified, self.removed)))


def outside(fields: set[Path], ignored: tuple[Path, ...]) -> set[Path]:
    """The paths that do not lie at or below one of ``ignored``."""
    return {path for path in fields if not any(path[: len(prefix)] == prefix for prefix in ignored)} if ignored else fields


# --- what a schema says


def _resolved(schema: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = types.raw().get(reference, {})
    own = schema.get("x-kubernetes-map-type")
    return {**found, "x-kubernetes-map-type": own} if own else found


def _is_whole(value: Any, schema: Schema) -> bool:
    """Whether it has one owner."""
    if isinstance(value, dict):
        return schema.get("x-kubernetes-map-type") == "atomic"
    return not isinstance(value, list) or schema.get("x-kubernetes-list-type") not in ("map", "set")


def _below(schema: Schema, name: str) -> Schema:
    rest = schema.get("additionalProperties")
    found: Schema = schema.get("properties", {}).get(name) or (rest if isinstance(rest, dict) else {})
    return found


def _element(item: Any, schema: Schema) -> str:
    """How an item of a list that is no whole is known."""
    if schema["x-kubernetes-list-type"] == "set":
        return f"v:{_dump(item)}"
    keys = {}
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        value = item.get(key)
        if value is None:
            value = _key_default(key, schema["items"])
        if value is not None:
            keys[key] = value
    return f"k:{_dump(keys)}"


def _key_default(key: str, items: Schema) -> Any:
    found = _resolved(items).get("properties", {}).get(key, {})
    return _KEY_DEFAULTS.get(key, _ZERO.get(found.get("type"))) if "$ref" in items else found.get("default")


def _dump(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@cache
def zero(name: str) -> Any:
    """What an object of a published type has before anybody said anything: structs, and lists that are null. Not to be changed."""
    schema = types.raw().get(name, {})
    inner = schema.get("properties", {})
    found = {field: zero(one["$ref"]) for field, one in inner.items() if one.get("default") == {} and "$ref" in one}
    lists = {field: None for field in schema.get("required", ()) if inner[field].get("type") == "array"}
    return {**found, **lists}


# --- what a value has


def of(value: Any, schema: Schema) -> set[Path]:
    """The fields that a value sets, as the one who applies it owns them."""
    found: set[Path] = set()
    _collect(value, schema, (), found)
    return found


def _collect(value: Any, schema: Schema, path: Path, found: set[Path]) -> None:
    schema = _resolved(schema)
    if _is_whole(value, schema):
        found.add(path)
    elif isinstance(value, list):
        inner = schema.get("items", {})
        for item in value:
            here = (*path, _element(item, schema))
            _collect(item, inner, here, found)
            found.add(here)
    else:
        named = schema.get("properties", {})
        for name, item in value.items():
            here = (*path, f"f:{name}")
            _collect(item, _below(schema, name), here, found)
            if item is None or item == {} or name not in named:
                found.add(here)


def compare(old: Any, new: Any, schema: Schema) -> Comparison:
    """What became of the fields."""
    found = Comparison()
    _compare(old, new, schema, (), found)
    return found


def _compare(old: Any, new: Any, schema: Schema, path: Path, found: Comparison) -> None:
    if old is _ABSENT:
        _all(new, schema, path, found.added)
        return
    if new is _ABSENT:
        _all(old, schema, path, found.removed)
        return
    if old == new:
        return
    schema = _resolved(schema)
    kind = type(old if new is None else new)
    if not _merges(old, new, kind, schema):
        found.modified.add(path)
        return
    pairs = _pairs_of_items(old, new, schema) if kind is list else _pairs_of_fields(old, new, schema)
    for element, one, other, inner in pairs:
        _compare(one, other, inner, (*path, element), found)


def _all(value: Any, schema: Schema, path: Path, found: set[Path]) -> None:
    """It and everything below it, that is new or gone as one."""
    found.add(path)
    if not value or not isinstance(value, dict | list):
        return
    schema = _resolved(schema)
    if _is_whole(value, schema):
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            _all(inner, _below(schema, name), (*path, f"f:{name}"), found)
        return
    items = schema.get("items", {})
    for element, same in _by_element(value, schema).items():
        if len(same) == 1:
            _all(same[0], items, (*path, element), found)
        else:
            found.add((*path, element))


def _merges(old: Any, new: Any, kind: type, schema: Schema) -> bool:
    """Whether the two are told apart below, and not as wholes: containers of one kind, and one of them not empty."""
    there = [side for side in (old, new) if side is not None]
    return any(there) and all(type(side) is kind for side in there) and not _is_whole(there[0], schema)


def _pairs_of_fields(old: Any, new: Any, schema: Schema) -> Iterator[tuple[str, Any, Any, Schema]]:
    before, after = old or {}, new or {}
    for name in {**before, **after}:
        yield f"f:{name}", before.get(name, _ABSENT), after.get(name, _ABSENT), _below(schema, name)


def _pairs_of_items(old: Any, new: Any, schema: Schema) -> Iterator[tuple[str, Any, Any, Schema]]:
    """Items that share their keys count as one whole."""
    inner = schema.get("items", {})
    before, after = _by_element(old or [], schema), _by_element(new or [], schema)
    for element in {**before, **after}:
        one, other = before.get(element, []), after.get(element, [])
        if len(one) <= 1 and len(other) <= 1:
            yield element, one[0] if one else _ABSENT, other[0] if other else _ABSENT, inner
        elif one != other:
            yield element, repr(one) if one else _ABSENT, repr(other) if other else _ABSENT, {}


def _by_element(items: list[Any], schema: Schema) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for item in items:
        found.setdefault(_element(item, schema), []).append(item)
    return found


def with_named(fields: set[Path], schema: Schema) -> set[Path]:
    """And the fields of structs on the way to them, which nobody owns for themselves."""
    found = set(fields)
    for path in fields:
        here = _resolved(schema)
        for depth, element in enumerate(path[:-1], start=1):
            name = element[2:]
            if not element.startswith("f:"):
                here = _resolved(here.get("items", {}))
                continue
            if name in here.get("properties", {}):
                found.add(path[:depth])
            here = _resolved(_below(here, name))
    return found


# --- apply


def merged(live: Any, config: Any, schema: Schema) -> Any:
    """``live`` with all that ``config`` says."""
    schema = _resolved(schema)
    if isinstance(live, dict) and not _is_whole(live, schema) and live and (config is None or isinstance(config, dict)):
        result = dict(live)
        for name, value in (config or {}).items():
            result[name] = merged(live[name], value, _below(schema, name)) if name in live else value
        return result
    if isinstance(live, list) and not _is_whole(live, schema) and live and (config is None or isinstance(config, list)):
        return _merged_items(live, config or [], schema)
    return config


def _merged_items(live: list[Any], config: list[Any], schema: Schema) -> list[Any]:
    """Applied items in the applied order; the others stay before the neighbour that they were before."""
    inner = schema.get("items", {})
    ours, theirs = ([_element(item, schema) for item in items] for items in (live, config))
    there, said = dict(zip(ours, live, strict=True)), dict(zip(theirs, config, strict=True))
    shared = [element for element in theirs if element in there]
    done: set[str] = set()
    result: list[Any] = []

    def take(element: str) -> None:
        done.add(element)
        result.append(merged(there[element], said[element], inner) if element in there else said[element])
        if shared and shared[0] == element:
            shared.pop(0)

    left = right = 0
    while left < len(ours) or right < len(theirs):
        if left < len(ours) and right < len(theirs):
            if ours[left] == theirs[right]:
                take(ours[left])
                left, right = left + 1, right + 1
                continue
            if ours[left] in said and shared and shared[0] != ours[left]:
                left += 1
                continue
        if left < len(ours):
            if ours[left] not in said:
                result.append(live[left])
                left += 1
                continue
            if ours[left] in done:
                left += 1
        if right < len(theirs):
            take(theirs[right])
            right += 1
    return result


def without(value: Any, fields: set[Path], schema: Schema) -> Any:
    """``value`` without these fields, and without the items that they name."""
    return _pruned(value, encode(fields), schema)


def _pruned(value: Any, tree: Mapping[str, Any], schema: Schema) -> Any:
    schema = _resolved(schema)
    if not isinstance(value, dict | list):
        return value
    if not value or _is_whole(value, schema):
        return None
    if isinstance(value, list):
        inner = schema.get("items", {})
        kept = [(item, tree.get(_element(item, schema))) for item in value]
        return [_pruned(item, below, inner) if below else item for item, below in kept if not _is_member(below)] or None
    result = {}
    for name, item in value.items():
        below = tree.get(f"f:{name}")
        if not _is_member(below):
            result[name] = _pruned(item, below, _below(schema, name)) if below else item
    return result or None


def _is_member(tree: Mapping[str, Any] | None) -> bool:
    return tree is not None and (not tree or "." in tree)


def misfits(value: Any, schema: Schema) -> list[str]:
    """What keeps a body from being applied, in the words of structured merge."""
    return list(_misfits(value, schema, ""))


def _misfits(value: Any, schema: Schema, path: str) -> Iterator[str]:
    schema = _resolved(schema)
    wanted = schema.get("type")
    if value is None or schema.get("x-kubernetes-int-or-string") or "oneOf" in schema:
        return
    if wanted == "array" or (wanted is None and isinstance(value, list)):
        yield from _misfit_items(value, schema, path) if isinstance(value, list) else (f"{path}: expected list, got {_go(value)}",)
    elif wanted == "object" or (wanted is None and isinstance(value, dict)):
        yield from _misfit_fields(value, schema, path) if isinstance(value, dict) else (f"{path}: expected map, got {_go(value)}",)
    elif wanted == "string" and not isinstance(value, str):
        yield f"{path}: expected string, got &value.valueUnstructured{{Value:{_go_value(value)}}}"
    elif wanted in ("integer", "number") and (isinstance(value, bool) or not isinstance(value, int | float)):
        yield f"{path}: expected numeric (int or float), got {_go_type(value)}"
    elif wanted == "boolean" and not isinstance(value, bool):
        yield f"{path}: expected boolean, got {_go(value)}"


def _misfit_items(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    seen = set()
    for index, item in enumerate(value):
        here = f"[{index}]"
        if not _is_whole(value, schema):
            if schema["x-kubernetes-list-type"] == "map" and not isinstance(item, dict):
                yield f"{path}: element {index}: associative list with keys may not have non-map elements"
                return
            element = _element(item, schema)
            if element == "k:{}":
                keys = " ".join(f'"{key}"' for key in schema.get("x-kubernetes-list-map-keys", ()))
                words = f"associative list with keys has an element that omits all key fields [{keys}]"
                yield f"{path}: element {index}: {words} (and doesn't have default values for any key fields)"
                return
            here = shown((element,))
            if element in seen:
                yield f"{path}: duplicate entries for key {here}"
            seen.add(element)
        yield from _misfits(item, schema.get("items", {}), f"{path}{here}")


def _misfit_fields(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    closed = "properties" in schema and "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields")
    for name, item in value.items():
        if closed and name not in schema["properties"]:
            yield f"{path}.{name}: field not declared in schema"
            return
        yield from _misfits(item, _below(schema, name), f"{path}.{name}")


def _go(value: Any) -> str:
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_go(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, list):
        return "[" + " ".join(map(_go, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _go_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _go_type(value: Any) -> str:
    return {str: "string", bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]


# --- on the wire


def encode(fields: set[Path]) -> dict[str, Any]:
    """
    ``fieldsV1``: a tree by elements, with ``.`` where a field with others below it is owned itself. Not to be changed: objects of one
    shape share theirs, of which there may be ten thousand.
    """
    return _encoded(frozenset(fields))


@lru_cache(maxsize=4096)
def _encoded(fields: frozenset[Path]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        here = tree
        for element in path:
            here = here.setdefault(element, {})
        here["."] = {}
    _fold(tree)
    return tree


def _fold(tree: dict[str, Any]) -> None:
    for below in tree.values():
        if below.keys() == {"."}:
            below.clear()
        else:
            _fold(below)


def decode(tree: Mapping[str, Any]) -> set[Path]:
    """The paths of ``fieldsV1``."""
    found: set[Path] = set()
    _unfold(tree, (), found)
    return found


def _unfold(tree: Mapping[str, Any], path: Path, found: set[Path]) -> None:
    for element, below in tree.items():
        if element == ".":
            found.add(path)
        elif below and isinstance(below, dict):
            _unfold(below, (*path, element), found)
        else:
            found.add((*path, element))


def in_order(fields: set[Path]) -> Iterator[Path]:
    """As Kubernetes tells them: at each level first the fields themselves, then what is below."""
    yield from sorted(fields, key=lambda path: [*((1, element) for element in path[:-1]), (0, path[-1])] if path else [])


def shown(path: Path) -> str:
    """``.spec.containers[name="app"].image``."""
    return "".join(_shown(element) for element in path)


def _shown(element: str) -> str:
    kind, _, rest = element.partition(":")
    if kind == "k":
        return "[" + ",".join(f"{key}={_dump(value)}" for key, value in json.loads(rest).items()) + "]"
    return f"[={rest}]" if kind == "v" else f".{rest}"
