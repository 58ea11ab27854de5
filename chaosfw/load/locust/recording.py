"""
One sample for each request that Locust tells of, into the book; whose turn it was to be sent, where arrivals are on a schedule.

Runs in the child ``python -m chaosfw.processes.locust`` only, where gevent has patched the standard library: one thread, so that
nothing here needs a lock. Locust's own statistics are not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gevent

from chaosfw.load.book import Book
from chaosfw.load.frames import Frames
from chaosfw.load.health import Vitals
from chaosfw.load.locust.outcomes import outcome_of
from chaosfw.model.load import Load, Outcome
from chaosfw.timing import NANOSECONDS, Clock

_current = gevent.getcurrent

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
        self.book = book
        self.arrivals: dict[Any, Arrival] = {}
        self._flying: dict[object, tuple[int, Arrival | None]] = {}
        self.errors: dict[str, int] = {}
        self.on = clock.monotonic_ns()
        self.off = 0
        self.vitals = Vitals(clock, on=self.on)
        self._offset = clock.wall_ns() - clock.monotonic_ns()

    def begin(self, on: int) -> None:
        """What was due before is warm-up."""
        self.on = on

    def request(
        self,
        *,
        response_time: float = 0.0,
        exception: Any = None,
        response: Any = None,
        start_time: float | None = None,
        response_length: int | None = 0,
        **_told: Any,
    ) -> None:
        """Locust's ``request`` event. It stamps the start by the wall, and measures the length, in ms, by itself."""
        end = self._now()
        took = max(0, int((response_time or 0.0) * 1e6))
        sent = end - took
        if start_time is not None:
            sent = min(int(start_time * NANOSECONDS) - self._offset, sent)
        due, arrival = sent, self.arrivals.get(_current()) if self.arrivals else None
        if arrival is not None and not arrival.taken:
            arrival.taken, due = True, arrival.due
            self.book.late(sent - due)
            self.vitals.sent(due, late=sent - due)
        status = int(getattr(response, "status_code", 0) or 0)
        self.book.write(
            due,
            sent=sent,
            end=sent + took,
            outcome=Outcome.ok if exception is None else outcome_of(exception, status=status),
            status=min(status, 0xFFFF),
            marker=self._served_by(response) if self._marker else None,
            reused=True,  # which connection it went over, Locust does not tell
            received=int(response_length or 0),
        )

    def begun(self) -> object:
        """A request leaves; what it gives has to be given back when it is over."""
        mine = object()
        self._flying[mine] = (self._now(), self.arrivals.get(_current()) if self.arrivals else None)
        return mine

    def ended(self, mine: object) -> None:
        self._flying.pop(mine, None)

    def cut(self) -> None:
        """At the end: requests whose users were killed while they waited. Nobody will say what became of them."""
        for sent, arrival in self._flying.values():
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
            self._look_at_the_wall(now)
            self.book.flush()

    def _look_at_the_wall(self, now: int) -> None:
        offset = self._clock.wall_ns() - self._clock.monotonic_ns()
        if abs(offset - self._offset) > STEPPED:
            self.vitals.sent(now, late=abs(offset - self._offset))
        self._offset = offset

    def _served_by(self, response: Any) -> bytes | None:
        headers = getattr(response, "headers", None)
        found = headers.get(self._marker) if headers else None
        return str(found).encode("utf-8", "replace") if found else None

    def _unsent(self, due: int, outcome: Outcome) -> None:
        self.book.write(due, sent=0, end=0, outcome=outcome, status=0, marker=None, reused=True, received=0)
