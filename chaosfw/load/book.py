"""
The book of samples: what became of each request, in order of completion, hashed as it is written.

Kept by every generator, in its own process. Records are buffered for at most one tick, so that the runner can read a sliding window
while the load runs.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from pathlib import Path

from chaosfw.model.load import NO_MARKER, SAMPLE, Health, Outcome, Seal
from chaosfw.model.struct import Noun, encode

_MOST_MARKERS = NO_MARKER - 1


class Ended(Noun, frozen=True, kw_only=True):
    """What a generator says at its end, beside its samples: goes into the seal as it is."""

    off: int
    due: int
    unhealthy: tuple[Health, ...] = ()
    suspended: bool = False
    lookups: int = 0
    lookups_failed: int = 0
    exhausted: int = 0
    ended: str = ""
    lost: int = 0
    said: tuple[str, ...] = ()


class Book:
    """``samples.bin``, and what its seal will say."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._hash = hashlib.sha256()
        self._rows = bytearray()
        self._indices: dict[bytes, int] = {}
        self._lateness = array("q")
        self.count = 0

    def late(self, nanoseconds: int) -> None:
        """Notes how late one request was sent."""
        self._lateness.append(nanoseconds)

    def write(
        self, number: int, *, sent: int, end: int, outcome: Outcome, status: int, marker: bytes | None, reused: bool, received: int
    ) -> None:
        index = NO_MARKER if marker is None else self.index(marker)
        self._rows += SAMPLE.pack(number, sent, end, status, index, outcome, 1 if reused else 0, 0, min(received, 0xFFFFFFFF))
        self.count += 1

    def take(self, rows: bytes) -> None:
        """Whole samples that somebody else has packed, with markers by our numbers."""
        self._rows += rows
        self.count += len(rows) // SAMPLE.size

    def all_late(self, nanoseconds: array[int]) -> None:
        self._lateness.extend(nanoseconds)

    def flush(self) -> None:
        if not self._rows:
            return
        rest = memoryview(bytes(self._rows))
        self._rows.clear()
        self._hash.update(rest)
        while rest:
            rest = rest[os.write(self._file, rest) :]

    def close(self) -> str:
        """The hash of everything that was written."""
        self.flush()
        os.fsync(self._file)
        os.close(self._file)
        return self._hash.hexdigest()

    @property
    def markers(self) -> tuple[str, ...]:
        return tuple(marker.decode("utf-8", "replace") for marker in self._indices)

    def lateness(self) -> tuple[float, float, float]:
        """p50, p99 and max, in seconds."""
        if not self._lateness:
            return (0.0, 0.0, 0.0)
        ordered = sorted(self._lateness)
        last = len(ordered) - 1
        return (ordered[last // 2] / 1e9, ordered[last * 99 // 100] / 1e9, ordered[last] / 1e9)

    def index(self, marker: bytes) -> int:
        """The number that stands for a marker in the samples."""
        found = self._indices.get(marker)
        if found is None:
            if len(self._indices) >= _MOST_MARKERS:
                return NO_MARKER
            found = self._indices[marker] = len(self._indices)
        return found


def seal(book: Book, out: Path, ended: Ended) -> Seal:
    """Closes the book and writes ``seal.json`` beside it, last and at once."""
    digest = book.close()
    made = Seal(
        count=book.count,
        sha256=digest,
        off=ended.off,
        due=ended.due,
        markers=book.markers,
        lateness=book.lateness(),
        unhealthy=ended.unhealthy,
        suspended=ended.suspended,
        lookups=ended.lookups,
        lookups_failed=ended.lookups_failed,
        exhausted=ended.exhausted,
        ended=ended.ended,
        lost=ended.lost,
        said=ended.said,
    )
    fresh = out / ".seal.json"
    fresh.write_bytes(encode(made))
    os.replace(fresh, out / "seal.json")
    return made
