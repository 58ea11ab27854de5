"""
HTTP/2 with one request at a time on a connection, on the ``h2`` library, which knows nothing of sockets.

Used by :mod:`chaosfw.load.prober.requests` where a load says ``protocol="http/2"``: over TLS with ALPN, or at once over plain TCP, as
gRPC does inside a cluster. Many requests could share a connection; here each has one to itself until its answer is whole, so that as many
instances are seen as with HTTP/1.1 (docs/how-to/shape-the-load.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from chaosfw.load.prober.response import Broken, Malformed
from chaosfw.model.load import Outcome

__all__ = ["HeaderTuple", "Line", "NeverIndexedHeaderTuple", "Stream"]

_FRAME_HEAD = 9
_GOAWAY = 0x7
_UNTOUCHED = ErrorCodes.REFUSED_STREAM
"""RFC 9113, 8.7: the request was not processed at all."""


class Line:
    """
    One connection. GOAWAY never reaches the library, which takes no frame after it: a server that drains says it and then still answers
    (RFC 9113, 6.8), and an answer that we do not hear would be counted as a failure.
    """

    def __init__(self) -> None:
        self._http = H2Connection(
            H2Configuration(
                client_side=True, header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False, logger=None
            )
        )
        self._http.local_settings = Settings(client=True, initial_values={SettingCodes.ENABLE_PUSH: 0})
        self._http.initiate_connection()
        self._rest = b""
        self.last: int | None = None
        """The last request that the server will answer, once it has said that it goes away."""

    @property
    def going(self) -> bool:
        return self.last is not None

    def ask(self, head: Sequence[HeaderTuple], body: bytes, *, marker: bytes) -> tuple[bytes, Stream]:
        """What to send for one more request, and its answer."""
        number = self._http.get_next_available_stream_id()
        self._http.send_headers(number, head, end_stream=not body)
        stream = Stream(self, number, body=body, marker=marker)
        return stream.reply(), stream

    def say(self, number: int, body: memoryview) -> memoryview:
        """As much of a body as the server lets us send now; returns the rest."""
        while body:
            size = min(len(body), self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)
            if size <= 0:
                break
            self._http.send_data(number, bytes(body[:size]), end_stream=size == len(body))
            body = body[size:]
        return body

    def pending(self) -> bytes:
        """What the protocol itself has to say."""
        return self._http.data_to_send()

    def goodbye(self) -> bytes:
        """The last words, so that a server does not count us among the connections that broke."""
        try:
            self._http.close_connection()
        except H2Error:
            return b""  # it is over already
        return self._http.data_to_send()

    def heard(self, data: bytes) -> list[Event]:
        """Raises Malformed for bytes that are no HTTP/2."""
        rest, place, kept = self._rest + data, 0, []
        while len(rest) - place >= _FRAME_HEAD:
            size = int.from_bytes(rest[place : place + 3], "big")
            if size > self._http.max_inbound_frame_size:
                raise Malformed(f"this is not HTTP/2: it would be a frame of {size:,} bytes")
            end = place + _FRAME_HEAD + size
            if end > len(rest):
                break
            if rest[place + 3] == _GOAWAY and size >= 8:
                self.last = int.from_bytes(rest[place + _FRAME_HEAD : place + _FRAME_HEAD + 4], "big") & 0x7FFFFFFF
            else:
                kept.append(rest[place:end])
            place = end
        self._rest = rest[place:]
        try:
            events = self._http.receive_data(b"".join(kept)) if kept else []
        except H2Error as trouble:
            raise Malformed(f"this is not HTTP/2: {trouble}") from None
        for event in events:
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        return events


class Stream:
    """One answer. ``grpc``: the status that gRPC puts into the trailers, where there is one."""

    __slots__ = ("_body", "_marker", "_number", "grpc", "keeps", "line", "received", "seen", "status")
    immediate = False

    def __init__(self, line: Line, number: int, *, body: bytes, marker: bytes) -> None:
        self.line, self._number, self._marker = line, number, marker
        self._body = memoryview(body)
        self.received = self.status = 0
        self.seen: bytes | None = None
        self.grpc: bytes | None = None
        self.keeps = True

    def reply(self) -> bytes:
        self._body = self.line.say(self._number, self._body)
        return self.line.pending()

    def feed(self, data: bytes) -> bool:
        """Raises Malformed, and Broken when the server gives this request up."""
        self.received += len(data)
        whole = False
        for event in self.line.heard(data):
            if getattr(event, "stream_id", None) != self._number:
                continue
            if isinstance(event, ResponseReceived | TrailersReceived):
                self._headers(event.headers or ())
            elif isinstance(event, StreamReset):
                raise Broken(Outcome.refused if event.error_code == _UNTOUCHED else Outcome.reset)
            whole = whole or isinstance(event, StreamEnded)
        if self.line.last is not None:
            self.keeps = False
            if not whole and self.line.last < self._number:
                raise Broken(Outcome.refused)
        return whole

    def ended(self) -> bool:
        return False

    def _headers(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        for name, value in headers:
            if name == b":status":
                self.status = int(value)
            elif name == b"grpc-status":
                self.grpc = value
            elif name == self._marker:
                self.seen = value
