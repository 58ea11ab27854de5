"""
k6's stream of points becomes samples: one for each request, with the time that it really took and what it really met.

Runs in the child ``python -m chaosfw.processes.k6``. k6 stamps the *end* of a request by the wall, leaves the time until
it had a connection out of ``http_req_duration``, and writes 0 ms for a connection that was refused or never came about; all three are put
right here.
"""

from __future__ import annotations

import bisect
import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

import msgspec

from chaosfw.load.book import Book
from chaosfw.load.health import Vitals
from chaosfw.load.k6.script import BEGAN, NUMBER
from chaosfw.model.load import Load, Outcome
from chaosfw.timing import NANOSECONDS, Clock, nanoseconds

SLACK = 1.0
"""Seconds beyond the time-out that a request may take until k6 ends it, on a busy machine."""

STEPPED = 5_000_000
"""A wall clock that moved more than 5 ms against the monotonic one was set by somebody: what it stamps is not known then."""

_WANTED = re.compile(
    rb'\{"metric":"(http_req_(?:duration|blocked|connecting|failed)|dropped_iterations|checks|%s)","type":"Point"[^\n]*' % BEGAN.encode()
)
"""Begins with what only a line begins with, so that it is looked for fast."""
_OURS = (b"too many open files", b"cannot assign requested address", b"no buffer space")
"""In k6's words for an error: this machine had no descriptor, port or buffer."""


class Point(msgspec.Struct):
    """What k6 tells of one metric at one instant."""

    time: str
    value: float
    tags: dict[str, str] | None = None
    metadata: dict[str, str] = {}


class Line(msgspec.Struct):
    """A line with a point."""

    data: Point


_LINE = msgspec.json.Decoder(Line)


@dataclass(slots=True)
class Request:
    """The points of one request, which come one after the other."""

    end: int
    took: float
    tags: dict[str, str]
    vu: str
    failed: bool | None = None
    connecting: float = 0.0


@dataclass(slots=True)
class Checked:
    """How often a check of the script was asked, and failed."""

    asked: int = 0
    failed: int = 0


@dataclass(slots=True)
class Stream:
    """Fed with lines, fills the book. ``planned``: the script is ours, and requests carry their number."""

    load: Load
    book: Book
    vitals: Vitals
    clock: Clock
    planned: bool
    on: int = 0
    """The schedule's beginning, or the first request; 0: nothing has come yet."""
    checks: dict[str, Checked] = field(default_factory=dict)
    dropped: int = 0
    longer: int = 0
    """Requests that took longer than the load's time-out: the script lets them, and of others nothing may be known."""
    last: dict[str, int] = field(default_factory=dict)
    """When each VU was heard of last."""
    _open: Request | None = None
    _drops: list[int] = field(default_factory=list)
    _offset: int = 0

    def anchor(self) -> None:
        """Ten times a second: how far the wall is from the monotonic clock."""
        now = self.clock.monotonic_ns()
        offset = self.clock.wall_ns() - now
        if self._offset and abs(offset - self._offset) > STEPPED:
            self.vitals.sent(now, late=abs(offset - self._offset))
        self._offset = offset

    def feed(self, lines: bytes) -> None:
        """Whole lines of ``--out json``. Of the thirteen points of a request four are looked at."""
        for match in _WANTED.finditer(lines):
            metric, line = match[1], match[0]
            if metric == b"http_req_duration":
                self._begin(_point(line))
            elif metric == b"http_req_failed":
                self._failed(line)
            elif metric == b"http_req_blocked" and self._open is not None:
                self._open.took += _value(line)  # until it had a connection: of a new one, connecting and TLS are parts of it
            elif metric == b"http_req_connecting" and self._open is not None:
                self._open.connecting = _value(line)
            elif metric == b"dropped_iterations":
                self._drop(_point(line))
            elif metric == b"checks":
                self._check(_point(line))
            elif metric == BEGAN.encode():
                self.on = int(_point(line).value * 1e6) - self._offset

    def close(self) -> None:
        """The last request."""
        if self._open is not None:
            self._write(self._open)
            self._open = None

    def _begin(self, point: Point) -> None:
        self.close()
        self._open = Request(end=_wall(point.time) - self._offset, took=point.value, tags=point.tags or {}, vu=point.metadata.get("vu", ""))

    def _failed(self, line: bytes) -> None:
        if self._open is not None:
            self._open.failed = _value(line) > 0
            self.close()

    def _write(self, one: Request) -> None:
        status = int(one.tags.get("status") or 0)
        outcome = outcome_of(one)
        took = round(one.took * 1e6)
        if outcome in (Outcome.connect_timeout, Outcome.read_timeout):
            took = max(took, nanoseconds(self.load.timeout))  # it waited that long, whatever k6 wrote down
        self.longer += took > nanoseconds(self.load.timeout + SLACK)
        sent = one.end - took
        if not self.on:
            self.on = sent
        self.last[one.vu] = one.end
        due = self._due(one, sent=sent)
        if outcome is Outcome.dropped:
            self.vitals.dropped(due)
            self.book.write(due, sent=0, end=0, outcome=outcome, status=0, marker=None, reused=True, received=0)
            return
        reused = one.connecting == 0 and outcome in (Outcome.ok, Outcome.http_4xx, Outcome.http_5xx, Outcome.read_timeout)
        self.book.write(due, sent=sent, end=one.end, outcome=outcome, status=status, marker=None, reused=reused, received=0)

    def _due(self, one: Request, *, sent: int) -> int:
        """By its number, and those before it that were never sent. A script of the user's has no schedule that we know."""
        number = one.tags.get(NUMBER) if self.planned else None
        if number is None:
            return sent
        before = bisect.bisect_right(self._drops, sent)
        due = self.on + round((int(number) + before) * NANOSECONDS / self.load.rate)
        late = max(0, sent - due)
        self.book.late(late)
        self.vitals.sent(due, late=late)
        return min(due, sent)

    def _drop(self, point: Point) -> None:
        at = _wall(point.time) - self._offset
        for _ in range(int(point.value)):
            self._drops.append(at)
            self.dropped += 1
            self.vitals.dropped(at)
            self.book.write(at, sent=0, end=0, outcome=Outcome.dropped, status=0, marker=None, reused=True, received=0)

    def _check(self, point: Point) -> None:
        checked = self.checks.setdefault((point.tags or {}).get("check", ""), Checked())
        checked.asked += 1
        checked.failed += not point.value


def outcome_of(one: Request) -> Outcome:
    """By k6's own word whether it was expected, then by its error code (lib/netext/httpext/error_codes.go of k6 2.0)."""
    status, code = int(one.tags.get("status") or 0), int(one.tags.get("error_code") or 0)
    failed = one.failed if one.failed is not None else bool(code) or status >= 400 or not status
    if not failed:
        return Outcome.ok
    if any(word in one.tags.get("error", "").encode() for word in _OURS):
        return Outcome.dropped
    if code == 1050:
        return Outcome.read_timeout if one.connecting or one.took > 0 else Outcome.connect_timeout
    if status:
        return Outcome.http_5xx if status >= 500 else Outcome.http_4xx if status >= 400 else Outcome.assertion
    if 1100 <= code < 1200:
        return Outcome.dns
    if code == 1211:
        return Outcome.connect_timeout
    if 1210 <= code < 1220:
        return Outcome.refused
    return Outcome.tls if 1300 <= code < 1400 else Outcome.reset


def _point(line: bytes) -> Point:
    return _LINE.decode(line).data


def _value(line: bytes) -> float:
    """Of a point, without reading the rest of it."""
    place = line.find(b'"value":')
    if place < 0:
        return 0.0
    end = line.index(b",", place)
    return float(line[place + 8 : end])


def _wall(text: str) -> int:
    """ns since 1970 of RFC 3339 with up to nine digits."""
    whole, _, rest = text.partition(".")
    if not rest:
        return _seconds(whole) * NANOSECONDS
    digits = rest.rstrip("Z").split("+")[0].split("-")[0]
    return _seconds(whole + rest[len(digits) :]) * NANOSECONDS + int(digits.ljust(9, "0")[:9])


@lru_cache(maxsize=64)
def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())
