"""
Samples on their way from whoever sent the requests to whoever keeps the book: frames over a pipe or a connection.

Written by the prober's parts and by Locust's workers, read by the process that leaves the seal. A frame is its kind, its length and its
payload; rows are samples as they are in the book, with markers by the writer's own numbers, and instants by its own clock.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Sequence

import msgspec

from chaosfw.load.book import Book, Ended
from chaosfw.model.load import NO_MARKER, SAMPLE, Health, Outcome
from chaosfw.model.struct import but, encode

_FRAME = struct.Struct("<cI")
_MARKER_AT = struct.calcsize("<qqqH")
LARGEST = 1 << 26
"""Bytes of a payload; more than that is no frame."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    return _FRAME.pack(kind, len(payload)) + payload


class Unframed:
    """Takes pieces as they come, gives whole frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Sequence[tuple[bytes, bytes]]:
        """Raises ValueError for what can not be one."""
        data, at, found = self._rest + piece, 0, []
        while len(data) - at >= _FRAME.size:
            kind, size = _FRAME.unpack_from(data, at)
            if size > LARGEST:
                raise ValueError(f"{size} bytes are announced, at most {LARGEST} were expected")
            if len(data) - at - _FRAME.size < size:
                break
            at += _FRAME.size + size
            found.append((kind, data[at - size : at]))
        self._rest = data[at:]
        return found


class Frames:
    """What a sender writes: samples, lateness, and last what it has to say. ``put`` is given whole frames."""

    def __init__(self, put: Callable[[bytes], None]) -> None:
        self._put = put
        self._rows = bytearray()
        self._late = array("q")
        self._indices: dict[bytes, int] = {}
        self.count = 0

    def late(self, nanoseconds: int) -> None:
        self._late.append(nanoseconds)

    def write(
        self, number: int, *, sent: int, end: int, outcome: Outcome, status: int, marker: bytes | None, reused: bool, received: int
    ) -> None:
        index = NO_MARKER if marker is None else self.index(marker)
        self.take(SAMPLE.pack(number, sent, end, status, index, outcome, 1 if reused else 0, 0, min(received, 0xFFFFFFFF)))

    def take(self, row: bytes) -> None:
        """A sample that is packed already, with a marker by our numbers."""
        self._rows += row
        self.count += 1

    def flush(self) -> None:
        if self._rows:
            self._put(frame(b"r", bytes(self._rows)))
            self._rows.clear()
        if self._late:
            self._put(frame(b"l", self._late.tobytes()))
            self._late = array("q")

    def end(self, ended: Ended) -> None:
        self.flush()
        self._put(frame(b"e", encode(ended)))

    def index(self, marker: bytes) -> int:
        """The number that stands for a marker in the samples."""
        found = self._indices.get(marker)
        if found is None:
            if len(self._indices) >= NO_MARKER - 1:
                return NO_MARKER
            found = self._indices[marker] = len(self._indices)
            self._put(frame(b"m", marker))
        return found


class Incoming:
    """The other end. ``shift`` is what its clock is behind ours, ns, and is added to every instant; ``listed`` says that n is one too."""

    def __init__(self, book: Book, *, listed: bool = False) -> None:
        self._book, self._listed = book, listed
        self.shift = 0
        self.ended: Ended | None = None
        self._markers: dict[int, int] = {NO_MARKER: NO_MARKER}
        self._same = True

    def take(self, kind: bytes, payload: bytes) -> bool:
        """Whether it was one of ours."""
        if kind == b"r":
            self._book.take(self._shifted(self._renamed(payload)))
        elif kind == b"m":
            mine = len(self._markers) - 1
            self._markers[mine] = self._book.index(payload)
            self._same = self._same and self._markers[mine] == mine
        elif kind == b"l":
            self._book.all_late(array("q", payload))
        elif kind == b"e":
            self.ended = self._last(msgspec.json.decode(payload, type=Ended))
        else:
            return False
        return True

    def _renamed(self, rows: bytes) -> bytes:
        """With the book's numbers for the markers."""
        if self._same:
            return rows
        words = array("H", rows)
        place, width = _MARKER_AT // 2, SAMPLE.size // 2
        words[place::width] = array("H", [self._markers[one] for one in words[place::width]])
        return words.tobytes()

    def _shifted(self, rows: bytes) -> bytes:
        shift = self.shift
        if not shift:
            return rows
        return b"".join(
            SAMPLE.pack(n + shift if self._listed else n, sent and sent + shift, end and end + shift, *rest)
            for n, sent, end, *rest in SAMPLE.iter_unpack(rows)
        )

    def _last(self, ended: Ended) -> Ended:
        return but(ended, off=ended.off + self.shift, unhealthy=tuple(but(slot, at=slot.at + self.shift) for slot in ended.unhealthy))


def together(ended: Sequence[Ended], *, off: int, broken: str = "", said: Sequence[str] = ()) -> Ended:
    """What several say at their end, as one. ``broken``: why it is not whole."""
    return Ended(
        off=off,
        due=sum(one.due for one in ended),
        unhealthy=_slots(ended),
        suspended=any(one.suspended for one in ended),
        lookups=sum(one.lookups for one in ended),
        lookups_failed=sum(one.lookups_failed for one in ended),
        exhausted=sum(one.exhausted for one in ended),
        ended=broken,
        lost=sum(one.lost for one in ended),
        said=tuple(said),
    )


def _slots(ended: Sequence[Ended]) -> tuple[Health, ...]:
    """A slot in which any of them was unwell, once: the worst of it, and all that was left unsent."""
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
