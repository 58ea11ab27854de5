"""
An HTTP/1.1 response, fed as it arrives: status, marker header, and whether it is whole. And what is awaited over bare TCP.

Called by :mod:`chaosfw.load.prober.exchange` for each piece read. It keeps no body: a body is counted and let go.
"""

from __future__ import annotations

from typing import Protocol

from chaosfw.model.load import Outcome

_END = b"\r\n\r\n"
_LONGEST_HEAD = 65536


class Malformed(Exception):
    """These bytes are no HTTP response."""


class Broken(Exception):
    """The server gave this request up, and said so."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


class Line(Protocol):
    """What both ends of a connection remember of each other, where a protocol has such a thing."""

    def pending(self) -> bytes:
        """What the protocol has to say by itself."""

    def goodbye(self) -> bytes: ...

    def heard(self, data: bytes) -> object:
        """Raises Malformed."""

    @property
    def going(self) -> bool:
        """The server takes no more requests on it."""


class Answer(Protocol):
    """
    What an exchange feeds with what it reads. ``immediate``: it is whole as soon as the connection is up, and nothing was asked. ``reply``:
    what has to be sent before more of it comes.
    """

    received: int
    status: int
    seen: bytes | None
    keeps: bool

    @property
    def immediate(self) -> bool: ...

    @property
    def line(self) -> Line | None: ...

    def reply(self) -> bytes: ...

    def feed(self, data: bytes) -> bool: ...

    def ended(self) -> bool: ...


class Words:
    """An answer over bare TCP: whole when it contains the words that are waited for, or anything at all."""

    __slots__ = ("_buffer", "_words", "immediate", "keeps", "received", "seen", "status")
    line = None

    def __init__(self, words: bytes, *, asked: bool) -> None:
        self._words, self._buffer = words, b""
        self.immediate = not asked
        self.received = self.status = 0
        self.seen: bytes | None = None
        self.keeps = False

    def reply(self) -> bytes:
        return b""

    def feed(self, data: bytes) -> bool:
        """Raises Malformed when it goes on and on without the words."""
        self.received += len(data)
        self._buffer += data
        if self._words in self._buffer:
            return True
        if len(self._buffer) > _LONGEST_HEAD:
            raise Malformed("the words that are waited for do not come")
        return False

    def ended(self) -> bool:
        return False


class Response:
    """One response. ``feed`` and ``ended`` say whether it is whole now."""

    __slots__ = ("_buffer", "_chunked", "_left", "_marker", "_without_body", "keeps", "received", "seen", "status")
    immediate = False
    line = None

    def __init__(self, marker: bytes, *, without_body: bool) -> None:
        self._marker = marker
        self._without_body = without_body
        self._buffer = b""
        self._left: int | None = None
        self._chunked = False
        self.received = 0
        self.status = 0
        self.seen: bytes | None = None
        """The marker header's value."""
        self.keeps = True
        """The server lets the connection live."""

    def reply(self) -> bytes:
        return b""

    def feed(self, data: bytes) -> bool:
        """Raises Malformed."""
        self.received += len(data)
        if self.status:
            return self._body(data)
        self._buffer += data
        split = self._buffer.find(_END)
        if split < 0:
            if len(self._buffer) > _LONGEST_HEAD:
                raise Malformed("the head of the response does not end")
            return False
        head, rest = self._buffer[:split], self._buffer[split + 4 :]
        self._buffer = b""
        self._head(head)
        if 100 <= self.status < 200:
            self.status, self.received = 0, self.received - len(rest)
            return self.feed(rest)
        return self._body(rest)

    def ended(self) -> bool:
        """The server closed the connection: whole, if the response had no other end."""
        return bool(self.status) and self._left is None and not self._chunked

    def _head(self, head: bytes) -> None:
        if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
            raise Malformed("this is not an HTTP/1.x response")
        self.status = int(head[9:12])
        low = head.lower()
        self.seen = _value(head, low, self._marker) if self._marker else None
        connection = _value(low, low, b"connection") or b""
        self.keeps = connection != b"close" if head[7:8] == b"1" else connection == b"keep-alive"
        length = _value(low, low, b"content-length")
        if self._without_body or self.status in (204, 304):
            self._left = 0
        elif b"chunked" in (_value(low, low, b"transfer-encoding") or b""):
            self._chunked = True
        elif length is not None:
            if not length.isdigit():
                raise Malformed("the response has a content-length that is no number")
            self._left = int(length)

    def _body(self, data: bytes) -> bool:
        if self._chunked:
            return self._chunks(data)
        if self._left is None:
            return False
        self._left -= len(data)
        return self._left <= 0

    def _chunks(self, data: bytes) -> bool:
        buffer = self._buffer + data
        place = 0
        while (line := buffer.find(b"\r\n", place)) >= 0:
            try:
                size = int(buffer[place:line].partition(b";")[0], 16)
            except ValueError:
                raise Malformed("the response has a chunk without a size") from None
            if size == 0:
                done = buffer.find(_END, line) >= 0
                self._buffer = buffer[place:]
                return done
            following = line + 2 + size + 2
            if len(buffer) < following:
                break
            place = following
        self._buffer = buffer[place:]
        return False


def _value(head: bytes, low: bytes, name: bytes) -> bytes | None:
    """The value of a header; ``name`` in lower case."""
    begin = low.find(b"\r\n" + name + b":")
    if begin < 0:
        return None
    begin += len(name) + 3
    end = low.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].strip()
