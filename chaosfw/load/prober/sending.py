"""
The loop: sends each request when it is due, whether or not earlier ones came back, and writes down what became of it.

Run by ``chaosfw.processes.prober``, alone or as one of several that share a load by the requests' numbers. One thread, one epoll. A
wake-up sends everything that is due before it looks at any answer, so that slow answers never make requests late. It stops at a word or
the end of its input, at SIGTERM, and when whoever started it is gone (which closes that input).
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import struct
from collections import deque
from typing import Protocol
from urllib.parse import urlsplit

from chaosfw.load.book import Ended
from chaosfw.load.health import Vitals
from chaosfw.load.orders import Orders
from chaosfw.load.prober.exchange import IN, Exchange
from chaosfw.load.prober.names import Names
from chaosfw.load.prober.requests import ALPN, Prepared, prepared
from chaosfw.load.prober.response import Line, Malformed
from chaosfw.load.prober.secure import context
from chaosfw.model.arrivals import Arrivals, highest, turns
from chaosfw.model.load import Outcome
from chaosfw.timing import NANOSECONDS, Clock, nanoseconds

HEAD_START = NANOSECONDS // 20
"""Request 0 is due so long after the loop is ready: 50 ms."""

_TICK = NANOSECONDS // 40
"""Samples are on disk at most so long after the request ended."""

_AT_ONCE = 128
"""Events handled between two looks at the schedule."""

_MARGIN = 64
"""In flight beyond rate x timeout; more than that are dropped."""

WORD = struct.Struct("<q")
"""The word to stop: the instant until which what is due is still sent, ns CLOCK_MONOTONIC."""

_PIECE = 65536
_PORTS = {"https": 443, "http": 80}


class Writer(Protocol):
    """Where samples go."""

    def late(self, nanoseconds: int) -> None: ...

    def write(
        self, number: int, *, sent: int, end: int, outcome: Outcome, status: int, marker: bytes | None, reused: bool, received: int
    ) -> None: ...

    def flush(self) -> None: ...


class Idle:
    """A connection that waits for its next request."""

    __slots__ = ("line", "sock")

    def __init__(self, sock: socket.socket, line: Line | None) -> None:
        self.sock, self.line = sock, line

    def settled(self) -> bool:
        """What the protocol owes the other side is said. False where that can not be done at once."""
        return self.line is None or self._say(self.line.pending())

    def goes_on(self) -> bool:
        """Something has come that nobody asked for: the end of it, or what the protocol has to say by itself."""
        if self.line is None:
            return False
        try:
            while data := self.sock.recv(_PIECE):
                self.line.heard(data)
        except (BlockingIOError, ssl.SSLWantReadError):
            return not self.line.going and self.settled()
        except (OSError, Malformed):
            pass
        return False

    def close(self, *, politely: bool) -> None:
        if politely and self.line is not None:
            self._say(self.line.goodbye())
        self.sock.close()

    def _say(self, words: bytes) -> bool:
        try:
            return not words or self.sock.send(words) == len(words)
        except OSError:  # also one that would block
            return False


class Sending:
    """One load from its first request to its end, or each ``of``-th request of it, from number ``part`` on."""

    def __init__(self, orders: Orders, *, clock: Clock, stdin: int, book: Writer, on: int = 0, part: int = 0, of: int = 1) -> None:
        load, url = orders.load, urlsplit(orders.url)
        self._load, self._clock, self._stdin, self._book = load, clock, stdin, book
        self._host = url.hostname or "127.0.0.1"
        self._alpn = ALPN.get(load.protocol)
        self._secure = context(load.tls, alpn=self._alpn) if url.scheme == "https" else None
        self._server_name = load.tls.server_name if load.tls and load.tls.server_name else self._host
        self._names = Names(self._host, url.port or _PORTS.get(url.scheme, 0))
        self._kinds, self._turns = prepared(load, url=url), turns(load)
        self._poll = select.epoll()
        self._flying: dict[int, Exchange] = {}
        self._order: deque[Exchange] = deque()
        self._idle: dict[int, Idle] = {}
        self._timeout = nanoseconds(load.timeout)
        self._most = int(highest(load) / of * load.timeout * 1.1) + _MARGIN
        self._arrivals = Arrivals(load)
        self._part = self._next = part
        self._of = of
        self._off = 0
        self._until = -1
        self._exhausted = 0
        self.on = on or clock.monotonic_ns() + HEAD_START
        self._due = self.on + self._arrivals.due(part)
        self._vitals = Vitals(clock, on=self.on)

    def stop(self, until: int = 0) -> None:
        """Asks the loop to stop, now or at an instant. May be called from a signal handler, in the middle of anything."""
        self._until = until

    def run(self) -> Ended:
        """Until it is stopped and drained."""
        self._poll.register(self._stdin, select.EPOLLIN)
        flush_at = self.on
        while True:
            now = self._clock.monotonic_ns()
            if not self._off:
                self._send_until(min(now, self._until - 1) if self._until > 0 else now)
                if 0 <= self._until <= now:
                    self._off = max(self._until or now, self.on)  # what was due until now has just been sent: it belongs to the load
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
            until = min(until, self._due, self._until if self._until > 0 else until)
        if self._order:
            until = min(until, self._order[0].sent + self._timeout)
        return max(0.0, (until - now) / NANOSECONDS)

    def _send_until(self, now: int) -> None:
        while self._due <= now:
            self._send(self._next, due=self._due)
            self._next += self._of
            self._due = self.on + self._arrivals.due(self._next)

    def _send(self, number: int, *, due: int) -> None:
        if len(self._flying) >= self._most:
            self._drop(number, due=due)
            return
        kind = self._kind(number)
        sent = self._clock.monotonic_ns()
        idle = self._idle.popitem()[1] if self._idle else None
        request, answer = kind.asked(number, line=idle.line if idle else None)
        exchange = Exchange(number, due=due, sent=sent, request=request, response=answer)
        outcome = exchange.reuse(idle.sock) if idle else self._begin(exchange)
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

    def _kind(self, number: int) -> Prepared:
        return self._kinds[self._turns[number % len(self._turns)]]

    def _begin(self, exchange: Exchange) -> Outcome | None:
        address = self._names.address
        if address is None:
            self._vitals.unresolved(exchange.due)
            return Outcome.dns
        return exchange.open(address, secure=self._secure, host=self._server_name, alpn=self._alpn)

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
            word = os.read(self._stdin, WORD.size)
            self._poll.unregister(self._stdin)
            self.stop(*WORD.unpack(word) if len(word) == WORD.size else ())
        elif (idle := self._idle.get(descriptor)) is not None and not idle.goes_on():
            del self._idle[descriptor]
            idle.sock.close()

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
            outcome = self._kind(exchange.number).graded(response)
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
        idle = Idle(sock, exchange.response.line)
        keeps = whole and was_flying and self._load.connection == "keep-alive" and exchange.response.keeps and not self._off
        if keeps and idle.settled():
            self._idle[descriptor] = idle
            if exchange.wants != IN:
                self._poll.modify(descriptor, IN)
        else:
            idle.close(politely=whole)

    def _exhaust(self, exchange: Exchange) -> None:
        """This machine had no descriptor, port or buffer for it: dropped by us, whatever the service would have said."""
        exchange.end = exchange.sent  # for the queue of time-outs: it is over
        self._exhausted += 1
        self._drop(exchange.number, due=exchange.due)
        self._let_go(exchange, whole=False)

    def _drop(self, number: int, *, due: int) -> None:
        self._vitals.dropped(due)
        self._book.write(number, sent=0, end=0, outcome=Outcome.dropped, status=0, marker=None, reused=False, received=0)

    def _finish(self) -> Ended:
        for exchange in list(self._flying.values()):
            self._end(exchange, Outcome.aborted)
        for idle in self._idle.values():
            idle.close(politely=True)
        self._names.close()
        self._vitals.look(self._clock.monotonic_ns())
        return Ended(
            off=self._off,
            due=(self._next - self._part) // self._of,
            unhealthy=self._vitals.unhealthy(),
            suspended=self._vitals.suspended,
            lookups=self._names.made,
            lookups_failed=self._names.failed,
            exhausted=self._exhausted,
        )
