"""
Who writes on behalf of a run: process groups and environment marks, recorded where a healer of another process finds them,
and the killing of all of them.

The runner records before it injects; the watchdog and ``chaosfw heal`` kill before they revert. Only processes that the run
started are ever named here, and a recycled process id is told apart by its start time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from chaosfw.model.struct import Noun, encode
from chaosfw.safety.ledger import write_durably

KillMarked = Callable[[str], Sequence[int]]
"""Kills whatever carries a token in its environment."""


class Writer(Noun, frozen=True, kw_only=True):
    """One process group that a run started. ``token`` is what its descendants carry in their environment."""

    pgid: int
    started: str
    token: str = ""


class Writers(Noun, frozen=True, kw_only=True):
    """All writers of one runner. Several runners share an environment's folder; each has a file of its own."""

    runner: int
    started: str
    writers: tuple[Writer, ...] = ()


def start_time(pid: int) -> str:
    """The process's start in clock ticks since boot, which with the pid names it for ever; empty when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]


def path_of(directory: Path, runner: int) -> Path:
    return directory / f"writers-{runner}.json"


def record(directory: Path, *, runner: int, writers: Sequence[tuple[int, str]]) -> None:
    """Who would have to be killed after this runner: ``(process group, token)`` each."""
    known = tuple(Writer(pgid=pgid, started=start_time(pgid), token=token) for pgid, token in writers)
    write_durably(path_of(directory, runner), encode(Writers(runner=runner, started=start_time(runner), writers=known)))


def forget(directory: Path, *, runner: int) -> None:
    path_of(directory, runner).unlink(missing_ok=True)


def fence(directory: Path, *, runner: int, kill_marked: KillMarked) -> tuple[int, ...]:
    """Kills all recorded writers of one runner and what carries their tokens; their ids, when they are gone."""
    path = path_of(directory, runner)
    if not path.exists():
        return ()
    killed: list[int] = []
    for writer in msgspec.json.decode(path.read_bytes(), type=Writers).writers:
        if writer.started and start_time(writer.pgid) == writer.started:
            _kill_group(writer.pgid)
            killed.append(writer.pgid)
        if writer.token:
            killed += kill_marked(writer.token)
    path.unlink(missing_ok=True)
    return tuple(dict.fromkeys(killed))


def fence_the_dead(directory: Path, *, kill_marked: KillMarked) -> tuple[int, ...]:
    """The writers of every runner that is gone. A runner that lives is left alone: it holds the lock, or has nothing in."""
    killed: list[int] = []
    for path in directory.glob("writers-*.json"):
        known = msgspec.json.decode(path.read_bytes(), type=Writers)
        if start_time(known.runner) != known.started:
            killed += fence(directory, runner=known.runner, kill_marked=kill_marked)
    return tuple(killed)


def survivors(directory: Path, *, marked: Callable[[str], Sequence[int]]) -> tuple[int, ...]:
    """Process groups and processes of runners that are gone, alive all the same. Kills nothing."""
    alive: list[int] = []
    for path in sorted(directory.glob("writers-*.json")):
        known = msgspec.json.decode(path.read_bytes(), type=Writers)
        if start_time(known.runner) == known.started:
            continue
        for writer in known.writers:
            alive += [writer.pgid] if writer.started and start_time(writer.pgid) == writer.started else []
            alive += marked(writer.token) if writer.token else []
    return tuple(dict.fromkeys(alive))


def _kill_group(pgid: int) -> None:
    try:
        os.killpg(pgid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it was quicker
