"""
k6's own CSV output, ``--out csv``: its lines become requests in the account.

Runs in a collector, beside a k6 that wants the same cores: each request costs microseconds here, by one expression that finds its nine
lines at once. k6 stamps them by the wall, which is mapped to the monotonic clock by anchors.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field

from chaosfw.load.k6.account import Account, Request, Tags
from chaosfw.load.k6.script import BEGAN, NUMBER
from chaosfw.timing import Clock

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


@dataclass(slots=True)
class Stream:
    """Fed with lines, tells the account. ``planned``: the script is ours, and requests carry their number."""

    account: Account
    clock: Clock
    planned: bool = False
    skew: int = 0
    """ns that the clock which stamps the points is ahead of this machine's."""
    _rest: bytes = b"\n"
    _columns: list[str] = field(default_factory=list)
    _known: dict[bytes, Tags] = field(default_factory=dict)
    _offset: int = 0

    def anchor(self) -> None:
        """Ten times a second: how far the wall is from the monotonic clock."""
        now = self.clock.monotonic_ns()
        offset = self.clock.wall_ns() - now
        if self._offset and abs(offset - self._offset) > STEPPED:
            self.account.vitals.sent(now, late=abs(offset - self._offset))
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
        self.account.asked += lines.count(b"\nhttp_reqs,")
        if not self._columns and (header := _HEADER.search(lines)):
            self._columns = header[1].decode().split(",")
        if not self._columns:
            return
        for end, took, tags, blocked, connecting, failed, metric, at, value, other in _UNITS.findall(lines):
            if end:
                self.account.write(self._request(end, took, tags, blocked, connecting, failed))
            elif metric == b"checks":
                self.account.check(self._split(other)[0].check, asked=1, failed=0 if float(value) > 0 else 1)
            elif metric == b"dropped_iterations":
                self.account.drop(int(at) - self._offset - self.skew, amount=round(float(value)))
            else:
                self.account.on = int(float(value) * 1e6) - self._offset

    def _request(self, end: bytes, took: bytes, tags: bytes, blocked: bytes, connecting: bytes, failed: bytes) -> Request:
        told, extra, vu = self._split(tags)
        return Request(
            end=int(end) - self._offset - self.skew,
            took=round((float(took) + float(blocked)) * 1e6),  # blocked: until it had a connection; of a new one, connecting and TLS too
            tags=told,
            vu=vu,
            number=int(extra[len(_NUMBERED) :]) if self.planned and extra.startswith(_NUMBERED) else None,
            failed=float(failed) > 0 if failed else None,
            connecting=float(connecting) != 0,
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


def _whole(found: bytes) -> int:
    """How much of it can be read: whole lines, and whole requests."""
    end = found.rfind(b"\n")
    if end <= 0:
        return 0
    last = found.rfind(b"\n", 0, end) + 1
    return found.rfind(b"\nhttp_reqs,", 0, end) if found.startswith(_UNFINISHED, last) else end
