"""When an environment may be broken. Pure; daylight saving, midnight and nonsense included."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chaosfw.errors import UsageError
from chaosfw.planning import hours


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "begin", "seconds", "holds"),
    [
        ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-23T08:00", 60, True),  # Monday, 09:00 in Berlin
        ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-23T07:59", 30, False),
        ("mon-fri 09:00-17:00 Europe/Berlin", "2026-07-06T07:00", 60, True),  # summer: two hours ahead of UTC
        ("mon-fri 09:00-17:00 Europe/Berlin", "2026-11-23T15:59", 120, False),  # would end after it
        ("Mon-Fri 09:00-17:00", "2026-11-23T09:00", 60, True),
        ("sat,sun 00:00-00:00", "2026-11-22T23:58", 60, True),
        ("sat,sun 00:00-00:00", "2026-11-22T23:59", 120, False),  # into Monday
        ("fri-mon 10:00-11:00", "2026-11-22T10:30", 60, True),  # around the week's end
        ("fri-mon 10:00-11:00", "2026-11-24T10:30", 60, False),
    ],
)
def test_a_run_lies_within_or_not(text: str, begin: str, seconds: float, holds: bool) -> None:
    assert hours.read(text).holds(at(begin), at(begin) + seconds) is holds


@pytest.mark.parametrize(
    "text", ["", "always", "mon 9-17", "mon 17:00-09:00", "mon 25:00-26:00", "moo 09:00-10:00", "mon 09:00-10:00 Mars/Olympus"]
)
def test_nonsense_is_said_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as told:
        hours.read(text)

    assert told.value.hint
