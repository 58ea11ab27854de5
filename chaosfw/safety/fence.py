"""
Who writes on behalf of a run: process groups and environment marks, recorded where a healer of another process finds them,
and the killing of all of them.

The runner records before it injects; the watchdog and ``chaosfw heal`` kill before they revert. Only processes that the run
started are ever named here, and a recycled process id is told apart by its start time.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from chaosfw.model.struct import Noun
from chaosfw.safety.ledger import write_durably

FILE = "writers.json"


class Writer(Noun, frozen=True, kw_only=True):
    """One process group that a run started. ``token`` is what its descendants carry in their environment."""

    pgid: int
    started: str
    token: str = ""


def start_time(pid: int) -> str:
    """The process's start in clock ticks since boot, which with the pid names it for ever; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def record(directory: Path, writers: Sequence[tuple[int, str]]) -> None:
    """Who would have to be killed: ``(process group, token)`` each."""
    known = [{"pgid": pgid, "started": start_time(pgid), "token": token} for pgid, token in writers]
    write_durably(directory / FILE, json.dumps(known).encode())


def recorded(directory: Path) -> tuple[Writer, ...]:
    path = directory / FILE
    if not path.exists():
        return ()
    return tuple(Writer(pgid=one["pgid"], started=one["started"], token=one["token"]) for one in json.loads(path.read_bytes()))


def fence(directory: Path, *, kill_marked: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """Kills all recorded writers and what carries their tokens; returns the ids that were killed, when they are gone."""
    killed: list[int] = []
    for writer in recorded(directory):
        if writer.started and start_time(writer.pgid) == writer.started:
            _kill_group(writer.pgid)
            killed.append(writer.pgid)
        if writer.token:
            killed += kill_marked(writer.token)
    return tuple(dict.fromkeys(killed))


def _kill_group(pgid: int) -> None:
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was quicker
