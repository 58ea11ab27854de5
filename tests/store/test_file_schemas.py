"""Files of newer and older schemas."""

from __future__ import annotations

import msgspec
import pytest

from chaosfw.errors import UsageError
from chaosfw.model.record import GameDay
from chaosfw.model.struct import encode
from chaosfw.store import schema

DAY = GameDay(name="d", started=1)


def test_a_newer_file_is_refused_with_a_hint() -> None:
    newer = encode(msgspec.structs.replace(DAY, schema=99))

    with pytest.raises(UsageError, match="has schema 99, this chaosfw reads up to 1") as caught:
        schema.load(newer, kind="gameday", noun=GameDay, where="gameday.json")
    assert caught.value.hint == "upgrade chaosfw"


def test_an_older_file_goes_through_its_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schema.SCHEMAS, "gameday", 3)
    monkeypatch.setitem(schema.MIGRATIONS, ("gameday", 1), lambda raw: raw | {"seed": 1})
    monkeypatch.setitem(schema.MIGRATIONS, ("gameday", 2), lambda raw: raw | {"seed": raw["seed"] + 1})

    day = schema.load(encode(DAY), kind="gameday", noun=GameDay, where="gameday.json")

    assert (day.schema, day.seed) == (3, 2)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"schema": 1}', b'{"schema": "x"}'])
def test_something_else_is_named_as_such(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"gameday\.json: this is not a gameday"):
        schema.load(data, kind="gameday", noun=GameDay, where="gameday.json")
