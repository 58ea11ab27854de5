"""
One of several Locust processes that share a load: its users ask, and what became of each request goes to the master in frames.

Runs in ``python -m chaosfw.processes.locust_worker`` only. Beside Locust's own connection, over which users are given out, it has one of
ours: samples go up; the clock is compared, the first arrival named and the end said on the way down. When that connection ends, so does
this process.
"""

from __future__ import annotations

import math
import os
import socket
import struct
from pathlib import Path
from typing import Any

import gevent
import gevent.lock
import locust
import msgspec

from chaosfw.load.book import Ended
from chaosfw.load.frames import Frames, Unframed, frame
from chaosfw.load.locust import strict
from chaosfw.load.locust.pacing import Pacing
from chaosfw.load.locust.recording import Recording
from chaosfw.load.locust.words import raised
from chaosfw.load.orders import Orders
from chaosfw.model.struct import Noun, encode
from chaosfw.timing import SYSTEM

PING, PONG = struct.Struct("<q"), struct.Struct("<qq")
"""An instant of the master; the same and one of the worker. A ``PING`` by the worker's clock is the word to stop, then."""

BEGIN = struct.Struct("<qqq")
"""The instant of request 0 by the worker's clock, the worker's number, how many there are."""

BOOT = Path("/proc/sys/kernel/random/boot_id")


class Hello(Noun, frozen=True, kw_only=True):
    """A worker's first word. The clocks of processes of one boot of one machine are the same."""

    pid: int
    host: str
    boot: str


class Welcome(Noun, frozen=True, kw_only=True):
    """The master's answer: what to do, and where Locust's own master listens."""

    orders: Orders
    port: int


class Worker:
    """Listens to Locust's events, from the first to the last frame."""

    def __init__(self, connection: socket.socket, *, rest: Unframed, load_orders: Orders) -> None:
        self._connection, self._unframed, self._load = connection, rest, load_orders.load
        self._lock = gevent.lock.RLock()  # two greenlets that write would mix their frames
        self._frames = Frames(self._put)
        self._recording = Recording(load_orders.load, book=self._frames, clock=SYSTEM)
        self._pacing = Pacing(self._recording, rate=load_orders.load.rate, clock=SYSTEM) if load_orders.load.open else None
        self._environment: Any = None
        self._last = False
        if self._pacing is not None:
            self._pacing.install()
        strict.watched(self._recording.flying, self._recording.mark)
        locust.events.init.add_listener(self._init)
        locust.events.request.add_listener(self._recording.request)
        locust.events.user_error.add_listener(self._recording.failed)

    def finish(self) -> None:
        """The last frame, once."""
        if self._last:
            return
        self._last = True
        recording = self._recording
        recording.vitals.look(SYSTEM.monotonic_ns())
        recording.cut()
        ended = Ended(
            off=recording.off or SYSTEM.monotonic_ns(),
            due=self._frames.count,
            unhealthy=recording.vitals.unhealthy(),
            suspended=recording.vitals.suspended,
            said=tuple(raised(recording.errors)),
        )
        self._frames.end(ended)
        self._connection.shutdown(socket.SHUT_WR)

    def _init(self, environment: Any, **told: Any) -> None:
        self._environment = environment
        self._recording.instead_of(environment.events)
        gevent.spawn(self._recording.watch)
        gevent.spawn(self._listen)

    def _listen(self) -> None:
        while piece := self._connection.recv(4096):
            for kind, payload in self._unframed.feed(piece):
                self._heard(kind, payload)
        os._exit(1)  # the master is gone: nobody would hear what its users found

    def _heard(self, kind: bytes, payload: bytes) -> None:
        if kind == b"p":
            self._put(frame(b"q", PONG.pack(*PING.unpack(payload), SYSTEM.monotonic_ns())))
        elif kind == b"b" and self._pacing is not None:
            on, part, of = BEGIN.unpack(payload)
            gevent.spawn(self._pacing.run, on, part=part, of=of)
        elif kind == b"s":
            (self._recording.off,) = PING.unpack(payload)
            gevent.spawn_later(math.ceil(self._load.timeout) + 1.0, self._leave)

    def _leave(self) -> None:
        """Locust takes too long to go: what was asked before the stop has ended by now or is cut."""
        self.finish()
        os._exit(0)

    def _put(self, data: bytes) -> None:
        with self._lock:
            self._connection.sendall(data)


def greeted(connection: socket.socket, unframed: Unframed) -> Welcome:
    """Says hello and awaits the answer. Raises ConnectionError when there is none, or none that we understand."""
    hello = Hello(pid=os.getpid(), host=socket.gethostname(), boot=BOOT.read_text().strip())
    connection.sendall(frame(b"h", encode(hello)))
    while piece := connection.recv(65536):
        for kind, payload in unframed.feed(piece):
            if kind == b"w":
                return msgspec.json.decode(payload, type=Welcome)
    raise ConnectionError("the master ended the connection")
