"""
Where a game day lies on disk: its folder, the folders of its runs, and the one link to the newest.

Called by the doors and by ``assembly``. Several xdist workers write into one game day: each run has a folder of its own,
claimed by an atomic ``mkdir``, and leaves its line there; whoever ends the game day collects the lines.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from chaosfw.errors import UsageError
from chaosfw.model.plan import Plan
from chaosfw.model.record import GameDay, Record, RunLine
from chaosfw.model.struct import Noun
from chaosfw.store import schema
from chaosfw.store.journal import JournalFile
from chaosfw.timing import NANOSECONDS

_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_SLUG_LENGTH = 60

OWNER = ".owner"


class Owner(Noun, frozen=True, kw_only=True):
    """A process, by its id and its start in clock ticks since boot."""

    pid: int
    started: str


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``runs/<nn>-<slug>``: everything about one run."""

    path: Path

    @property
    def name(self) -> str:
        """As a run line names it: relative to the game day."""
        return f"runs/{self.path.name}"

    @property
    def journal(self) -> Path:
        return self.path / "journal.jsonl"

    @property
    def samples(self) -> Path:
        return self.path / "samples.bin"

    @property
    def record(self) -> Path:
        return self.path / "record.json"

    def open_journal(self) -> JournalFile:
        return JournalFile(self.journal)

    def write_plan(self, plan: Plan) -> None:
        write_atomically(self.path / "plan.json", _pretty(plan))

    def read_plan(self) -> Plan:
        return msgspec.json.decode((self.path / "plan.json").read_bytes(), type=Plan)

    def write_record(self, record: Record) -> None:
        write_atomically(self.record, msgspec.json.encode(record))

    def write_line(self, line: RunLine) -> None:
        """The run's row on the first screen. Written again when the verdict becomes final."""
        write_atomically(self.path / "line.json", _pretty(line))

    def read_line(self) -> RunLine | None:
        """None where the run has not come as far."""
        path = self.path / "line.json"
        return msgspec.json.decode(path.read_bytes(), type=RunLine) if path.exists() else None

    def read_record(self) -> Record:
        return schema.load_file(self.record, kind="record", noun=Record)


@dataclass(frozen=True, slots=True)
class GameDayFolder:
    """``<root>/<UTC time>-<four characters>``."""

    path: Path

    @classmethod
    def create(cls, root: Path, *, wall_ns: int) -> GameDayFolder:
        """A new folder that nobody else has. ``wall_ns`` names it."""
        stamp = datetime.fromtimestamp(wall_ns // NANOSECONDS, tz=UTC).strftime("%Y%m%dT%H%M%SZ")
        while True:
            path = root / f"{stamp}-{''.join(secrets.choice(_LETTERS) for _ in range(4))}"
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                continue
            (path / "runs").mkdir()
            return cls(path)

    @classmethod
    def open(cls, path: Path) -> GameDayFolder:
        """One that is there, for an xdist worker or a reader. ``reports/latest`` is followed."""
        if not (path / "runs").is_dir():
            raise UsageError(f"{path} is not a game-day folder: it has no runs/", hint="name a folder below reports/, or reports/latest")
        return cls(path.resolve())

    @property
    def name(self) -> str:
        return self.path.name

    def new_run(self, slug: str) -> RunFolder:
        """The next run's folder. Its number is claimed by one ``mkdir``, so two workers never share it."""
        claims = self.path / "runs" / ".claims"
        claims.mkdir(exist_ok=True)
        number = 1 + max((int(one.name) for one in claims.iterdir()), default=0)
        while True:
            try:
                (claims / f"{number:02d}").mkdir()
            except FileExistsError:
                number += 1
                continue
            path = self.path / "runs" / f"{number:02d}-{slug_of(slug)}"
            path.mkdir()
            return RunFolder(path)

    def runs(self) -> tuple[RunFolder, ...]:
        """All runs, in the order of their numbers."""
        folders = (one for one in (self.path / "runs").iterdir() if one.is_dir() and not one.name.startswith("."))
        return tuple(RunFolder(path) for path in sorted(folders, key=_number))

    def collect(self) -> tuple[RunLine, ...]:
        """The lines of all runs that have one yet."""
        return tuple(line for run in self.runs() if (line := run.read_line()) is not None)

    def write(self, day: GameDay) -> None:
        """Writes ``gameday.json`` with the lines collected now."""
        write_atomically(self.path / "gameday.json", _pretty(msgspec.structs.replace(day, runs=self.collect())))

    def read(self) -> GameDay:
        return schema.load_file(self.path / "gameday.json", kind="gameday", noun=GameDay)

    def claim(self, owner: Owner) -> None:
        """Says which process will end the game day; it stands until :meth:`tidy`."""
        write_atomically(self.path / OWNER, msgspec.json.encode(owner))

    def owner(self) -> Owner | None:
        """Which process will end the game day; None when it has been ended."""
        path = self.path / OWNER
        return msgspec.json.decode(path.read_bytes(), type=Owner) if path.exists() else None

    def tidy(self) -> None:
        """Takes away what only the running of the game day needed: claims, and the notes by which its processes found each other."""
        shutil.rmtree(self.path / "runs" / ".claims", ignore_errors=True)
        for note in (*self.path.glob(".sandbox*"), self.path / OWNER):
            note.unlink(missing_ok=True)

    def make_latest(self) -> None:
        """Points ``<root>/latest`` here, in one step: a reader sees the old one or this one."""
        fresh = self.path.parent / f".latest-{secrets.token_hex(4)}"
        fresh.symlink_to(self.path.name)
        os.replace(fresh, self.path.parent / "latest")


def runs_in(path: Path) -> tuple[RunFolder, ...]:
    """The run that a folder is, or those of the game day that it is, as far as they have a plan. Raises UsageError when it is neither."""
    found = (RunFolder(path),) if (path / "plan.json").exists() else GameDayFolder.open(path).runs()
    planned = tuple(run for run in found if (run.path / "plan.json").exists())
    if not planned:
        raise UsageError(f"{path}: no run in there has a plan", hint="name a run's folder, reports/latest/runs/01-…, or a game day's")
    return planned


def write_line(run_folder: Path, line: RunLine) -> None:
    """:meth:`RunFolder.write_line` for a path."""
    RunFolder(run_folder).write_line(line)


def collect(gameday: Path) -> tuple[RunLine, ...]:
    """:meth:`GameDayFolder.collect` for a path."""
    return GameDayFolder(gameday).collect()


def write_atomically(path: Path, data: bytes) -> None:
    """A reader sees the old content or the new one, never half of it."""
    fresh = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        with fresh.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def slug_of(title: str) -> str:
    """A title as part of a file name: lower case letters, digits and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return slug[:_SLUG_LENGTH].rstrip("-") or "run"


def _number(path: Path) -> tuple[int, str]:
    digits = path.name.partition("-")[0]
    return (int(digits) if digits.isdigit() else 0, path.name)


def _pretty(noun: Noun) -> bytes:
    return msgspec.json.format(msgspec.json.encode(noun), indent=2) + b"\n"
