"""
One sample for each request that Locust tells of, into the book; whose turn it was to be sent, where arrivals are on a schedule.

Runs in the child ``python -m chaosfw.processes.locust`` only, where gevent has patched the standard library: one thread, so that
nothing here needs a lock. Locust's own statistics are not read, but they are written here: see ``instead_of``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent

from chaosfw.load.book import Book
from chaosfw.load.frames import Frames
from chaosfw.load.health import Vitals
from chaosfw.load.locust.outcomes import outcome_of
from chaosfw.model.load import NO_MARKER, SAMPLE, Load, Outcome
from chaosfw.timing import NANOSECONDS, Clock

_LOG = logging.getLogger(__name__)
_current, _PACK = gevent.getcurrent, SAMPLE.pack
_OK = int(Outcome.ok)
_NOBODY_KNOWS = 1
"""The flag of a connection that was used before, or nobody knows: Locust does not tell."""
_STATISTICS = "Runner.__init__.<locals>.on_request"
"""What counts requests for Locust's own summary, and for shapes that look at it."""

STEPPED = 5_000_000
"""A wall clock that moved more than 5 ms against the monotonic one was set by somebody: what it stamps is not known then."""

PULSE = 0.02
"""Seconds between two looks at how late this process runs, and two writes to disk."""


@dataclass(slots=True)
class Arrival:
    """One task whose turn it was at ``due``. Its first request is that arrival; what follows in the same task is due when it is sent."""

    due: int
    taken: bool = False


class Recording:
    """The book of one load, and what Locust calls."""

    def __init__(self, load: Load, *, book: Book | Frames, clock: Clock) -> None:
        self._clock, self._now = clock, clock.monotonic_ns
        self._marker = load.marker
        self.book, self._take = book, book.take
        self._aside: list[tuple[Any, ...]] = []
        self._statistics: Callable[..., None] | None = None
        self.arrivals: dict[Any, Arrival] = {}
        self.flying: dict[int, object] = {}
        """What ``mark`` gave of each request that is under way."""
        self.mark: Callable[[], object] = self._mark if load.open else self._now
        self.errors: dict[str, int] = {}
        self.on = clock.monotonic_ns()
        self.off = 0
        self.vitals = Vitals(clock, on=self.on)
        self._offset = clock.wall_ns() - clock.monotonic_ns()

    def instead_of(self, events: Any) -> None:
        """
        Takes the place of Locust's own listener to its ``request`` event, which is called from here, a pulse later at most, and before
        anybody reports or looks at the end: it costs a user more than ours does. What is not known as Locust's (2.32 to 2.47) stays
        where it is.
        """
        known = [one for one in events.request._handlers if getattr(one, "__qualname__", "") == _STATISTICS]
        if len(known) == 1:
            events.request.remove_listener(known[0])
            self._statistics = known[0]
            for event in (events.report_to_master, events.test_stop):
                event._handlers.insert(0, self.catch_up)
            events.quitting._handlers.append(self.catch_up)  # whose listeners are called last to first

    def begin(self, on: int) -> None:
        """What was due before is warm-up."""
        self.on = on

    def request(
        self,
        *,
        response_time: float | None = 0.0,
        exception: Any = None,
        response: Any = None,
        start_time: float | None = None,
        response_length: int | None = 0,
        request_type: str = "",
        name: str = "",
        **_told: Any,
    ) -> None:
        """
        Locust's ``request`` event. It stamps the start by the wall, and measures the length, in ms, by itself. Every user waits for this,
        in a process that has nothing of it at hand by then: a good answer is put aside, and written down with others at the next pulse.
        Of the answer nothing is kept that could keep its connection.
        """
        end = self._now()
        try:
            told = (request_type, name, end, response_time, start_time, response_length, response.status_code, response.headers)
        except AttributeError:  # no answer, or something that is not HTTP
            status = getattr(response, "status_code", 0)
            told = (request_type, name, end, response_time, start_time, response_length, status, None)
        if exception is None and not self.arrivals:
            self._aside.append(told)
            return
        self.catch_up()
        self._write(*told, arrival=self.arrivals.get(_current()), exception=exception)

    def catch_up(self, **_told: Any) -> None:
        """What was put aside goes into the book: nothing here gives the turn to another greenlet."""
        aside, self._aside = self._aside, []
        for told in aside:
            try:
                self._write(*told)
            except Exception:  # what a file's own client tells may be anything; Locust, too, goes on when a listener stumbles
                _LOG.exception("a request that Locust told of can not be written down: %r", told)

    def _write(
        self,
        request_type: str,
        name: str,
        end: int,
        response_time: float | None,
        start_time: float | None,
        response_length: int | None,
        status_code: Any,
        headers: Any,
        arrival: Arrival | None = None,
        exception: Any = None,
    ) -> None:
        took = int(response_time * 1e6) if response_time and response_time > 0 else 0
        sent = end - took
        if start_time is not None:
            sent = min(int(start_time * NANOSECONDS) - self._offset, sent)
        due = self._turn(arrival, sent=sent)
        status = int(status_code or 0)
        outcome = _OK if exception is None else outcome_of(exception, status=status)
        marker = self._served_by(headers) if self._marker else NO_MARKER
        received = min(int(response_length or 0), 0xFFFFFFFF)
        self._take(_PACK(due, sent, sent + took, min(status, 0xFFFF), marker, outcome, _NOBODY_KNOWS, 0, received))
        if self._statistics is not None:
            self._statistics(request_type, name, response_time, response_length, exception)

    def _turn(self, arrival: Arrival | None, *, sent: int) -> int:
        """When a request was due that was sent then: the first of a task whose turn it was, at its turn."""
        if arrival is None or arrival.taken:
            return sent
        arrival.taken, due = True, arrival.due
        self.book.late(sent - due)
        self.vitals.sent(due, late=sent - due)
        return due

    def _mark(self) -> object:
        """Of a request that leaves, where there are turns; elsewhere the instant is enough."""
        return (self._now(), self.arrivals.get(_current()))

    def cut(self) -> None:
        """At the end: requests whose users were killed while they waited. Nobody will say what became of them."""
        self.catch_up()
        for mark in self.flying.values():
            sent, arrival = mark if isinstance(mark, tuple) else (mark, None)
            if arrival is None or arrival.taken:  # else it is told of as an arrival
                self._unsent(sent, Outcome.aborted)

    def failed(self, exception: BaseException | None = None, **told: Any) -> None:
        """Locust's ``user_error`` event: the user's own code raised."""
        words = f"{type(exception).__name__}: {exception}".splitlines()[0][:200]
        if words in self.errors or len(self.errors) < 20:
            self.errors[words] = self.errors.get(words, 0) + 1

    def drop(self, due: int) -> None:
        """An arrival for which no user was free."""
        self.vitals.dropped(due)
        self._unsent(due, Outcome.dropped)

    def over(self, arrival: Arrival) -> None:
        """The task is through. One that asked for nothing leaves its arrival unknown."""
        if not arrival.taken:
            self._unsent(arrival.due, Outcome.aborted)

    def watch(self) -> None:
        """For ever: writes to disk, and looks how late this process gets its turns. A greenlet."""
        due = self._clock.monotonic_ns()
        while True:
            due = max(due + int(PULSE * NANOSECONDS), self._clock.monotonic_ns())
            gevent.sleep((due - self._clock.monotonic_ns()) / NANOSECONDS)
            now = self._clock.monotonic_ns()
            self.vitals.sent(due, late=now - due)
            if now >= self.vitals.next_look:
                self.vitals.look(now)
            self.catch_up()
            self._look_at_the_wall(now)
            self.book.flush()

    def _look_at_the_wall(self, now: int) -> None:
        offset = self._clock.wall_ns() - self._clock.monotonic_ns()
        if abs(offset - self._offset) > STEPPED:
            self.vitals.sent(now, late=abs(offset - self._offset))
        self._offset = offset

    def _served_by(self, headers: Any) -> int:
        """Asked whether it is there first: to be told that it is not, as an exception, takes longer."""
        found = headers[self._marker] if headers and self._marker in headers else None
        return self.book.index(str(found).encode("utf-8", "replace")) if found else NO_MARKER

    def _unsent(self, due: int, outcome: Outcome) -> None:
        self.book.write(due, sent=0, end=0, outcome=outcome, status=0, marker=None, reused=True, received=0)
