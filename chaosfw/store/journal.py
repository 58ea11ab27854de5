"""
The journal on disk: one JSON line per event, appended as it happens, sealed with a hash of itself.

Written by the engine through ``ports.Journal``; read by ``analysis``' callers, the report and ``chaosfw watch``. A line is
in the file when ``write`` returns, so a killed runner loses nothing; ``sync`` is for lines that must survive a lost machine.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import msgspec

from chaosfw.errors import UsageError
from chaosfw.model.event import AnyEvent, RunOpened, RunSealed
from chaosfw.model.struct import encode
from chaosfw.store import schema

_DECODER = msgspec.json.Decoder(AnyEvent)


class JournalFile:
    """Implements ``ports.Journal``. One writer; refuses a file that is already there, and any word after the seal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._hash = hashlib.sha256()
        self._lines = 0
        self._sealed = False

    def write(self, event: AnyEvent, *, sync: bool = False) -> None:
        if self._sealed:
            raise UsageError(f"{self.path}: the journal is sealed; {type(event).__name__} came too late")
        self._append(encode(event) + b"\n", sync=sync)

    def seal(self, at: int) -> None:
        """Appends the count and the hash of all lines so far, and closes the file. Safe twice."""
        if self._sealed:
            return
        self.write(RunSealed(at=at, lines=self._lines, sha256=self._hash.hexdigest()), sync=True)
        self._sealed = True
        self.close()

    def close(self) -> None:
        """Lets go of the file without a seal. Safe twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> JournalFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _append(self, line: bytes, *, sync: bool) -> None:
        rest = line
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._hash.update(line)
        self._lines += 1
        if sync:
            os.fsync(self._descriptor)


AFTERMATH = "aftermath.jsonl"
"""Beside a journal whose writer died: what a healer did afterwards, in the same words. The journal itself is never written again."""


def write_aftermath(journal: Path, events: Sequence[AnyEvent]) -> None:
    """Adds what happened after the end of a run that died."""
    with journal.with_name(AFTERMATH).open("ab") as file:
        file.write(b"".join(encode(event) + b"\n" for event in events))
        file.flush()
        os.fsync(file.fileno())


def read_journal(path: Path) -> tuple[tuple[AnyEvent, ...], bool]:
    """
    The events, and whether the journal ends with a seal that fits it. After them comes what a healer did after a run that died.

    A torn last line is dropped (a killed writer leaves one); damage before it raises UsageError with the line's number.
    """
    data = path.read_bytes()
    lines = data.split(b"\n")
    torn = lines.pop() != b""
    events = tuple(_events(lines, path=path, torn=torn))
    if events and isinstance(events[0], RunOpened):
        schema.accept("journal", events[0].schema, where=str(path))
    sealed = not torn and len(events) == len(lines) and _sealed(data, lines=lines, last=events[-1] if events else None)
    return events + _aftermath(path), sealed


def _aftermath(journal: Path) -> tuple[AnyEvent, ...]:
    path = journal.with_name(AFTERMATH)
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return tuple(_events(lines, path=path, torn=False))


def _events(lines: list[bytes], *, path: Path, torn: bool) -> list[AnyEvent]:
    events: list[AnyEvent] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(_DECODER.decode(line))
        except msgspec.DecodeError as error:
            if number == len(lines) and not torn:
                break
            raise UsageError(f"{path}:{number}: the journal is damaged: {error}", hint="nothing after this line can be trusted") from error
    return events


def _sealed(data: bytes, *, lines: list[bytes], last: AnyEvent | None) -> bool:
    if not isinstance(last, RunSealed) or last.lines != len(lines) - 1:
        return False
    before = data[: len(data) - len(lines[-1]) - 1]
    return hashlib.sha256(before).hexdigest() == last.sha256
