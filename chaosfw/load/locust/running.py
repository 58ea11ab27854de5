"""
One locustfile from Locust's first event to the seal: says that it is ready when all users are there, ends when it is told to.

Runs in the child ``python -m chaosfw.processes.locust`` only.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import gevent
import locust

from chaosfw.load.book import Book, Ended, seal
from chaosfw.load.locust import strict
from chaosfw.load.locust.driver import users
from chaosfw.load.locust.pacing import Pacing
from chaosfw.load.locust.recording import Recording
from chaosfw.load.locust.words import generator, raised, summary
from chaosfw.load.orders import Orders, Ready
from chaosfw.model.struct import encode
from chaosfw.timing import SYSTEM


class Running:
    """Listens to Locust's events, from the first to the seal."""

    def __init__(self, orders: Orders, *, said: int) -> None:
        self._load, self._out, self._said = orders.load, Path(orders.out), said
        self._book = Book(self._out / "samples.bin")
        self._recording = Recording(orders.load, book=self._book, clock=SYSTEM)
        self._pacing = Pacing(self._recording, rate=orders.load.rate, clock=SYSTEM) if orders.load.open else None
        self._environment: Any = None
        self._sealed = False
        if self._pacing is not None:
            self._pacing.install()
        strict.watched(self._recording.flying, self._recording.mark)
        events = locust.events
        events.init.add_listener(self._init)
        events.request.add_listener(self._recording.request)
        events.user_error.add_listener(self._recording.failed)
        events.spawning_complete.add_listener(self._all_there)

    def finish(self, ended: str) -> None:
        """The seal, once; ``ended`` counts where nobody had told it to end."""
        if self._sealed:
            return
        self._sealed = True
        told = bool(self._recording.off)
        off = self._recording.off or SYSTEM.monotonic_ns()
        self._recording.vitals.look(SYSTEM.monotonic_ns())
        self._recording.cut()
        vitals = self._recording.vitals
        told_last = Ended(
            off=off,
            due=self._recording.book.count,
            unhealthy=vitals.unhealthy(),
            suspended=vitals.suspended,
            ended="" if told else ended,
            said=(*summary(self._environment), *raised(self._recording.errors)),
        )
        seal(self._book, self._out, told_last)

    def _init(self, environment: Any, **told: Any) -> None:
        self._environment = environment
        if users(self._load):
            environment.shape_class = None  # how many there are has been said
        self._recording.instead_of(environment.events)
        gevent.spawn(self._recording.watch)
        gevent.spawn(self._await_the_end)

    def _all_there(self, **told: Any) -> None:
        """Every time that a shape is reached; the first one counts."""
        if self._said < 0:
            return
        if self._pacing is None:
            self._recording.begin(SYSTEM.monotonic_ns())
            self._ready()
        else:
            gevent.spawn(self._pacing.run)
            gevent.spawn(self._ready)  # after the first turn has been given its instant

    def _ready(self) -> None:
        made = generator(self._load, on=self._recording.on, classes=self._environment.user_classes)
        os.write(self._said, encode(Ready(generator=made)) + b"\n")
        os.close(self._said)
        self._said = -1

    def _await_the_end(self) -> None:
        """Of standard input, which is the runner's word to stop; then users finish their task, for at most one time-out."""
        while gevent.os.tp_read(0, 1):
            pass
        self._recording.off = SYSTEM.monotonic_ns()
        gevent.spawn_later(math.ceil(self._load.timeout) + 1.0, self._leave)
        self._environment.runner.quit()

    def _leave(self) -> None:
        """Locust takes too long to go. What was asked before the stop has ended by now or is cut: that is sealed without it."""
        self.finish("")
        os._exit(0)
