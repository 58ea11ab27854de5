"""
SPDY/3.1 as far as Kubernetes still speaks it: streams of bytes in one connection, which clients carry in WebSocket messages. Pure.

Used by :mod:`.forwarding`. Bytes go in and frames come out, and the other way round; nothing is sent from here. There are no windows: the
streams of ``kubectl port-forward`` have none either.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_OPEN, _REPLY, _RESET, _PING, _AWAY = 1, 2, 3, 6, 7
_CONTROL, _VERSION, _FIN = 0x8000, 3, 1
_LONGEST: Final = 1 << 20
"""Bytes of headers of one stream; more is nobody's port-forward."""

_NAMES: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization "
    "cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range "
    "content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified "
    "location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding "
    "upgrade user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie keep-alive origin"
)
_REST: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    "500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,"
    "text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    """What headers are compressed against: the table of the draft SPDY/3, section 2.6.10.1 (see NOTICE)."""
    words = [name.replace("_", " ").encode() for name in _NAMES.split()]
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + _REST.encode()


DICTIONARY: Final = _dictionary()


class SpdyError(ValueError):
    """What came is no SPDY."""


@dataclass(frozen=True, slots=True)
class Opened:
    stream: int
    headers: Mapping[str, str]
    last: bool


@dataclass(frozen=True, slots=True)
class Data:
    stream: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class Away:
    """The other side opens no more."""


Frame = Opened | Data | Reset | Ping | Away


@dataclass(slots=True)
class Framing:
    """One side of one connection."""

    _left: bytearray = field(default_factory=bytearray)
    _inflate: zlib._Decompress = field(default_factory=lambda: zlib.decompressobj(zdict=DICTIONARY))
    _deflate: zlib._Compress = field(default_factory=lambda: zlib.compressobj(zdict=DICTIONARY))

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now. Raises SpdyError, after which nothing more can be understood."""
        self._left += data
        while len(self._left) >= 8:
            first, second = struct.unpack_from(">II", self._left)
            flags, length = second >> 24, second & 0xFFFFFF
            if len(self._left) < 8 + length:
                return
            body = bytes(self._left[8 : 8 + length])
            del self._left[: 8 + length]
            if not first >> 31:
                yield Data(first, body, bool(flags & _FIN))
            elif (found := self._control(first & 0x7FFFFFFF, flags, body)) is not None:
                yield found

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        version, kind = kind >> 16, kind & 0xFFFF
        if version != _VERSION:
            raise SpdyError(f"SPDY/{version}, expected SPDY/{_VERSION}")
        try:
            number = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
            if kind == _OPEN:
                return Opened(number, self._headers(body[10:]), bool(flags & _FIN))
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a frame of type {kind} that can not be read: {error}") from error
        if kind == _RESET:
            return Reset(number)
        if kind == _PING:
            return Ping(struct.unpack_from(">I", body)[0])
        return Away() if kind == _AWAY else None  # of settings, windows and replies nothing follows

    def _headers(self, block: bytes) -> dict[str, str]:
        text = self._inflate.decompress(block, _LONGEST)
        words = list(_words(text))
        return {name.lower(): value for name, value in zip(words[::2], words[1::2], strict=True)}

    def replied(self, stream: int) -> bytes:
        """That a stream is accepted."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _frame(_REPLY, struct.pack(">I", stream) + block)

    def opened(self, stream: int, headers: Mapping[str, str]) -> bytes:
        """A stream of our own; what clients send."""
        words = [part.encode() for pair in headers.items() for part in pair]
        text = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(word)) + word for word in words)
        block = self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _frame(_OPEN, struct.pack(">IIH", stream, 0, 0) + block)


def _words(text: bytes) -> Iterable[str]:
    count, at = struct.unpack_from(">I", text)[0], 4
    for _ in range(2 * count):
        length = struct.unpack_from(">I", text, at)[0]
        if at + 4 + length > len(text):
            raise SpdyError("headers that are cut off")
        yield text[at + 4 : at + 4 + length].decode()
        at += 4 + length


def sent(stream: int, data: bytes, *, last: bool = False) -> bytes:
    """Bytes of a stream; ``last``: this side sends no more."""
    return struct.pack(">II", stream, (_FIN if last else 0) << 24 | len(data)) + data


def reset(stream: int) -> bytes:
    """It is over, whatever was still to come (INTERNAL_ERROR)."""
    return _frame(_RESET, struct.pack(">II", stream, 6))


def pinged(number: int) -> bytes:
    return _frame(_PING, struct.pack(">I", number))


def _frame(kind: int, body: bytes) -> bytes:
    return struct.pack(">HHI", _CONTROL | _VERSION, kind, len(body)) + body
