"""
The three patches an API server takes, as pure functions: the target is never changed, the answer is a new object.

Used by the verbs of the API server. A strategic patch needs to know how each list merges: callers pass a :class:`Shape`,
which :mod:`chaosfw.sandbox.schema` derives from the published schemas; an unknown field merges like JSON merge patch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Protocol

Json = Any
"""A JSON value."""


class PatchError(ValueError):
    """The patch cannot be applied; the message is the one a client reads."""


class KeylessError(PatchError):
    """An item of a merged list does not say which item it is."""


class Shape(Protocol):
    """How the fields of one object type merge."""

    def field(self, name: str) -> Shape | None:
        """The type of a field, or of the items of a list field; None where it is free-form."""
        ...

    def merge_key(self, name: str) -> str | None:
        """The key by which the items of a list of objects are matched; None if the list is replaced."""
        ...

    def is_set(self, name: str) -> bool:
        """Whether a list of primitives merges as a set."""
        ...

    def retains(self, name: str) -> bool:
        """Whether the field's strategy is retainKeys."""
        ...


# --- JSON merge patch -------------------------------------------------------------------------------------------------


def merge(target: Json, change: Json) -> Json:
    """RFC 7396: null removes, objects merge, everything else replaces."""
    if not isinstance(change, dict):
        return copy.deepcopy(change)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


# --- JSON patch -------------------------------------------------------------------------------------------------------


def json_patch(target: Json, operations: Json) -> Json:
    """RFC 6902. All operations or none."""
    if not isinstance(operations, list):
        raise PatchError("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    result = copy.deepcopy(target)
    for operation in operations:
        result = _step(result, operation)
    return result


def _step(document: Json, operation: Json) -> Json:
    name, path = operation.get("op"), operation.get("path", "")
    if name not in _OPERATIONS:
        raise PatchError(f"Unexpected kind: {name}")
    return _OPERATIONS[name](document, path, operation)


def _tokens(path: str) -> list[str]:
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _locate(document: Json, path: str) -> tuple[Json, str]:
    tokens = _tokens(path)
    if not tokens:
        raise PatchError(f"unable to use the whole document as a location: {path!r}")
    here = document
    for token in tokens[:-1]:
        here = _child(here, token, path)
    return here, tokens[-1]


def _child(here: Json, token: str, path: str) -> Json:
    try:
        return here[int(token)] if isinstance(here, list) else here[token]
    except (KeyError, IndexError, ValueError, TypeError):
        raise PatchError(f"the server rejected our request due to an error in our request: doc is missing path: {path!r}") from None


def _read(document: Json, path: str) -> Json:
    here = document
    for token in _tokens(path):
        here = _child(here, token, path)
    return here


def _add(document: Json, path: str, operation: Json) -> Json:
    value = copy.deepcopy(operation.get("value"))
    if path == "":
        return value
    parent, token = _locate(document, path)
    if isinstance(parent, list):
        parent.insert(len(parent) if token == "-" else _index(token, len(parent), path), value)
    elif isinstance(parent, dict):
        parent[token] = value
    else:
        raise PatchError(f"add operation does not apply: doc is missing path: {path!r}")
    return document


def _index(token: str, limit: int, path: str) -> int:
    if not token.isdigit() or int(token) > limit:
        raise PatchError(f"Unable to access invalid index: {token} of {path!r}")
    return int(token)


def _remove(document: Json, path: str, operation: Json) -> Json:
    parent, token = _locate(document, path)
    _child(parent, token, path)
    if isinstance(parent, list):
        parent.pop(int(token))
    else:
        del parent[token]
    return document


def _replace(document: Json, path: str, operation: Json) -> Json:
    if path == "":
        return copy.deepcopy(operation.get("value"))
    parent, token = _locate(document, path)
    if not isinstance(parent, dict):  # a field that is not there is made: evanphx/json-patch v4 does not look
        _child(parent, token, path)
    parent[int(token) if isinstance(parent, list) else token] = copy.deepcopy(operation.get("value"))
    return document


def _move(document: Json, path: str, operation: Json) -> Json:
    value = _read(document, operation.get("from", ""))
    return _add(_remove(document, operation.get("from", ""), operation), path, {"value": value})


def _copy(document: Json, path: str, operation: Json) -> Json:
    return _add(document, path, {"value": _read(document, operation.get("from", ""))})


def _test(document: Json, path: str, operation: Json) -> Json:
    try:
        have = _read(document, path)
    except PatchError:
        have = None
    if have != operation.get("value"):
        raise PatchError(f"testing value {path} failed")
    return document


_OPERATIONS: dict[str, Callable[[Json, str, Json], Json]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


# --- strategic merge patch --------------------------------------------------------------------------------------------

_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVE = "$deleteFromPrimitiveList/"


def strategic(target: Json, change: Json, shape: Shape | None) -> Json:
    """Kubernetes' merge: lists of objects by key, with ``$patch``, ``$retainKeys``, ``$setElementOrder``, ``$deleteFromPrimitiveList``."""
    if not isinstance(change, dict):
        raise PatchError("the body of a strategic merge patch must be an object")
    directive = change.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in change.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise PatchError(f"unknown patch directive {directive!r}")
    result = dict(target) if isinstance(target, dict) else {}
    _retain(result, change)
    for key, value in change.items():
        if not key.startswith("$"):
            _merge_field(result, key, value, change, shape)
    _lists_only_ordered_or_pruned(result, change, shape)
    return result


def _retain(result: dict[str, Json], change: dict[str, Json]) -> None:
    keep = change.get("$retainKeys")
    if keep is None:
        return
    for key in [key for key in result if key not in keep]:
        del result[key]


def _merge_field(result: dict[str, Json], key: str, value: Json, change: dict[str, Json], shape: Shape | None) -> None:
    inner = shape.field(key) if shape else None
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        if value.get("$patch") == "delete":
            result.pop(key, None)
        else:
            result[key] = strategic(result.get(key), value, inner)
    elif isinstance(value, list) and shape and (merge_key := shape.merge_key(key)):
        result[key] = _merge_objects(result.get(key) or [], value, merge_key, inner, order=change.get(_ORDER + key))
    elif isinstance(value, list) and shape and shape.is_set(key):
        result[key] = _merge_set(result.get(key) or [], value, change.get(_DELETE_PRIMITIVE + key), change.get(_ORDER + key))
    else:
        result[key] = copy.deepcopy(value)


def _lists_only_ordered_or_pruned(result: dict[str, Json], change: dict[str, Json], shape: Shape | None) -> None:
    """A directive may come without its list: then it changes only the order, or only removes."""
    for directive, value in change.items():
        for prefix in (_ORDER, _DELETE_PRIMITIVE):
            key = directive.removeprefix(prefix)
            if key == directive or key in change or not result.get(key):
                continue
            if prefix == _DELETE_PRIMITIVE:
                result[key] = [item for item in result[key] if item not in value]
            elif shape and (merge_key := shape.merge_key(key)):
                result[key] = _ordered(result[key], value, lambda item, by=merge_key: item.get(by))  # type: ignore[misc]  # default binds now


def _as_go(value: Json) -> str:
    """As Go prints it."""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_as_go(one)}' for key, one in sorted(value.items()))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(_as_go, value))}]"
    return str(value).lower() if isinstance(value, bool) else "<nil>" if value is None else str(value)


def _merge_objects(old: list[Json], new: list[Json], by: str, inner: Shape | None, *, order: list[Json] | None) -> list[Json]:
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in new):
        return [copy.deepcopy(item) for item in new if item.get("$patch") != "replace"]
    result = list(old)
    for item in new:
        if not isinstance(item, dict) or by not in item:
            raise KeylessError(f"map: {_as_go(item)} does not contain declared merge key: {by}")
        place = next((index for index, have in enumerate(result) if have.get(by) == item[by]), None)
        if item.get("$patch") == "delete":
            result = [have for have in result if have.get(by) != item[by]]
        elif place is None:
            result.append(strategic({}, item, inner))
        else:
            result[place] = strategic(result[place], item, inner)
    if order is None:
        return _interleaved(result, before=[have.get(by) for have in old], patched=[item[by] for item in new], by=by)
    return _ordered(result, order, lambda item: item.get(by), wanted=lambda item: item.get(by) if isinstance(item, dict) else item)


def _interleaved(items: list[Json], *, before: list[Json], patched: list[Json], by: str) -> list[Json]:
    """
    What the patch names in the patch's order, what only the server has in its own; where they meet, the server's order decides, and
    what is new comes first (mergeSortedSlice of Kubernetes' apimachinery/pkg/util/strategicpatch).
    """
    named = sorted((item for item in items if item[by] in patched), key=lambda item: patched.index(item[by]))
    others, result = [item for item in items if item[by] not in patched], []
    while named and others:
        first, other = named[0][by], others[0][by]
        left = first in before and before.index(other) < before.index(first)
        result.append((others if left else named).pop(0))
    return [*result, *named, *others]


def _merge_set(old: list[Json], new: list[Json], remove: Iterable[Json] | None, order: list[Json] | None) -> list[Json]:
    result = [item for item in old if item not in (remove or ())]
    result.extend(item for item in new if item not in result)
    return result if order is None else _ordered(result, order, lambda item: item)


def _ordered(
    items: list[Json], order: list[Json], of: Callable[[Json], Json], *, wanted: Callable[[Json], Json] | None = None
) -> list[Json]:
    """Listed items in the listed order; unlisted ones (added by others) stay right behind the neighbour they followed."""
    read = wanted or (lambda item: next(iter(item.values())) if isinstance(item, dict) else item)
    ranks = {repr(read(item)): rank for rank, item in enumerate(order)}
    listed = sorted((item for item in items if repr(of(item)) in ranks), key=lambda item: ranks[repr(of(item))])
    if len(listed) == len(items):
        return listed
    result, before = list(listed), None
    for item in items:
        if repr(of(item)) not in ranks:
            result.insert(result.index(before) + 1 if before is not None else 0, item)
        before = item
    return result
