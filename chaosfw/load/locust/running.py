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
from locust.contrib.fasthttp import FastHttpUser

from chaosfw.load.book import Ended, seal
from chaosfw.load.locust import strict
from chaosfw.load.locust.driver import spawn_rate, users
from chaosfw.load.locust.pacing import Pacing
from chaosfw.load.locust.recording import Recording
from chaosfw.load.orders import Orders, Ready
from chaosfw.model.load import Generator, Load
from chaosfw.model.struct import encode
from chaosfw.timing import SYSTEM


def arguments(orders: Orders) -> list[str]:
    """Locust's command line."""
    load, script = orders.load, orders.load.script
    assert script is not None
    found = [*script.classes, "-f", str(Path(script.file).resolve()), "--headless", "--only-summary", "--host", orders.url]
    found += ["--stop-timeout", str(math.ceil(load.timeout)), "--exit-code-on-error", "0"]
    if users(load):
        found += ["--users", str(users(load)), "--spawn-rate", f"{spawn_rate(load):g}"]
    found += ["--tags", *script.tags] if script.tags else []
    found += ["--exclude-tags", *script.exclude_tags] if script.exclude_tags else []
    return found


class Running:
    """Listens to Locust's events, from the first to the seal."""

    def __init__(self, orders: Orders, *, said: int) -> None:
        self._load, self._out, self._said = orders.load, Path(orders.out), said
        self._recording = Recording(orders.load, out=self._out, clock=SYSTEM)
        self._pacing = Pacing(self._recording, rate=orders.load.rate, clock=SYSTEM) if orders.load.open else None
        self._environment: Any = None
        self._sealed = False
        if self._pacing is not None:
            self._pacing.install()
        strict.watched(self._recording.begun, self._recording.ended)
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
            said=tuple(self._words()),
        )
        seal(self._recording.book, self._out, told_last)

    def _init(self, environment: Any, **told: Any) -> None:
        self._environment = environment
        if users(self._load):
            environment.shape_class = None  # how many there are has been said
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
        generator = Generator(
            name="locust",
            version=locust.__version__,
            model="open" if self._load.open else "closed",
            schedule="listed",
            on=self._recording.on,
            pid=os.getpid(),
            blind=tuple(blind(self._environment.user_classes, load=self._load)),
        )
        os.write(self._said, encode(Ready(generator=generator)) + b"\n")
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

    def _words(self) -> list[str]:
        total = self._environment.stats.total if self._environment is not None else None
        found = []
        if total is not None and total.num_requests:
            found.append(
                f"Locust's own summary: {total.num_requests:,} requests, {total.num_failures:,} failed, "
                f"p95 {total.get_response_time_percentile(0.95):g} ms"
            )
        return found + [f"{amount:,} times the locustfile raised {words}" for words, amount in self._recording.errors.items()]


def blind(classes: list[Any], *, load: Load) -> list[str]:
    """What these User classes hide or can not see."""
    found = []
    for one in classes:
        if retries := getattr(one, "max_retries", 0):
            found.append(f"{one.__name__} retries up to {retries} times by itself: failed attempts are hidden in a longer answer")
        if not issubclass(one, FastHttpUser):
            continue
        if getattr(one, "insecure", False) and str(getattr(one, "host", "")).startswith("https"):
            found.append(f"{one.__name__} checks no certificates")
        longest = max(float(one.network_timeout), float(one.connection_timeout))
        if longest > load.timeout:
            found.append(f"{one.__name__} waits up to {longest:g} s, longer than the load's time-out of {load.timeout:g} s")
    return found
