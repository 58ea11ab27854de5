"""
Schema versions of what is on disk. A reader refuses newer files with a hint and migrates older ones.

Called by every reader of :mod:`chaosfw.store`. Adding a version is: raise the number in ``SCHEMAS``, add one function to
``MIGRATIONS``, keep an old file as a test.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from chaosfw.errors import UsageError
from chaosfw.model.struct import Json, Noun

SCHEMAS: dict[str, int] = {"journal": 1, "record": 1, "gameday": 1}
"""The newest version of each kind of file that this chaosfw writes and reads."""

Migration = Callable[[dict[str, Json]], dict[str, Json]]

MIGRATIONS: dict[tuple[str, int], Migration] = {}
"""``(kind, version)`` to the function that makes version + 1 of it."""

N = TypeVar("N", bound=Noun)


def accept(kind: str, version: int, *, where: str) -> None:
    """Raises UsageError when a file was written by a newer chaosfw."""
    newest = SCHEMAS[kind]
    if version > newest:
        raise UsageError(f"{where}: {kind} has schema {version}, this chaosfw reads up to {newest}", hint="upgrade chaosfw")


def load(data: bytes, *, kind: str, noun: type[N], where: str) -> N:
    """One noun from JSON of this or an older schema. Raises UsageError naming ``where`` and what is wrong."""
    try:
        raw = msgspec.json.decode(data)
        version = int(raw.get("schema", 1))
    except (msgspec.DecodeError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: this is not a {kind}: {error}") from error
    accept(kind, version, where=where)
    for step in range(version, SCHEMAS[kind]):
        raw = MIGRATIONS[kind, step](raw) | {"schema": step + 1}
    try:
        return msgspec.convert(raw, noun)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: this is not a {kind}: {error}") from error


def load_file(path: Path, *, kind: str, noun: type[N]) -> N:
    """The same, from a file."""
    try:
        return load(path.read_bytes(), kind=kind, noun=noun, where=str(path))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: there is no {kind} here", hint="name a game-day folder, for example reports/latest") from error
