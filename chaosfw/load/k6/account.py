"""
What k6 says of its requests becomes samples: each with the time that it really took and what it really met.

Kept by the collectors, filled by whatever reads k6: lines of its CSV output (``stream``), or rows of ours (``rows``). k6 tells of the
*end* of a request, leaves the time until it had a connection out of ``http_req_duration``, and says 0 ms for a connection that was refused
or never came about; all three are put right here.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

from chaosfw.load.book import Book
from chaosfw.load.health import Vitals
from chaosfw.model.load import Load, Outcome
from chaosfw.timing import NANOSECONDS, nanoseconds

SLACK = 1.0
"""Seconds beyond the time-out that a request may take until k6 ends it, on a busy machine."""

_OURS = ("too many open files", "cannot assign requested address", "no buffer space")
"""In k6's words for an error: this machine had no descriptor, port or buffer."""


class Tags(NamedTuple):
    """What k6 says of a request beside its times. Few differ, so each is read once."""

    status: int = 0
    code: int = 0
    error: str = ""
    check: str = ""


class Request(NamedTuple):
    """
    One request as k6 tells of it: ``end`` by the monotonic clock, ``took`` until it had its answer, with the time until it had a
    connection, both in ns. ``connecting``: it made a connection. ``failed`` None: not told. ``vu``: whose it was, in k6's words.
    """

    end: int
    took: int
    tags: Tags
    vu: bytes | int
    number: int | None = None
    failed: bool | None = None
    connecting: bool = False


_ANSWERED = frozenset({Outcome.ok, Outcome.http_4xx, Outcome.http_5xx, Outcome.read_timeout})
"""What can become of a request that has a connection."""


@dataclass(slots=True)
class Checked:
    """How often a check of the script was asked, and failed."""

    asked: int = 0
    failed: int = 0


@dataclass(slots=True)
class Account:
    """Told of requests, fills the book. A script of ours numbers its requests; of another's the schedule is not known."""

    load: Load
    book: Book
    vitals: Vitals
    on: int = 0
    """The schedule's beginning, or the first request; 0: nothing has come yet."""
    checks: dict[str, Checked] = field(default_factory=dict)
    dropped: int = 0
    longer: int = 0
    """Requests that took longer than the load's time-out: the script lets them, and of others nothing may be known."""
    last: dict[bytes | int, int] = field(default_factory=dict)
    """When each VU was heard of last."""
    asked: int = 0
    """Requests that k6 counted in what has come."""
    told: int = 0
    """Those of them that it told of as we know it."""
    _drops: list[int] = field(default_factory=list)
    _timeout: int = 0
    _longest: int = 0

    def __post_init__(self) -> None:
        self._timeout = nanoseconds(self.load.timeout)
        self._longest = nanoseconds(self.load.timeout + SLACK)

    @property
    def unread(self) -> int:
        """Requests that k6 counted and whose points were not what we know of k6: of them nothing is known."""
        return self.asked - self.told

    def write(self, one: Request) -> None:
        self.told += 1
        outcome, took = outcome_of(one), max(0, one.took)
        if outcome is Outcome.connect_timeout or outcome is Outcome.read_timeout:
            took = max(took, self._timeout)  # it waited that long, whatever k6 wrote down
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

    def drop(self, at: int, *, amount: int) -> None:
        """Iterations that k6 had no VU for."""
        for _ in range(amount):
            self._drops.append(at)
            self.dropped += 1
            self.vitals.dropped(at)
            self.book.write(at, sent=0, end=0, outcome=Outcome.dropped, status=0, marker=None, reused=True, received=0)

    def check(self, name: str, *, asked: int, failed: int) -> None:
        checked = self.checks.setdefault(name, Checked())
        checked.asked += asked
        checked.failed += failed

    def _due(self, number: int, *, sent: int) -> int:
        """By its number, and those before it that were never sent. A script of the user's has no schedule that we know."""
        before = bisect.bisect_right(self._drops, sent)
        due = self.on + round((number + before) * NANOSECONDS / self.load.rate)
        late = max(0, sent - due)
        self.book.late(late)
        self.vitals.sent(due, late=late)
        return min(due, sent)


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
