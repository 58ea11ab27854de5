"""
The loop: sends each request when it is due, whether or not earlier ones came back, and writes down what became of it.

Run by ``chaosfw.processes.prober``. One thread, one epoll. A wake-up sends everything that is due before it looks at any
answer, so that slow answers never make requests late. It stops at a word or the end of its standard input, at SIGTERM, and
when whoever started it is gone (which closes that input).
"""

from __future__ import annotations

import select
import socket
import ssl
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

from chaosfw.load.book import Book, seal
from chaosfw.load.health import Vitals
from chaosfw.load.orders import Orders
from chaosfw.load.prober.exchange import IN, Exchange
from chaosfw.load.prober.names import Names
from chaosfw.load.prober.response import Response
from chaosfw.model.load import NUMBER, Load, Outcome, Seal
from chaosfw.timing import NANOSECONDS, Clock, nanoseconds

HEAD_START = NANOSECONDS // 20
"""Request 0 is due so long after the loop is ready: 50 ms."""

_TICK = NANOSECONDS // 40
"""Samples are on disk at most so long after the request ended."""

_AT_ONCE = 128
"""Events handled between two looks at the schedule."""

_MARGIN = 64
"""In flight beyond rate x timeout; more than that are dropped."""


class Sending:
    """One load from its first request to its seal."""

    def __init__(self, orders: Orders, *, clock: Clock, stdin: int) -> None:
        load, url = orders.load, urlsplit(orders.url)
        self._load, self._clock, self._stdin = load, clock, stdin
        self._out = Path(orders.out)
        self._host = url.hostname or "127.0.0.1"
        self._secure = ssl.create_default_context() if url.scheme == "https" else None
        self._names = Names(self._host, url.port or (443 if self._secure else 80))
        self._head, self._body = _request(load, netloc=url.netloc, prefix=url.path)
        self._marker = load.marker.lower().encode("latin-1")
        self._book = Book(self._out / "samples.bin")
        self._poll = select.epoll()
        self._flying: dict[int, Exchange] = {}
        self._order: deque[Exchange] = deque()
        self._idle: dict[int, socket.socket] = {}
        self._timeout = nanoseconds(load.timeout)
        self._most = int(load.rate * load.timeout * 1.1) + _MARGIN
        self._step = NANOSECONDS / load.rate
        self._next = 0
        self._off = 0
        self._asked = False
        self._exhausted = 0
        self.on = clock.monotonic_ns() + HEAD_START
        self._vitals = Vitals(clock, on=self.on)

    def stop(self) -> None:
        """Asks the loop to stop. May be called from a signal handler, in the middle of anything."""
        self._asked = True

    def run(self) -> Seal:
        """Until it is stopped and drained. Writes ``seal.json`` last."""
        self._poll.register(self._stdin, select.EPOLLIN)
        flush_at = self.on
        while True:
            now = self._clock.monotonic_ns()
            if not self._off:
                self._send_until(now)
            if self._asked and not self._off:
                self._off = max(now, self.on)  # what was due until now has just been sent: it belongs to the load
            self._expire(now)
            if now >= flush_at:
                self._book.flush()
                flush_at = now + _TICK
            if now >= self._vitals.next_look:
                self._vitals.look(now)
            if self._off and (not self._flying or now >= self._off + self._timeout):
                return self._finish()
            for descriptor, _ in self._poll.poll(self._patience(now, flush_at=flush_at), _AT_ONCE):
                self._ready(descriptor)

    def _patience(self, now: int, *, flush_at: int) -> float:
        until = flush_at
        if not self._off:
            until = min(until, self.on + int(self._next * self._step))
        if self._order:
            until = min(until, self._order[0].sent + self._timeout)
        return max(0.0, (until - now) / NANOSECONDS)

    def _send_until(self, now: int) -> None:
        while (due := self.on + int(self._next * self._step)) <= now:
            self._send(self._next, due=due)
            self._next += 1

    def _send(self, number: int, *, due: int) -> None:
        if len(self._flying) >= self._most:
            self._drop(number, due=due)
            return
        sent = self._clock.monotonic_ns()
        response = Response(self._marker, without_body=self._load.method == "HEAD")
        request = b"%s%d\r\n\r\n%s" % (self._head, number, self._body)
        exchange = Exchange(number, due=due, sent=sent, request=request, response=response)
        outcome = self._begin(exchange)
        if outcome is Outcome.dropped:
            self._exhaust(exchange)
            return
        late = sent - due
        self._book.late(late)
        self._vitals.sent(due, late=late)
        if outcome is not None:
            self._end(exchange, outcome)
            return
        descriptor = exchange.descriptor
        self._flying[descriptor] = exchange
        self._order.append(exchange)
        if exchange.reused:
            self._poll.modify(descriptor, exchange.wants)
        else:
            self._poll.register(descriptor, exchange.wants)

    def _begin(self, exchange: Exchange) -> Outcome | None:
        if self._idle:
            return exchange.reuse(self._idle.popitem()[1])
        address = self._names.address
        if address is None:
            self._vitals.unresolved(exchange.due)
            return Outcome.dns
        return exchange.open(address, secure=self._secure, host=self._host)

    def _ready(self, descriptor: int) -> None:
        exchange = self._flying.get(descriptor)
        if exchange is None:
            self._not_flying(descriptor)
            return
        wanted = exchange.wants
        outcome = exchange.step()
        if outcome is Outcome.dropped:
            self._exhaust(exchange)
        elif outcome is not None:
            self._end(exchange, outcome)
        elif exchange.wants != wanted:
            self._poll.modify(descriptor, exchange.wants)

    def _not_flying(self, descriptor: int) -> None:
        """Our standard input, or an idle connection that the server has closed."""
        if descriptor == self._stdin:
            self._poll.unregister(self._stdin)
            self.stop()
        elif (idle := self._idle.pop(descriptor, None)) is not None:
            idle.close()

    def _expire(self, now: int) -> None:
        """All have the same timeout, so the oldest is the first to expire."""
        order = self._order
        while order and (order[0].end or order[0].sent + self._timeout <= now):
            exchange = order.popleft()
            if not exchange.end:
                self._end(exchange, exchange.timed_out())

    def _end(self, exchange: Exchange, outcome: Outcome) -> None:
        exchange.end = self._clock.monotonic_ns()
        response = exchange.response
        if outcome is Outcome.ok:
            outcome = graded(response.status, self._load.expected_status)
        self._book.write(
            exchange.number,
            sent=exchange.sent,
            end=exchange.end,
            outcome=outcome,
            status=response.status,
            marker=response.seen,
            reused=exchange.reused,
            received=response.received,
        )
        self._let_go(exchange, whole=outcome in (Outcome.ok, Outcome.http_4xx, Outcome.http_5xx))

    def _let_go(self, exchange: Exchange, *, whole: bool) -> None:
        sock, descriptor = exchange.sock, exchange.descriptor
        if sock is None:
            return
        was_flying = self._flying.pop(descriptor, None) is not None
        if whole and was_flying and self._load.connection == "keep-alive" and exchange.response.keeps and not self._off:
            self._idle[descriptor] = sock
            if exchange.wants != IN:
                self._poll.modify(descriptor, IN)
        else:
            _close(exchange)

    def _exhaust(self, exchange: Exchange) -> None:
        """This machine had no descriptor, port or buffer for it: dropped by us, whatever the service would have said."""
        exchange.end = exchange.sent  # for the queue of time-outs: it is over
        self._exhausted += 1
        self._drop(exchange.number, due=exchange.due)
        self._let_go(exchange, whole=False)

    def _drop(self, number: int, *, due: int) -> None:
        self._vitals.dropped(due)
        self._book.write(number, sent=0, end=0, outcome=Outcome.dropped, status=0, marker=None, reused=False, received=0)

    def _finish(self) -> Seal:
        for exchange in list(self._flying.values()):
            self._end(exchange, Outcome.aborted)
        for sock in self._idle.values():
            sock.close()
        self._names.close()
        self._vitals.look(self._clock.monotonic_ns())
        return seal(
            self._book,
            self._out,
            vitals=self._vitals,
            off=self._off,
            due=self._next,
            lookups=self._names.made,
            lookups_failed=self._names.failed,
            exhausted=self._exhausted,
        )


def graded(status: int, expected: tuple[int, ...]) -> Outcome:
    """What a whole answer counts as: as declared, or every status below 400."""
    if status in expected or (not expected and status < 400):
        return Outcome.ok
    if 400 <= status < 500:
        return Outcome.http_4xx
    return Outcome.http_5xx if status >= 500 else Outcome.assertion


def _request(load: Load, *, netloc: str, prefix: str) -> tuple[bytes, bytes]:
    """What each request begins with, up to the number that it carries, and its body; made once."""
    body = load.body.encode()
    headers = {
        "Host": netloc.rpartition("@")[2],
        "User-Agent": "chaosfw-prober",
        "Accept": "*/*",
        "Connection": "close" if load.connection == "new" else "keep-alive",
    }
    if body or load.method in ("POST", "PUT", "PATCH"):
        headers["Content-Length"] = str(len(body))
    given = {name.lower() for name in load.headers}
    lines = [f"{name}: {value}" for name, value in headers.items() if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in load.headers.items()]
    path = prefix.rstrip("/") + ("/" if not load.path.startswith("/") else "") + load.path
    return "\r\n".join((f"{load.method} {path} HTTP/1.1", *lines, f"{NUMBER}: ")).encode("latin-1"), body


def _close(exchange: Exchange) -> None:
    if exchange.sock is not None:
        exchange.sock.close()
