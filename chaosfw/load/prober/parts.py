"""
One load sent by several processes: part i sends requests i, i + n, i + 2n …, and this process keeps the book for all of them.

Run by ``chaosfw.processes.prober``. Parts are forked, so that they are ready at once; each writes frames into a pipe of its own and reads
one from this process, whose end is theirs. All of them stop at one instant, which is told a little ahead, so that what was due until then
is sent by whoever's turn it was.
"""

from __future__ import annotations

import os
import select
import struct
import traceback
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from chaosfw.load.book import Book, Ended
from chaosfw.load.orders import Orders
from chaosfw.load.prober.sending import HEAD_START, WORD, Sending
from chaosfw.model.load import NO_MARKER, SAMPLE, Health, Outcome
from chaosfw.model.struct import but, encode
from chaosfw.timing import NANOSECONDS, Clock

AHEAD = NANOSECONDS // 50
"""The instant at which all stop is told so long before: 20 ms."""

_FRAME = struct.Struct("<cI")
_TICK = NANOSECONDS // 40
_PIECE = 1 << 18


class Frames:
    """What a part writes: a :class:`~chaosfw.load.prober.sending.Writer` over a pipe."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rows = bytearray()
        self._late = array("q")
        self._indices: dict[bytes, int] = {}

    def late(self, nanoseconds: int) -> None:
        self._late.append(nanoseconds)

    def write(
        self, number: int, *, sent: int, end: int, outcome: Outcome, status: int, marker: bytes | None, reused: bool, received: int
    ) -> None:
        index = NO_MARKER if marker is None else self._index(marker)
        self._rows += SAMPLE.pack(number, sent, end, status, index, outcome, 1 if reused else 0, 0, min(received, 0xFFFFFFFF))

    def flush(self) -> None:
        if self._rows:
            self._put(b"r", bytes(self._rows))
            self._rows.clear()
        if self._late:
            self._put(b"l", self._late.tobytes())
            self._late = array("q")

    def end(self, ended: Ended) -> None:
        self.flush()
        self._put(b"e", encode(ended))

    def _index(self, marker: bytes) -> int:
        found = self._indices.get(marker)
        if found is None:
            found = self._indices[marker] = len(self._indices)
            self._put(b"m", marker)
        return found

    def _put(self, kind: bytes, payload: bytes) -> None:
        rest = memoryview(_FRAME.pack(kind, len(payload)) + payload)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class Part:
    """One of the processes, as the keeper of the book sees it: ``pipe`` is what it writes, ``word`` what it reads."""

    def __init__(self, *, pid: int, pipe: int, word: int) -> None:
        self.pid, self.pipe, self._word = pid, pipe, word
        self.ended: Ended | None = None
        self._rest = b""
        self._markers: dict[int, int] = {NO_MARKER: NO_MARKER}

    @property
    def descriptors(self) -> tuple[int, int]:
        return self.pipe, self._word

    def stop(self, until: int) -> None:
        try:
            os.write(self._word, WORD.pack(until))
            os.close(self._word)
        except BrokenPipeError:
            pass  # it is gone, which is noticed where its frames end

    def read(self, book: Book) -> bool:
        """What has come, into the book. False at the end of it."""
        piece = os.read(self.pipe, _PIECE)
        data, at = self._rest + piece, 0
        while len(data) - at >= _FRAME.size:
            kind, size = _FRAME.unpack_from(data, at)
            if len(data) - at - _FRAME.size < size:
                break
            self._frame(kind, data[at + _FRAME.size : at + _FRAME.size + size], book)
            at += _FRAME.size + size
        self._rest = data[at:]
        return bool(piece)

    def _frame(self, kind: bytes, payload: bytes, book: Book) -> None:
        if kind == b"r":
            book.take(self._renamed(payload))
        elif kind == b"m":
            self._markers[len(self._markers) - 1] = book.index(payload)
        elif kind == b"l":
            book.all_late(array("q", payload))
        else:
            self.ended = msgspec.json.decode(payload, type=Ended)

    def _renamed(self, rows: bytes) -> bytes:
        """With the book's numbers for the markers."""
        if all(mine == theirs for mine, theirs in self._markers.items()):
            return rows
        words = array("H", rows)
        place, width = _MARKER_AT // 2, SAMPLE.size // 2
        words[place::width] = array("H", [self._markers[one] for one in words[place::width]])
        return words.tobytes()


_MARKER_AT = struct.calcsize("<qqqH")


def forked(orders: Orders, *, clock: Clock, on: int, part: int, of: int, others: Sequence[Part]) -> Part:
    """A new process that sends its share. It keeps nothing of the others': an end that it held would never come."""
    theirs, word = os.pipe()
    pipe, written = os.pipe()
    pid = os.fork()
    if pid == 0:
        for descriptor in (0, 1, word, pipe, *(one for other in others for one in other.descriptors)):
            os.close(descriptor)
        _send(orders, clock=clock, on=on, part=part, of=of, stdin=theirs, frames=Frames(written))
    os.close(theirs)
    os.close(written)
    return Part(pid=pid, pipe=pipe, word=word)


class Parts:
    """All of them, from the first request to the last frame."""

    def __init__(self, orders: Orders, *, clock: Clock, stdin: int, amount: int) -> None:
        self._clock, self._stdin = clock, stdin
        self.book = Book(Path(orders.out) / "samples.bin")
        self.on = clock.monotonic_ns() + HEAD_START * (1 + amount)
        self._parts: list[Part] = []
        for number in range(amount):
            self._parts.append(forked(orders, clock=clock, on=self.on, part=number, of=amount, others=self._parts))
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
                elif not part.read(self.book):
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


def _together(parts: Sequence[tuple[Part, int]], *, off: int) -> Ended:
    there = [part.ended for part, _ in parts if part.ended is not None]
    gone = [(number, code) for number, (part, code) in enumerate(parts, start=1) if part.ended is None]
    words = [f"process {number} of {len(parts)} of the prober died ({_how(code)})" for number, code in gone]
    return Ended(
        off=off,
        due=sum(one.due for one in there),
        unhealthy=_slots(there),
        suspended=any(one.suspended for one in there),
        lookups=sum(one.lookups for one in there),
        lookups_failed=sum(one.lookups_failed for one in there),
        exhausted=sum(one.exhausted for one in there),
        ended="; ".join(words),
    )


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _slots(ended: Sequence[Ended]) -> tuple[Health, ...]:
    """A slot in which any part was unwell, once: the worst of it, and all that was left unsent."""
    found: dict[int, Health] = {}
    for slot in (slot for one in ended for slot in one.unhealthy):
        known = found.get(slot.at)
        found[slot.at] = (
            slot
            if known is None
            else but(
                known,
                lateness_max=max(known.lateness_max, slot.lateness_max),
                dropped=known.dropped + slot.dropped,
                cpu=max(known.cpu, slot.cpu),
                unresolved=known.unresolved + slot.unresolved,
            )
        )
    return tuple(found[at] for at in sorted(found))
