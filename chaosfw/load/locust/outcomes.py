"""
What became of a request that Locust tells of: its exception, and the chain of causes in it, as one of our outcomes.

Used by :mod:`chaosfw.load.locust.recording`. It knows the exceptions of requests, urllib3 and geventhttpclient by name and by the
operating system's error number, so that nothing of them is imported.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

from chaosfw.model.load import Outcome

_NAMES = {
    "ConnectTimeout": Outcome.connect_timeout,
    "ConnectTimeoutError": Outcome.connect_timeout,
    "ReadTimeout": Outcome.read_timeout,
    "ReadTimeoutError": Outcome.read_timeout,
    "NameResolutionError": Outcome.dns,
    "SSLError": Outcome.tls,
    "SSLCertVerificationError": Outcome.tls,
    "RemoteDisconnected": Outcome.reset,
    "IncompleteRead": Outcome.reset,
    "ProtocolError": Outcome.reset,
    "ChunkedEncodingError": Outcome.reset,
    "HTTPConnectionClosed": Outcome.reset,
    "ConnectionClosed": Outcome.reset,
    "HTTPParseError": Outcome.reset,
}
_ERRORS = {
    errno.ECONNREFUSED: Outcome.refused,
    errno.EHOSTUNREACH: Outcome.refused,
    errno.ENETUNREACH: Outcome.refused,
    errno.ECONNRESET: Outcome.reset,
    errno.ECONNABORTED: Outcome.reset,
    errno.EPIPE: Outcome.reset,
    errno.ETIMEDOUT: Outcome.connect_timeout,
    errno.EMFILE: Outcome.dropped,
    errno.ENFILE: Outcome.dropped,
    errno.EADDRNOTAVAIL: Outcome.dropped,
    errno.ENOBUFS: Outcome.dropped,
}


def outcome_of(exception: BaseException | None, *, status: int) -> Outcome:
    """
    Without an exception Locust, or the user's own check of the answer, calls it a success, whatever the status. With one: what the
    connection met, else what the status says, else the user's own refusal of the answer.
    """
    if exception is None:
        return Outcome.ok
    if not status:
        for one in _chain(exception):
            if (met := _met(one)) is not None:
                return met
        return Outcome.reset
    if status >= 500:
        return Outcome.http_5xx
    return Outcome.http_4xx if status >= 400 else Outcome.assertion


def _met(one: BaseException) -> Outcome | None:
    if isinstance(one, OSError) and one.errno in _ERRORS:
        return _ERRORS[one.errno]
    if isinstance(one, ConnectionRefusedError):
        return Outcome.refused
    if isinstance(one, socket.gaierror):
        return Outcome.dns
    if isinstance(one, ssl.SSLError) and not isinstance(one, ssl.SSLEOFError):
        return Outcome.tls
    named = _NAMES.get(type(one).__name__)
    if named is not None:
        return named
    if isinstance(one, TimeoutError) or "timed out" in str(one):
        return Outcome.read_timeout
    return Outcome.reset if isinstance(one, ConnectionError | EOFError | ssl.SSLError) else None


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """The innermost cause first: libraries wrap what the kernel said, some more than once."""
    seen: list[BaseException] = []
    waiting: list[object] = [exception]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or any(one is known for known in seen):
            continue
        seen.append(one)
        waiting += [one.__cause__, one.__context__, getattr(one, "original", None), getattr(one, "reason", None), *one.args]
    return reversed(seen)
