"""
The kinds of request of a load, made ready once: what each begins with, how its answer is read, and what counts as ok.

Used by :mod:`chaosfw.load.prober.sending`. Secrets come from the environment of this process, where the driver has put those that the
load names, and go nowhere but onto the wire.
"""

from __future__ import annotations

import base64
import os
from urllib.parse import SplitResult

from chaosfw.load.prober.response import Answer, Line, Response, Words
from chaosfw.model.load import NUMBER, Auth, Load, Outcome, Request

ALPN = {"http/2": "h2"}
"""What a TLS server is offered, by a load's protocol. HTTP/1.1 is what it speaks when nothing is offered."""

_NUMBER = NUMBER.lower().encode()
_NOT_IN_HTTP_2 = frozenset({"host", "connection", "keep-alive", "transfer-encoding", "upgrade"})
"""RFC 9113, 8.2.2 and 8.3.1."""


class Prepared:
    """One kind of request over HTTP/1.1, which carries its number."""

    __slots__ = ("_body", "_expected", "_marker", "_start", "_without_body")

    def __init__(self, kind: Request, *, load: Load, url: SplitResult) -> None:
        path, headers, self._body = _parts(kind, load=load, netloc=url.netloc, prefix=url.path)
        lines = (f"{name}: {value}" for name, value in headers.items())
        self._start = "\r\n".join((f"{kind.method} {path} HTTP/1.1", *lines, f"{NUMBER}: ")).encode("latin-1")
        self._marker = load.marker.lower().encode("latin-1")
        self._expected = kind.expected_status
        self._without_body = kind.method == "HEAD"

    def asked(self, number: int, *, line: Line | None) -> tuple[bytes, Answer]:
        """What is sent, and how its answer is read; ``line`` is what is known of a connection that is used again."""
        return b"%s%d\r\n\r\n%s" % (self._start, number, self._body), Response(self._marker, without_body=self._without_body)

    def graded(self, answer: Answer) -> Outcome:
        return graded(answer.status, self._expected)


class Bare(Prepared):
    """One connection over TCP: that it comes up, and where something is said, what the answer has to contain."""

    __slots__ = ("_words",)

    def __init__(self, load: Load) -> None:
        self._body, self._words = load.body.encode(), load.expect.encode()

    def asked(self, number: int, *, line: Line | None) -> tuple[bytes, Answer]:
        return self._body, Words(self._words, asked=bool(self._body or self._words))

    def graded(self, answer: Answer) -> Outcome:
        return Outcome.ok


class Second(Prepared):
    """One kind of request over HTTP/2."""

    __slots__ = ("_head", "_http2")

    def __init__(self, kind: Request, *, load: Load, url: SplitResult) -> None:
        from chaosfw.load.prober import http2  # only those who need it wait for its import

        self._http2 = http2
        path, headers, self._body = _parts(kind, load=load, netloc=url.netloc, prefix=url.path)
        pseudo = {":method": kind.method, ":scheme": url.scheme, ":authority": headers["Host"], ":path": path}
        secret = {name.lower() for name in _who(load.auth)}
        self._head = [
            *(http2.HeaderTuple(name.encode(), value.encode("latin-1")) for name, value in pseudo.items()),
            *(
                (http2.NeverIndexedHeaderTuple if name.lower() in secret else http2.HeaderTuple)(
                    name.lower().encode("latin-1"), value.encode("latin-1")
                )
                for name, value in headers.items()
                if name.lower() not in _NOT_IN_HTTP_2
            ),
        ]
        self._marker = load.marker.lower().encode("latin-1")
        self._expected = kind.expected_status

    def asked(self, number: int, *, line: Line | None) -> tuple[bytes, Answer]:
        assert line is None or isinstance(line, self._http2.Line)
        numbered = [*self._head, self._http2.HeaderTuple(_NUMBER, b"%d" % number)]
        return (line or self._http2.Line()).ask(numbered, self._body, marker=self._marker)

    def graded(self, answer: Answer) -> Outcome:
        """A call over gRPC that failed is a 200 whose trailers say so."""
        assert isinstance(answer, self._http2.Stream)
        if answer.grpc not in (None, b"0"):
            return Outcome.assertion
        return graded(answer.status, self._expected)


def prepared(load: Load, *, url: SplitResult) -> tuple[Prepared, ...]:
    if url.scheme == "tcp":
        return (Bare(load),)
    if load.protocol == "http/2":
        return tuple(Second(kind, load=load, url=url) for kind in load.kinds)
    return tuple(Prepared(kind, load=load, url=url) for kind in load.kinds)


def graded(status: int, expected: tuple[int, ...]) -> Outcome:
    """What a whole answer counts as: as declared, or every status below 400."""
    if status in expected or (not expected and status < 400):
        return Outcome.ok
    if 400 <= status < 500:
        return Outcome.http_4xx
    return Outcome.http_5xx if status >= 500 else Outcome.assertion


def _parts(kind: Request, *, load: Load, netloc: str, prefix: str) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body; all of it but the number."""
    body = kind.body.encode()
    headers = {
        "Host": netloc.rpartition("@")[2],
        "User-Agent": "chaosfw-prober",
        "Accept": "*/*",
        "Connection": "close" if load.connection == "new" else "keep-alive",
    }
    if body or kind.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    given = {**load.headers, **kind.headers, **_who(load.auth)}
    proper = {name.lower(): name for name in headers}
    for name, value in given.items():
        headers[proper.setdefault(name.lower(), name)] = value
    path = prefix.rstrip("/") + ("/" if not kind.path.startswith("/") else "") + kind.path
    return path, headers, body


def _who(auth: Auth | None) -> dict[str, str]:
    if auth is None:
        return {}
    secret = os.environ[auth.variable].strip()
    if auth.kind == "basic":
        return {auth.header: "Basic " + base64.b64encode(f"{auth.user}:{secret}".encode()).decode()}
    return {auth.header: f"Bearer {secret}" if auth.kind == "bearer" else secret}
