"""
The kinds of request of a load, made ready once: what each begins with, how its answer is read, and what counts as ok.

Used by :mod:`chaosfw.load.prober.sending`. Secrets come from the environment of this process, where the driver has put those that the
load names, and go nowhere but onto the wire.
"""

from __future__ import annotations

import base64
import os
from urllib.parse import SplitResult

from chaosfw.load.prober.response import Answer, Response, Words
from chaosfw.model.load import NUMBER, Auth, Load, Outcome, Request


class Prepared:
    """One kind of request over HTTP/1.1, which carries its number."""

    __slots__ = ("_body", "_expected", "_head", "_marker", "_without_body")

    def __init__(self, kind: Request, *, load: Load, url: SplitResult) -> None:
        self._head, self._body = _request(kind, load=load, netloc=url.netloc, prefix=url.path)
        self._marker = load.marker.lower().encode("latin-1")
        self._expected = kind.expected_status
        self._without_body = kind.method == "HEAD"

    def request(self, number: int) -> bytes:
        return b"%s%d\r\n\r\n%s" % (self._head, number, self._body)

    def response(self) -> Answer:
        return Response(self._marker, without_body=self._without_body)

    def graded(self, answer: Answer) -> Outcome:
        return graded(answer.status, self._expected)


class Bare(Prepared):
    """One connection over TCP: that it comes up, and where something is said, what the answer has to contain."""

    __slots__ = ("_words",)

    def __init__(self, load: Load) -> None:
        self._body, self._words = load.body.encode(), load.expect.encode()

    def request(self, number: int) -> bytes:
        return self._body

    def response(self) -> Answer:
        return Words(self._words, asked=bool(self._body or self._words))

    def graded(self, answer: Answer) -> Outcome:
        return Outcome.ok


def prepared(load: Load, *, url: SplitResult) -> tuple[Prepared, ...]:
    if url.scheme == "tcp":
        return (Bare(load),)
    return tuple(Prepared(kind, load=load, url=url) for kind in load.kinds)


def graded(status: int, expected: tuple[int, ...]) -> Outcome:
    """What a whole answer counts as: as declared, or every status below 400."""
    if status in expected or (not expected and status < 400):
        return Outcome.ok
    if 400 <= status < 500:
        return Outcome.http_4xx
    return Outcome.http_5xx if status >= 500 else Outcome.assertion


def _request(kind: Request, *, load: Load, netloc: str, prefix: str) -> tuple[bytes, bytes]:
    """What each request begins with, up to the number that it carries, and its body; made once."""
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
    written = {name.lower() for name in given}
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in written]
    lines += [f"{name}: {value}" for name, value in given.items()]
    path = prefix.rstrip("/") + ("/" if not kind.path.startswith("/") else "") + kind.path
    return "\r\n".join((f"{kind.method} {path} HTTP/1.1", *lines, f"{NUMBER}: ")).encode("latin-1"), body


def _who(auth: Auth | None) -> dict[str, str]:
    if auth is None:
        return {}
    secret = os.environ[auth.variable].strip()
    if auth.kind == "basic":
        return {auth.header: "Basic " + base64.b64encode(f"{auth.user}:{secret}".encode()).decode()}
    return {auth.header: f"Bearer {secret}" if auth.kind == "bearer" else secret}
