"""
Samples as columns, one row per *intended* request: what the plan asked for, whether or not the generator did it. Where the generator
lists what was due (a script of the user's, a closed loop) there is a row for each entry.

Called by :mod:`chaosfw.analysis.fold`. It grades requests good, bad or unknown; what follows from that is decided elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

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


@dataclass(frozen=True, kw_only=True)
class Series:
    """All intended requests of one load, in order. ``end`` and ``sent`` are 0 where there is no sample."""

    on: int
    rate: float
    """Requests a second: as planned, or as they came before the fault."""
    timeout: float
    due: Ints
    sent: Ints
    end: Ints
    outcome: Bytes
    marker: npt.NDArray[np.uint16]
    reused: Bools
    tainted: Bools
    broken: str

    @cached_property
    def known_end(self) -> Ints:
        """The end of each request; where there is none, the latest that it could have been."""
        latest: Ints = self.due + round(self.timeout * NANOSECONDS)
        return np.where(self.end > 0, self.end, latest)

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


def raw(samples: bytes | memoryview | Path) -> bytes | memoryview:
    """The bytes of a sample file; a file that is not there has none."""
    if not isinstance(samples, Path):
        return samples
    return samples.read_bytes() if samples.exists() else b""


def series(
    data: bytes | memoryview,
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
    rows = np.frombuffer(data, dtype=_LAYOUT, count=len(data) // SAMPLE.size)
    if generator.schedule == "listed":
        return _listed(rows, data, load=load, on=generator.on, off=off, seal=seal, slept=slept, calm=calm)
    return _planned(rows, data, load=load, on=generator.on, off=off, seal=seal, slept=slept)


def _planned(rows: Rows, data: bytes | memoryview, *, load: Load, on: int, off: int, seal: Seal | None, slept: tuple[int, ...]) -> Series:
    whole = len(rows)
    count = due_until(off, on=on, rate=load.rate)
    if seal is not None and seal.due == count + 1:
        count = seal.due  # both round the instant of the last one; the request was sent
    number = rows["n"]
    inside = (number >= 0) & (number < count)
    if not inside.all():
        rows, number = rows[inside], number[inside]
    due = np.rint(on + np.arange(count) * (NANOSECONDS / load.rate)).astype(np.int64)
    sent, end = np.zeros(count, np.int64), np.zeros(count, np.int64)
    outcome = np.full(count, MISSING, np.uint8)
    marker = np.full(count, NO_MARKER, np.uint16)
    reused = np.zeros(count, np.bool_)
    sent[number], end[number], outcome[number], marker[number] = rows["sent"], rows["end"], rows["outcome"], rows["marker"]
    reused[number] = (rows["flags"] & 1) > 0
    twice = len(number) - int(np.count_nonzero(outcome != MISSING))
    return Series(
        on=on,
        rate=load.rate,
        timeout=load.timeout,
        due=due,
        sent=sent,
        end=end,
        outcome=outcome,
        marker=marker,
        reused=reused,
        tainted=_tainted(due=due, sent=sent, end=end, outcome=outcome, on=on, unhealthy=seal.unhealthy if seal else (), slept=slept),
        broken=_broken(data, seal=seal, twice=twice, strays=whole - len(number)),
    )


def _listed(
    rows: Rows,
    data: bytes | memoryview,
    *,
    load: Load,
    on: int,
    off: int,
    seal: Seal | None,
    slept: tuple[int, ...],
    calm: tuple[int, int] | None,
) -> Series:
    """In order of what was due; what was due before ``on`` is warm-up, and what was due from ``off`` on nobody asked for."""
    rows = rows[(rows["n"] >= on) & (rows["n"] < off)]
    rows = rows[np.argsort(rows["n"], kind="stable")]
    due, sent, end = (np.ascontiguousarray(rows[name]) for name in ("n", "sent", "end"))
    outcome = np.ascontiguousarray(rows["outcome"])
    return Series(
        on=on,
        rate=load.rate or _came(due, calm=calm or (on, off)),
        timeout=load.timeout,
        due=due,
        sent=sent,
        end=end,
        outcome=outcome,
        marker=np.ascontiguousarray(rows["marker"]),
        reused=(rows["flags"] & 1) > 0,
        tainted=_tainted(due=due, sent=sent, end=end, outcome=outcome, on=on, unhealthy=seal.unhealthy if seal else (), slept=slept),
        broken=_broken(data, seal=seal, twice=0, strays=0),
    )


def _came(due: Ints, *, calm: tuple[int, int]) -> float:
    """Requests a second between two instants; never 0, so that nobody divides by it."""
    begin, end = calm
    amount = int(np.searchsorted(due, end) - np.searchsorted(due, begin))
    return max(amount, 1) * NANOSECONDS / max(end - begin, 1)


def silence(series: Series) -> float:
    """The longest time, in seconds, in which no request was under way between the first one and the last."""
    asked = series.sent > 0
    if not asked.any():
        return 0.0
    order = np.argsort(series.sent[asked], kind="stable")
    sent, ended = series.sent[asked][order], np.maximum.accumulate(series.known_end[asked][order])
    return max(0.0, float((sent[1:] - ended[:-1]).max(initial=0)) / NANOSECONDS)


def due_until(off: int, *, on: int, rate: float) -> int:
    """How many requests are due in [on, off)."""
    return max(0, int(np.ceil((off - on) * rate / NANOSECONDS - 1e-9)))


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
        grade[ok & (series.end - series.due > allowed)] = UNKNOWN
        grade[ok & (series.end - series.sent > allowed)] = BAD
    grade[series.unknown] = UNKNOWN
    series.graded[limit] = grade
    return grade


def _tainted(*, due: Ints, sent: Ints, end: Ints, outcome: Bytes, on: int, unhealthy: tuple[Health, ...], slept: tuple[int, ...]) -> Bools:
    """Requests that were due while the generator itself was not well. Reads lateness from the samples, not from its word."""
    if not len(due):
        return np.zeros(0, np.bool_)
    slot = (due - on) // SLOT
    sick = np.zeros(int(slot[-1]) + 1, np.bool_)
    sent_at_all = (outcome != MISSING) & (outcome != Outcome.dropped)
    sick[slot[(sent_at_all & (sent - due > LATE)) | (outcome == Outcome.dropped) | (outcome == Outcome.dns)]] = True
    for one in unhealthy:
        first = (one.at - on) // SLOT
        last = (one.at + SLOT - 1 - on) // SLOT
        sick[max(first, 0) : max(last + 1, 0)] = True
    tainted: Bools = sick[slot]
    for woke in slept:
        tainted |= (due <= woke) & ((end >= woke - 2 * SLOT) | (due >= woke - 2 * SLOT))
    return tainted


def _broken(data: bytes | memoryview, *, seal: Seal | None, twice: int, strays: int) -> str:
    if seal is None:
        return "the generator left no seal"
    if len(data) != seal.count * SAMPLE.size:
        return f"the seal names {seal.count:,} samples, the file holds {len(data) / SAMPLE.size:,.6g}"
    if twice:
        return f"{twice:,} samples share a number with another"
    if strays:
        return f"{strays:,} samples belong to no intended request"
    if hashlib.sha256(data).hexdigest() != seal.sha256:
        return "the samples are not those that the seal was made over"
    return ""
