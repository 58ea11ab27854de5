"""
Samples as columns, one row per *intended* request: what the plan asked for, whether or not the generator did it. Where the generator
lists what was due (a script of the user's, a closed loop) there is a row for each entry.

Called by :mod:`chaosfw.analysis.fold`. It grades requests good, bad or unknown; what follows from that is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from chaosfw.model.arrivals import Arrivals
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Health, Load, Outcome, Seal
from chaosfw.timing import NANOSECONDS

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

GOOD, BAD, UNKNOWN = 0, 1, 2
"""Grades of one request."""

assert max(Outcome) == Outcome.dropped == Outcome.aborted + 1  # what is unknown comes last, but for dns

MISSING = max(Outcome) + 1
"""Outcome of a request that was due and has no sample."""

SLOT = NANOSECONDS // 10
"""A health slot: 100 ms."""

LATE = NANOSECONDS // 20
"""A slot with a request sent more than 50 ms late is unhealthy."""

_LAYOUT = np.dtype(
    [
        ("n", "<i8"),
        ("sent", "<i8"),
        ("end", "<i8"),
        ("status", "<u2"),
        ("marker", "<u2"),
        ("outcome", "u1"),
        ("flags", "u1"),
        ("reserved", "<u2"),
        ("bytes", "<u4"),
    ]
)
assert _LAYOUT.itemsize == SAMPLE.size

Rows = npt.NDArray[np.void]
Columns = tuple[Ints, Ints, Ints, Bytes, npt.NDArray[np.uint16], Bools]
"""due, sent, end, outcome, marker, reused."""

PIECE = 1 << 19
"""Samples of a file that are in memory at once, beside their columns."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """
    All intended requests of one load, in order. ``sent`` is 0 where there is no sample; ``known_end`` is then the latest that it could have
    ended. Ten million of them have to fit into a small machine: columns are as narrow as they can be, and what looks at all of them
    makes no copies that it does not need.
    """

    on: int
    rate: float
    """Requests a second: as planned, or as they came before the fault."""
    timeout: float
    due: Ints
    sent: Ints
    known_end: Ints
    outcome: Bytes
    marker: npt.NDArray[np.uint16]
    reused: Bools
    tainted: Bools
    broken: str

    @cached_property
    def unknown(self) -> Bools:
        """Neither good nor bad, whatever the limit."""
        outcome = self.outcome
        unknown: Bools = (outcome >= Outcome.aborted) | (outcome == Outcome.dns) | self.tainted  # aborted, dropped, missing
        return unknown

    @cached_property
    def graded(self) -> dict[float | None, Bytes]:
        """Grades by limit: several figures look at the same ones."""
        return {}


def pieces(samples: bytes | memoryview | Path) -> Iterator[bytes | memoryview]:
    """The bytes of a sample file, at most PIECE samples at once; a file that is not there has none."""
    size = PIECE * SAMPLE.size
    if not isinstance(samples, Path):
        yield from (samples[at : at + size] for at in range(0, len(samples), size))
    elif samples.exists():
        with samples.open("rb") as file:
            yield from iter(lambda: file.read(size), b"")


def series(
    data: bytes | memoryview | Path,
    *,
    load: Load,
    generator: Generator,
    off: int,
    seal: Seal | None,
    slept: tuple[int, ...] = (),
    calm: tuple[int, int] | None = None,
) -> Series:
    """
    Lays the samples out by request number, or as they are listed. ``off`` and the rate say how many there should be; ``slept`` are
    instants at which the machine woke from suspend; ``calm`` is the baseline, from which a listed load's rate is read.
    """
    found = _planned if generator.schedule == "planned" else _listed
    sheet = _Sheet()
    due, sent, end, outcome, marker, reused = found(sheet, data, load=load, on=generator.on, off=off, seal=seal)
    rate = load.rate if load.open and not load.stages else _came(due, calm=calm or (generator.on, off))
    tainted = _tainted(due=due, sent=sent, end=end, outcome=outcome, on=generator.on, unhealthy=seal.unhealthy if seal else (), slept=slept)
    np.copyto(end, due + round(load.timeout * NANOSECONDS), where=end <= 0)
    return Series(
        on=generator.on,
        rate=rate,
        timeout=load.timeout,
        due=due,
        sent=sent,
        known_end=end,
        outcome=outcome,
        marker=marker,
        reused=reused,
        tainted=tainted,
        broken=_broken(sheet, seal=seal),
    )


@dataclass(slots=True)
class _Sheet:
    """What is noticed while the samples are read, for ``broken``."""

    size: int = 0
    strays: int = 0
    twice: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def read(self, data: bytes | memoryview | Path) -> Iterator[Rows]:
        """The samples, piece by piece, and at the end perhaps a part of one that is left out."""
        for piece in pieces(data):
            self.size += len(piece)
            self.digest.update(piece)
            yield np.frombuffer(piece, dtype=_LAYOUT, count=len(piece) // SAMPLE.size)


def _planned(sheet: _Sheet, data: bytes | memoryview | Path, *, load: Load, on: int, off: int, seal: Seal | None) -> Columns:
    """A row for each request that was due, by its number."""
    arrivals = Arrivals(load)
    count = arrivals.until(off - on)
    if seal is not None and seal.due == count + 1:
        count = seal.due  # both round the instant of the last one; the request was sent
    columns = _columns(_schedule(arrivals, count=count, on=on))
    _, sent, end, outcome, marker, reused = columns
    amount = 0
    for rows in sheet.read(data):
        number = rows["n"]
        inside = (number >= 0) & (number < count)
        if not inside.all():
            sheet.strays += len(number) - int(np.count_nonzero(inside))
            rows, number = rows[inside], number[inside]
        sent[number], end[number], outcome[number], marker[number] = rows["sent"], rows["end"], rows["outcome"], rows["marker"]
        reused[number] = (rows["flags"] & 1) > 0
        amount += len(number)
    sheet.twice = amount - int(np.count_nonzero(outcome != MISSING))
    return columns


def _listed(sheet: _Sheet, data: bytes | memoryview | Path, *, load: Load, on: int, off: int, seal: Seal | None) -> Columns:
    """In order of what was due; what was due before ``on`` is warm-up, and what was due from ``off`` on nobody asked for."""
    found = [rows[(rows["n"] >= on) & (rows["n"] < off)] for rows in sheet.read(data)]
    rows = np.concatenate(found) if found else np.zeros(0, _LAYOUT)
    rows = rows[np.argsort(rows["n"], kind="stable")]
    due, sent, end, outcome, marker = (np.ascontiguousarray(rows[name]) for name in ("n", "sent", "end", "outcome", "marker"))
    return due, sent, end, outcome, marker, (rows["flags"] & 1) > 0


def _schedule(arrivals: Arrivals, *, count: int, on: int) -> Ints:
    """When each is due: as ``Arrivals.due`` says, for all of them at once."""
    due = np.arange(count, dtype=np.float64)
    if len(arrivals.legs) == 1:
        due *= NANOSECONDS / arrivals.legs[0].rate
        due += on
        return np.rint(due, out=due).astype(np.int64)
    edges = np.ceil([leg.first for leg in arrivals.legs]).astype(np.int64).tolist()
    for leg, begin, end in zip(arrivals.legs, edges, [*edges[1:], count], strict=True):
        part = due[min(begin, count) : max(min(end, count), min(begin, count))]
        part -= leg.first
        if leg.slope:
            np.maximum(part, 0.0, out=part)
            root = np.sqrt(np.maximum(0.0, leg.rate * leg.rate + 2 * leg.slope * part))
            root += leg.rate
            np.divide(2 * part, root, out=part, where=root > 0)
        else:
            part *= 1 / leg.rate
        part += leg.begin
    due *= NANOSECONDS
    due += on
    return np.rint(due, out=due).astype(np.int64)


def _columns(due: Ints) -> Columns:
    """Of so many requests of which nothing is known yet."""
    count = len(due)
    return (
        due,
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.full(count, MISSING, np.uint8),
        np.full(count, NO_MARKER, np.uint16),
        np.zeros(count, np.bool_),
    )


def _came(due: Ints, *, calm: tuple[int, int]) -> float:
    """Requests a second between two instants; never 0, so that nobody divides by it."""
    begin, end = calm
    amount = int(np.searchsorted(due, end) - np.searchsorted(due, begin))
    return max(amount, 1) * NANOSECONDS / max(end - begin, 1)


def silence(series: Series, *, until: int) -> float:
    """The longest time, in seconds, in which no request was under way, from the first one on to the instant ``until``."""
    asked = series.sent > 0
    if not asked.any():
        return 0.0
    order = np.argsort(series.sent[asked], kind="stable")
    sent, ended = series.sent[asked][order], np.maximum.accumulate(series.known_end[asked][order])
    return max(0.0, float(max((sent[1:] - ended[:-1]).max(initial=0), until - ended[-1])) / NANOSECONDS)


def grades(series: Series, *, limit: float | None) -> Bytes:
    """
    Good, bad or unknown for each intended request. Latency lies in [end - sent, end - intended]: a request that straddles
    ``limit`` (seconds) is unknown. Aborted, dropped, missing and tainted ones are unknown, and those that the generator had no
    address for.
    """
    if limit in series.graded:
        return series.graded[limit]
    grade: Bytes = (series.outcome != Outcome.ok).astype(np.uint8)
    if limit is not None:
        allowed = round(limit * NANOSECONDS)
        ok = grade == GOOD
        grade[ok & (series.known_end - series.due > allowed)] = UNKNOWN
        grade[ok & (series.known_end - series.sent > allowed)] = BAD
    grade[series.unknown] = UNKNOWN
    series.graded[limit] = grade
    return grade


def _tainted(*, due: Ints, sent: Ints, end: Ints, outcome: Bytes, on: int, unhealthy: tuple[Health, ...], slept: tuple[int, ...]) -> Bools:
    """Requests that were due while the generator itself was not well. Reads lateness from the samples, not from its word."""
    if not len(due):
        return np.zeros(0, np.bool_)
    last = int((due[-1] - on) // SLOT)
    sick = np.zeros(last + 1, np.bool_)
    unwell = sent - due > LATE
    unwell &= (outcome != MISSING) & (outcome != Outcome.dropped)
    unwell |= (outcome == Outcome.dropped) | (outcome == Outcome.dns)
    sick[(due[unwell] - on) // SLOT] = True
    for one in unhealthy:
        first, final = (one.at - on) // SLOT, (one.at + SLOT - 1 - on) // SLOT
        sick[max(first, 0) : max(final + 1, 0)] = True
    tainted = np.zeros(len(due), np.bool_)
    for slot in np.flatnonzero(sick).tolist():
        begin, over = np.searchsorted(due, (on + slot * SLOT, on + (slot + 1) * SLOT))
        tainted[begin:over] = True
    for woke in slept:
        tainted |= (due <= woke) & ((end >= woke - 2 * SLOT) | (due >= woke - 2 * SLOT))
    return tainted


def _broken(sheet: _Sheet, *, seal: Seal | None) -> str:
    if seal is None:
        return "the generator left no seal"
    if seal.lost:
        return (
            f"{seal.lost:,} requests waited longer than the load's time-out, so others may never have been told of: "
            "timeout= has to be at least what the script allows"
        )
    if sheet.size != seal.count * SAMPLE.size:
        return f"the seal names {seal.count:,} samples, the file holds {sheet.size / SAMPLE.size:,.6g}"
    if sheet.twice:
        return f"{sheet.twice:,} samples share a number with another"
    if sheet.strays:
        return f"{sheet.strays:,} samples belong to no intended request"
    if sheet.digest.hexdigest() != seal.sha256:
        return "the samples are not those that the seal was made over"
    return ""
