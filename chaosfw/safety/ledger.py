"""
The undo records of one environment, durable: one line a step, each with a checksum, each on disk before the step is taken.

A torn last line was never acted on, because every act waits for its fsync: it is dropped. Damage anywhere else means that the
file can not be trusted: LedgerDamaged, and no new run starts. After a failed write this object refuses to go on.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from chaosfw.errors import LedgerDamaged
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, encode

FILE = "ledger.jsonl"


class LedgerFile:
    """ports.Ledger in a directory. One writer at a time: the holder of the environment's lock."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / FILE
        self._broken = ""
        directory.mkdir(parents=True, exist_ok=True)

    def prepare(self, undos: Sequence[Undo], *, epoch: int) -> None:
        """All records of one fault, in one fsync, before its call."""
        self._append([UndoRecord(undo=undo, state=UndoState.prepared, epoch=epoch) for undo in undos])

    def advance(self, record: UndoRecord) -> None:
        self._append([record])

    def records(self) -> tuple[UndoRecord, ...]:
        """The newest word on every record, oldest record first. Raises LedgerDamaged."""
        newest: dict[str, UndoRecord] = {}
        for record in read_ledger(self._path):
            newest[record.undo.id] = record
        return tuple(newest.values())

    def open(self) -> tuple[UndoRecord, ...]:
        still = [record for record in self.records() if record.state is not UndoState.closed]
        return tuple(sorted(still, key=lambda record: (record.undo.run, record.undo.order), reverse=True))

    def snapshot(self, run: str, world: Mapping[str, Json]) -> None:
        write_durably(self._directory / f"world-{run}.json", json.dumps(dict(world), sort_keys=True).encode())

    def world_before(self, run: str) -> Mapping[str, Json] | None:
        """The snapshot of a run, None where none was taken."""
        path = self._directory / f"world-{run}.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else None

    def adopt(self, records: Sequence[UndoRecord]) -> tuple[UndoRecord, ...]:
        """Takes in records that were found elsewhere and that this ledger does not know; those that it took."""
        known = {record.undo.id for record in self.records()}
        fresh = tuple(record for record in records if record.undo.id not in known)
        if fresh:
            self._append(fresh)
        return fresh

    def watched(self, runs: str) -> tuple[str, ...]:
        """Runs whose id begins so and which nobody has ended: their snapshot is still there."""
        paths = self._directory.glob("world-*.json")
        return tuple(sorted(run for path in paths if (run := path.stem.removeprefix("world-")).startswith(runs)))

    def forget(self, run: str) -> None:
        """Drops what is not needed once a run is closed and audited: its snapshot, and the ledger when nothing in it is open."""
        (self._directory / f"world-{run}.json").unlink(missing_ok=True)
        if not self.open():
            self._path.unlink(missing_ok=True)
            sync_directory(self._directory)

    def _append(self, records: Sequence[UndoRecord]) -> None:
        if self._broken:
            raise LedgerDamaged(f"{self._path}: not written any more, because a write failed: {self._broken}")
        try:
            drop_torn_line(self._path)
            with self._path.open("ab") as file:
                file.write(b"".join(_line(record) for record in records))
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._directory)
        except OSError as trouble:
            self._broken = str(trouble)
            raise LedgerDamaged(
                f"{self._path}: {trouble}", hint="nothing is injected without a durable undo record; free space, then run again"
            ) from trouble


def read_ledger(path: Path) -> tuple[UndoRecord, ...]:
    """Every line in order; a torn last one is left out. Raises LedgerDamaged naming the line."""
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    *whole, _torn = lines
    records = []
    for number, line in enumerate(whole, start=1):
        try:
            records.append(_parsed(line))
        except ValueError as trouble:
            raise LedgerDamaged(
                f"{path}:{number}: {trouble}", hint="compare the environment by hand (chaosfw audit), then move the file away"
            ) from trouble
    return tuple(records)


def drop_torn_line(path: Path) -> None:
    """Cuts what a lost machine left of an unfinished line, so that the next one starts at a line's start."""
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


def write_durably(path: Path, data: bytes) -> None:
    """The whole file or the old one, on disk when it returns."""
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _line(record: UndoRecord) -> bytes:
    text = encode(record)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _parsed(line: bytes) -> UndoRecord:
    checksum, _, text = line.partition(b" ")
    if not text or checksum != b"%08x" % zlib.crc32(text):
        raise ValueError("the checksum does not fit: the ledger is damaged")
    return msgspec.json.decode(text, type=UndoRecord)
