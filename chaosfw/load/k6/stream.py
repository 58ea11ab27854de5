"""
k6's stream of points becomes samples: one for each request, with the time that it really took and what it really met.

Runs in the child ``python -m chaosfw.processes.k6``, beside a k6 that wants the same cores: each request costs microseconds here, by one
expression that finds its nine lines at once. k6 stamps the *end* of a request by the wall, leaves the time until
it had a connection out of ``http_req_duration``, and writes 0 ms for a connection that was refused or never came about; all three are put
right here.
"""

from __future__ import annotations

import bisect
import csv
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from chaosfw.load.book import Book
from chaosfw.load.health import Vitals
from chaosfw.load.k6.script import BEGAN, NUMBER
from chaosfw.model.load import Load, Outcome
from chaosfw.timing import NANOSECONDS, Clock, nanoseconds

SLACK = 1.0
"""Seconds beyond the time-out that a request may take until k6 ends it, on a busy machine."""

STEPPED = 5_000_000
"""A wall clock that moved more than 5 ms against the monotonic one was set by somebody: what it stamps is not known then."""

MOST_KNOWN = 10_000
"""Different tags that are kept in memory: a script can make more of them than there is room for."""

_REQUEST = (
    rb"http_req_duration,(?P<end>\d+),(?P<took>[-\d.]+),(?P<tags>.*)\n"
    rb"http_req_blocked,\d+,(?P<blocked>[-\d.]+),.*\n"
    rb"http_req_connecting,\d+,(?P<connecting>[-\d.]+),.*\n"
    rb"http_req_tls_handshaking,.*\nhttp_req_sending,.*\nhttp_req_waiting,.*\nhttp_req_receiving,.*"
    rb"(?:\nhttp_req_failed,\d+,(?P<failed>[\d.]+).*)?"
)
"""The points of one request, which come one after the other. The last is not there when the script took it away."""
_OTHER = rb"(?P<metric>dropped_iterations|checks|%s),(?P<at>\d+),(?P<value>[\d.]+),(?P<other>.*)" % BEGAN.encode()
_UNITS = re.compile(rb"\n(?:%s|%s)" % (_REQUEST, _OTHER))
_HEADER = re.compile(rb"\nmetric_name,timestamp,metric_value,(.*),extra_tags,metadata\n?")
_NUMBERED = f"{NUMBER}=".encode()
_QUOTED = re.compile(rb'"[^"]*"')
_UNFINISHED = (
    b"http_reqs,",
    b"http_req_duration,",
    b"http_req_blocked,",
    b"http_req_connecting,",
    b"http_req_tls_handshaking,",
    b"http_req_sending,",
    b"http_req_waiting,",
    b"http_req_receiving,",
)
"""A line that begins so may have more of its request behind it."""
_OURS = ("too many open files", "cannot assign requested address", "no buffer space")
"""In k6's words for an error: this machine had no descriptor, port or buffer."""


class Tags(NamedTuple):
    """What k6 says of a request in its columns. Few differ, so each is read once."""

    status: int = 0
    code: int = 0
    error: str = ""
    check: str = ""


class Request(NamedTuple):
    """One request as k6 tells of it: ``end`` by the monotonic clock in ns; ``took`` and ``connecting`` in ms; ``failed`` None: not told."""

    end: int
    took: float
    tags: Tags
    vu: bytes
    number: int | None = None
    failed: bool | None = None
    connecting: float = 0.0


_ANSWERED = frozenset({Outcome.ok, Outcome.http_4xx, Outcome.http_5xx, Outcome.read_timeout})
"""What can become of a request that has a connection."""


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
    last: dict[bytes, int] = field(default_factory=dict)
    """When each VU was heard of last."""
    asked: int = 0
    """Requests that k6 counted in what has come."""
    skew: int = 0
    """ns that the clock which stamps the points is ahead of this machine's."""
    _told: int = 0
    _rest: bytes = b"\n"
    _columns: list[str] = field(default_factory=list)
    _known: dict[bytes, Tags] = field(default_factory=dict)
    _drops: list[int] = field(default_factory=list)
    _offset: int = 0
    _longest: int = 0

    def __post_init__(self) -> None:
        self._longest = nanoseconds(self.load.timeout + SLACK)

    @property
    def unread(self) -> int:
        """Requests that k6 counted and whose points were not what we know of k6: of them nothing is known."""
        return self.asked - self._told

    def anchor(self) -> None:
        """Ten times a second: how far the wall is from the monotonic clock."""
        now = self.clock.monotonic_ns()
        offset = self.clock.wall_ns() - now
        if self._offset and abs(offset - self._offset) > STEPPED:
            self.vitals.sent(now, late=abs(offset - self._offset))
        self._offset = offset

    def feed(self, piece: bytes) -> None:
        """A piece of ``--out csv``, wherever it begins and ends. Points of a request wait for those that belong to it."""
        found = self._rest + piece
        if b'"' in found:  # an error or a check with a comma in it, or with a newline
            if found.count(b'"') % 2:
                self._rest = found
                return
            found = _QUOTED.sub(lambda one: one[0].replace(b"\n", b" "), found)
        whole = _whole(found)
        if whole:
            self._read(found[:whole])
        self._rest = found[whole:]

    def close(self) -> None:
        """What waited for more."""
        self._read(self._rest)
        self._rest = b"\n"

    def _read(self, lines: bytes) -> None:
        self.asked += lines.count(b"\nhttp_reqs,")
        if not self._columns and (header := _HEADER.search(lines)):
            self._columns = header[1].decode().split(",")
        if not self._columns:
            return
        for end, took, tags, blocked, connecting, failed, metric, at, value, other in _UNITS.findall(lines):
            if end:
                self._told += 1
                self._write(self._request(end, took, tags, blocked, connecting, failed))
            elif metric == b"checks":
                self._check(other, passed=float(value) > 0)
            elif metric == b"dropped_iterations":
                self._drop(int(at) - self._offset - self.skew, amount=round(float(value)))
            else:
                self.on = int(float(value) * 1e6) - self._offset

    def _request(self, end: bytes, took: bytes, tags: bytes, blocked: bytes, connecting: bytes, failed: bytes) -> Request:
        told, extra, vu = self._split(tags)
        number = int(extra[len(_NUMBERED) :]) if self.planned and extra.startswith(_NUMBERED) else None
        until = float(took) + float(blocked)  # until it had a connection: of a new one, connecting and TLS are parts of it
        return Request(
            int(end) - self._offset - self.skew, until, told, vu, number, float(failed) > 0 if failed else None, float(connecting)
        )

    def _split(self, tags: bytes) -> tuple[Tags, bytes, bytes]:
        """The columns of k6's own tags, then all others, then what is no tag: ``vu=3``."""
        if b'"' in tags:
            *columns, more, others = next(csv.reader([tags.decode(errors="replace")]))
            return self._tags(columns), more.encode(), others.encode()
        first, extra, vu = tags.rsplit(b",", 2)
        known = self._known.get(first)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            known = self._known[first] = self._tags(first.decode(errors="replace").split(","))
        return known, extra, vu

    def _tags(self, columns: list[str]) -> Tags:
        told = dict(zip(self._columns, columns, strict=False))
        return Tags(
            status=int(told.get("status") or 0),
            code=int(told.get("error_code") or 0),
            error=told.get("error", ""),
            check=told.get("check", ""),
        )

    def _write(self, one: Request) -> None:
        outcome, took = outcome_of(one), max(0, round(one.took * 1e6))
        if outcome is Outcome.connect_timeout or outcome is Outcome.read_timeout:
            took = max(took, nanoseconds(self.load.timeout))  # it waited that long, whatever k6 wrote down
        if took > self._longest:
            self.longer += 1
        sent = one.end - took
        if not self.on:
            self.on = sent
        self.last[one.vu] = one.end
        due = sent if one.number is None else self._due(one.number, sent=sent)
        if outcome is Outcome.dropped:
            self.vitals.dropped(due)
            self.book.write(due, sent=0, end=0, outcome=outcome, status=0, marker=None, reused=True, received=0)
            return
        reused = not one.connecting and outcome in _ANSWERED
        self.book.write(due, sent=sent, end=one.end, outcome=outcome, status=one.tags.status, marker=None, reused=reused, received=0)

    def _due(self, number: int, *, sent: int) -> int:
        """By its number, and those before it that were never sent. A script of the user's has no schedule that we know."""
        before = bisect.bisect_right(self._drops, sent)
        due = self.on + round((number + before) * NANOSECONDS / self.load.rate)
        late = max(0, sent - due)
        self.book.late(late)
        self.vitals.sent(due, late=late)
        return min(due, sent)

    def _drop(self, at: int, *, amount: int) -> None:
        for _ in range(amount):
            self._drops.append(at)
            self.dropped += 1
            self.vitals.dropped(at)
            self.book.write(at, sent=0, end=0, outcome=Outcome.dropped, status=0, marker=None, reused=True, received=0)

    def _check(self, tags: bytes, *, passed: bool) -> None:
        checked = self.checks.setdefault(self._split(tags)[0].check, Checked())
        checked.asked += 1
        checked.failed += not passed


def _whole(found: bytes) -> int:
    """How much of it can be read: whole lines, and whole requests."""
    end = found.rfind(b"\n")
    if end <= 0:
        return 0
    last = found.rfind(b"\n", 0, end) + 1
    return found.rfind(b"\nhttp_reqs,", 0, end) if found.startswith(_UNFINISHED, last) else end


def outcome_of(one: Request) -> Outcome:
    """By k6's own word whether it was expected, then by its error code (lib/netext/httpext/error_codes.go of k6 2.0)."""
    status, code = one.tags.status, one.tags.code
    failed = one.failed if one.failed is not None else bool(code) or status >= 400 or not status
    if not failed:
        return Outcome.ok
    if any(word in one.tags.error for word in _OURS):
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
