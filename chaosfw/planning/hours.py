"""
Hours in which an environment may be broken: ``mon-fri 09:00-17:00 Europe/Berlin``. Read by settings' callers and by the guard. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from chaosfw.errors import UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"^(?P<days>[a-z,-]+) (?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)(?: (?P<zone>\S+))?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Days (0 is Monday) and the hours of each, in a time zone. ``end`` 00:00 is midnight at the day's end."""

    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo

    def holds(self, begin: float, end: float) -> bool:
        """Whether both instants (seconds since the epoch) are in one and the same window."""
        first, last = (datetime.fromtimestamp(one, tz=UTC).astimezone(self.zone) for one in (begin, end))
        until = time(23, 59, 59, 999999) if self.end == time(0) else self.end
        same_day = first.date() == last.date() and first.weekday() in self.days
        return same_day and self.begin <= first.time() and last.time() <= until


def read(text: str) -> Window:
    """Raises UsageError saying what was expected."""
    found = _WINDOW.match(_lowered(text.strip()))
    hint = "mon-fri 09:00-17:00 Europe/Berlin, or sat,sun 00:00-00:00"
    if found is None:
        raise UsageError(f"{text!r} are no hours", hint=hint)
    try:
        begin, end = (time.fromisoformat(found[name]) for name in ("begin", "end"))
        zone = ZoneInfo(found["zone"] or "UTC")
        days = frozenset(day for part in found["days"].split(",") for day in _days(part))
    except (ValueError, ZoneInfoNotFoundError) as trouble:
        raise UsageError(f"{text!r} are no hours: {trouble}", hint=hint) from trouble
    if end != time(0) and end <= begin:
        raise UsageError(f"{text!r}: it ends before it begins", hint="name two windows, one up to 00:00 and one of the next day")
    return Window(days=days, begin=begin, end=end, zone=zone)


def _lowered(text: str) -> str:
    """Days in lower case, the time zone as it was written."""
    days, _, rest = text.partition(" ")
    return f"{days.lower()} {rest}"


def _days(part: str) -> range | list[int]:
    first, dash, last = part.partition("-")
    if first not in DAYS or (dash and last not in DAYS):
        raise ValueError(f"days are {', '.join(DAYS)}")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return range(begin, end + 1) if begin <= end else [*range(begin, 7), *range(end + 1)]
