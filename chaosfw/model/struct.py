"""The base of all nouns: frozen, keyword-only, tagged by class name so that unions survive JSON. Knows nothing of the others."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

Json = Any
"""A JSON value whose shape belongs to somebody else (a driver's arguments, an object of a cluster)."""

N = TypeVar("N", bound="Noun")


class Noun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A value. Equal when its fields are, hashable when they are."""


def to_json(noun: Noun) -> dict[str, Json]:
    """The noun as plain JSON values, with its tag under ``type``."""
    value = msgspec.to_builtins(noun)
    assert isinstance(value, dict)
    return value


def encode(noun: Noun) -> bytes:
    """One line of JSON, keys in declaration order."""
    return msgspec.json.encode(noun)


def but(noun: N, **changes: Any) -> N:
    """The noun with some fields changed."""
    return msgspec.structs.replace(noun, **changes)
