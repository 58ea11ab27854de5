"""
One load sent by several processes: part i sends requests i, i + n, i + 2n …, and this process keeps the book for all of them.

Run by ``chaosfw.processes.prober``. Parts are forked, so that they are ready at once; each writes frames into a pipe of its own and reads
one from this process, whose end is theirs. All of them stop at one instant, which is told a little ahead, so that what was due until then
is sent by whoever's turn it was.
"""

from __future__ import annotations

import os
import select
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from chaosfw.load.book import Book, Ended
from chaosfw.load.frames import Frames, Incoming, Unframed, together
from chaosfw.load.orders import Orders
from chaosfw.load.prober.sending import HEAD_START, WORD, Sending
from chaosfw.timing import NANOSECONDS, Clock

AHEAD = NANOSECONDS // 50
"""The instant at which all stop is told so long before: 20 ms."""

_TICK = NANOSECONDS // 40
_PIECE = 1 << 18


class Part:
    """One of the processes, as the keeper of the book sees it: ``pipe`` is what it writes, ``word`` what it reads."""

    def __init__(self, *, pid: int, pipe: int, word: int, book: Book) -> None:
        self.pid, self.pipe, self._word = pid, pipe, word
        self._frames = Unframed()
        self._incoming = Incoming(book)

    @property
    def ended(self) -> Ended | None:
        return self._incoming.ended

    @property
    def descriptors(self) -> tuple[int, int]:
        return self.pipe, self._word

    def stop(self, until: int) -> None:
        try:
            os.write(self._word, WORD.pack(until))
            os.close(self._word)
        except BrokenPipeError:
            pass  # it is gone, which is noticed where its frames end

    def read(self) -> bool:
        """What has come, into the book. False at the end of it."""
        piece = os.read(self.pipe, _PIECE)
        for kind, payload in self._frames.feed(piece):
            self._incoming.take(kind, payload)
        return bool(piece)


def forked(orders: Orders, *, clock: Clock, on: int, part: int, of: int, book: Book, others: Sequence[Part]) -> Part:
    """A new process that sends its share. It keeps nothing of the others': an end that it held would never come."""
    theirs, word = os.pipe()
    pipe, written = os.pipe()
    pid = os.fork()
    if pid == 0:
        for descriptor in (0, 1, word, pipe, *(one for other in others for one in other.descriptors)):
            os.close(descriptor)
        _send(orders, clock=clock, on=on, part=part, of=of, stdin=theirs, frames=Frames(lambda data: _write(written, data)))
    os.close(theirs)
    os.close(written)
    return Part(pid=pid, pipe=pipe, word=word, book=book)


class Parts:
    """All of them, from the first request to the last frame."""

    def __init__(self, orders: Orders, *, clock: Clock, stdin: int, amount: int) -> None:
        self._clock, self._stdin = clock, stdin
        self.book = Book(Path(orders.out) / "samples.bin")
        self.on = clock.monotonic_ns() + HEAD_START * (1 + amount)
        self._parts: list[Part] = []
        for number in range(amount):
            self._parts.append(forked(orders, clock=clock, on=self.on, part=number, of=amount, book=self.book, others=self._parts))
        self._asked = False
        self._off = 0

    def stop(self) -> None:
        """May be called from a signal handler."""
        self._asked = True

    def run(self) -> Ended:
        """Until all have ended, as they were told or because one of them died."""
        poll = select.poll()
        open_ones = {part.pipe: part for part in self._parts}
        for descriptor in (self._stdin, *open_ones):
            poll.register(descriptor, select.POLLIN)
        while open_ones:
            for descriptor, _ in poll.poll(_TICK / 1e6):
                part = open_ones.get(descriptor)
                if part is None:
                    poll.unregister(self._stdin)
                    self._asked = True
                elif not part.read():
                    poll.unregister(descriptor)
                    del open_ones[descriptor]
                    self._asked = True  # nobody ends by itself: without this one the load is not whole, so all stop
            self.book.flush()
            if self._asked and not self._off:
                self._off = max(self._clock.monotonic_ns() + AHEAD, self.on)
                for part in self._parts:
                    part.stop(self._off)
        return _together([(part, os.waitstatus_to_exitcode(os.waitpid(part.pid, 0)[1])) for part in self._parts], off=self._off)


def _send(orders: Orders, *, clock: Clock, on: int, part: int, of: int, stdin: int, frames: Frames) -> NoReturn:
    """In the new process: never returns into what was forked."""
    try:
        frames.end(Sending(orders, clock=clock, stdin=stdin, book=frames, on=on, part=part, of=of).run())
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _together(parts: Sequence[tuple[Part, int]], *, off: int) -> Ended:
    there = [part.ended for part, _ in parts if part.ended is not None]
    gone = [(number, code) for number, (part, code) in enumerate(parts, start=1) if part.ended is None]
    words = [f"process {number} of {len(parts)} of the prober died ({_how(code)})" for number, code in gone]
    return together(there, off=off, broken="; ".join(words))


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
