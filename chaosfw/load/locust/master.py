"""
Several Locust processes as one load: starts the workers or awaits those that others start, keeps the book for all of them, says when the
load is there, ends it when it is told to or when one of them is lost.

Runs in the child ``python -m chaosfw.processes.locust`` only. Locust's own master gives the users out. The clock of a worker on another
machine is compared with ours all the time, as NTP does (Mills, RFC 5905): what its clock showed while a question was under way is taken
for the middle, and the quickest of the last answers is believed. Half of that answer's way is how wrong it can be.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import locust
import msgspec

from chaosfw.load.book import Book, Ended, seal
from chaosfw.load.frames import Incoming, Unframed, frame, together
from chaosfw.load.locust.driver import users
from chaosfw.load.locust.recording import PULSE
from chaosfw.load.locust.words import generator, summary
from chaosfw.load.locust.worker import BEGIN, BOOT, PING, PONG, Hello, Welcome
from chaosfw.load.orders import Orders, Ready
from chaosfw.model.load import Health
from chaosfw.model.struct import encode
from chaosfw.timing import NANOSECONDS, SYSTEM, nanoseconds, seconds

HEAD_START = NANOSECONDS // 5
"""The first arrival is due so long after the workers are told: 200 ms."""

PINGS = 0.1
"""Seconds between two looks at a worker's clock."""
KEPT = 50
DRIFT = NANOSECONDS // 2000
"""What two clocks may part in the time of the answers that are kept: 100 parts in a million of five seconds."""
VAGUE = NANOSECONDS // 100
FEWEST = 5
"""Answers that the first instant of a worker has to wait for."""

_PDEATHSIG = 1


class Clock:
    """How far another machine's clock is behind ours, from questions and answers."""

    def __init__(self, *, same: bool) -> None:
        self._answers: deque[tuple[int, int]] = deque(maxlen=KEPT)
        self.same = same
        self.known = gevent.event.Event()
        self.worst = 0
        """The widest error that was ever believed, ns."""
        if same:
            self.known.set()

    def answered(self, *, asked: int, theirs: int, now: int) -> None:
        self._answers.append((now - asked, (asked + now) // 2 - theirs))
        if len(self._answers) >= FEWEST:
            self.known.set()
            self.worst = max(self.worst, min(self._answers)[0] // 2 + DRIFT)

    @property
    def shift(self) -> int:
        return 0 if self.same or not self._answers else min(self._answers)[1]


class Peer:
    """A worker, as the master sees it."""

    def __init__(self, connection: socket.socket, *, number: int, hello: Hello, book: Book) -> None:
        self.connection, self.number, self.hello = connection, number, hello
        self.clock = Clock(same=hello.boot == BOOT.read_text().strip())
        self.incoming = Incoming(book, listed=True)
        self.over = gevent.event.Event()
        self._waiting: list[tuple[bytes, bytes]] = []

    @property
    def name(self) -> str:
        return f"worker {self.number + 1}" + ("" if self.clock.same else f" on {self.hello.host}")

    def take(self, kind: bytes, payload: bytes) -> None:
        if kind == b"q":
            asked, theirs = PONG.unpack(payload)
            self.clock.answered(asked=asked, theirs=theirs, now=SYSTEM.monotonic_ns())
            return
        self._waiting.append((kind, payload))
        if self.clock.known.is_set():  # what came before its clock is known has to wait for that
            self.incoming.shift = self.clock.shift
            for one in self._waiting:
                self.incoming.take(*one)
            self._waiting.clear()

    def tell(self, kind: bytes, payload: bytes = b"") -> None:
        try:
            self.connection.sendall(frame(kind, payload))
        except OSError:
            pass  # it is gone, which is noticed where its frames end

    def compare(self) -> None:
        """Its clock with ours, for ever. A greenlet."""
        while not self.over.is_set() and not self.clock.same:
            self.tell(b"p", PING.pack(SYSTEM.monotonic_ns()))
            gevent.sleep(PINGS)


class Master:
    """Listens to Locust's events and to the workers, from the first to the seal."""

    def __init__(self, orders: Orders, *, said: int) -> None:
        assert orders.load.script is not None
        self._orders, self._load, self._script, self._said = orders, orders.load, orders.load.script, said
        self._amount = max(1, orders.load.processes)
        self._book = Book(Path(orders.out) / "samples.bin")
        self._peers: list[Peer] = []
        self._environment: Any = None
        self._on = self._off = 0
        self._lost = ""
        self._sealed = False
        host, _, port = self._script.listen.rpartition(":")
        self._host, self._port = host or "127.0.0.1", int(port or 0)
        self._listening = socket.create_server((self._host, self._port))
        locust.events.init.add_listener(self._init)
        locust.events.spawning_complete.add_listener(self._all_there)

    def arguments(self) -> list[str]:
        """Locust's own port is the one after ours, where somebody may have to open both."""
        port = str(self._port + 1 if self._port else 0)
        return ["--master", "--expect-workers", str(self._amount), "--master-bind-host", self._host, "--master-bind-port", port]

    def finish(self, ended: str) -> None:
        """The seal, once, when all workers have said their last or had the time to."""
        if self._sealed:
            return
        self._sealed = True
        told, off = bool(self._off), self._off or SYSTEM.monotonic_ns()
        gevent.wait([peer.over for peer in self._peers], timeout=math.ceil(self._load.timeout) + 3.0)
        there = [peer.incoming.ended for peer in self._peers if peer.incoming.ended is not None]
        silent = [peer.name for peer in self._peers if peer.incoming.ended is None]
        broken = self._lost or (f"{silent[0]} was lost" if silent else "" if told else ended)
        words = [f"{peer.name}: {one}" for peer in self._peers if peer.incoming.ended for one in peer.incoming.ended.said]
        last = together(there, off=off, broken=broken, said=[*summary(self._environment), *self._clocks(), *words])
        seal(self._book, Path(self._orders.out), self._counted(last))

    def _counted(self, ended: Ended) -> Ended:
        """A clock that is known too badly for one request to be told from the next (rule 4 of measuring.md) taints the whole load."""
        worst = max(VAGUE, NANOSECONDS / self._load.rate if self._load.open else 0.0)
        vague = [peer for peer in self._peers if peer.clock.worst > worst]
        slots: list[Health] = []
        for peer in vague:
            slots += [Health(at=at, lateness_max=seconds(peer.clock.worst)) for at in range(self._on, ended.off, NANOSECONDS // 10)]
        return msgspec.structs.replace(ended, due=self._book.count, unhealthy=(*ended.unhealthy, *slots))

    def _clocks(self) -> list[str]:
        others = [peer for peer in self._peers if not peer.clock.same]
        return [
            f"{peer.name}: its clock is {seconds(peer.clock.shift):+.6f} s from ours, known to {seconds(peer.clock.worst) * 1000:.3f} ms"
            for peer in others
        ]

    def _init(self, environment: Any, **told: Any) -> None:
        self._environment = environment
        if users(self._load):
            environment.shape_class = None  # how many there are has been said
        gevent.spawn(self._flush)
        gevent.spawn(self._await_the_end)
        gevent.spawn(self._accept)
        if not self._script.listen:
            for _ in range(self._amount):
                self._start()

    def _start(self) -> None:
        """A worker of our own, in our group; it ends with us whatever ends us."""
        _, port = self._listening.getsockname()[:2]
        words = [sys.executable, "-m", "chaosfw.processes.locust_worker", f"{self._host}:{port}", str(Path(self._script.file).resolve())]
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2, preexec_fn=_die_with_us)
        gevent.spawn(self._follow, child)

    def _follow(self, child: subprocess.Popen[bytes]) -> None:
        code = child.wait()
        if not self._said < 0 and code:
            sys.stderr.write(f"a worker of Locust ended with exit code {code} before the load was there\n")
            os._exit(1)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            gevent.spawn(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        """One worker, from its hello to its end."""
        unframed, peer = Unframed(), None
        try:
            while piece := connection.recv(1 << 16):
                for kind, payload in unframed.feed(piece):
                    if peer is None:
                        peer = self._welcome(connection, payload)
                    else:
                        peer.take(kind, payload)
        except (OSError, ValueError, msgspec.DecodeError) as trouble:
            sys.stderr.write(f"a worker's connection: {trouble}\n")
        if peer is not None:
            peer.over.set()
            if peer.incoming.ended is None:
                self._lose(peer)

    def _welcome(self, connection: socket.socket, payload: bytes) -> Peer:
        peer = Peer(connection, number=len(self._peers), hello=msgspec.json.decode(payload, type=Hello), book=self._book)
        self._peers.append(peer)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.tell(b"w", encode(Welcome(orders=self._orders, port=self._environment.runner.server.port)))
        gevent.spawn(peer.compare)
        return peer

    def _lose(self, peer: Peer) -> None:
        """What it had under way is not known any more: the load is not whole and ends."""
        if self._off or self._lost:
            return
        self._lost = f"{peer.name} was lost while the load ran"
        if self._said >= 0:
            sys.stderr.write(f"{peer.name} was lost before the load was there\n")
            os._exit(1)
        self._stop()

    def _all_there(self, **told: Any) -> None:
        """Every time that a shape is reached; the first one counts."""
        if self._said < 0 or self._on:
            return
        self._on = SYSTEM.monotonic_ns()
        gevent.spawn(self._begin)

    def _begin(self) -> None:
        gevent.wait([peer.clock.known for peer in self._peers])
        self._on = SYSTEM.monotonic_ns() + (HEAD_START if self._load.open else 0)
        for peer in self._peers:
            peer.tell(b"b", BEGIN.pack(self._on - peer.clock.shift, peer.number, len(self._peers)))
        made = generator(self._load, on=self._on, classes=self._environment.user_classes)
        os.write(self._said, encode(Ready(generator=made)) + b"\n")
        os.close(self._said)
        self._said = -1

    def _await_the_end(self) -> None:
        while gevent.os.tp_read(0, 1):
            pass
        self._stop()

    def _stop(self) -> None:
        self._off = self._off or SYSTEM.monotonic_ns()
        for peer in self._peers:
            peer.tell(b"s", PING.pack(self._off - peer.clock.shift))
        gevent.spawn_later(math.ceil(self._load.timeout) + 3.0, self._leave)
        self._environment.runner.quit()

    def _leave(self) -> None:
        self.finish("")
        os._exit(0)

    def _flush(self) -> None:
        due = SYSTEM.monotonic_ns()
        while True:
            due = max(due + nanoseconds(PULSE), SYSTEM.monotonic_ns())
            gevent.sleep(seconds(due - SYSTEM.monotonic_ns()))
            if not self._sealed:
                self._book.flush()


def _die_with_us() -> None:
    """In the worker, before it is one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
