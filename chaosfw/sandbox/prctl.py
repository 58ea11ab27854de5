"""
The three process attributes that keep the sandbox from leaving anything behind. Linux only; elsewhere they do nothing.

Called by the runtime, the keeper and the other mains. ``ctypes`` is loaded here, before any fork, on purpose.
"""

from __future__ import annotations

import ctypes
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36

_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """SIGKILL for the caller when the *thread* that forked it ends: fork only from single-threaded processes."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Descendants whose parent dies become children of the caller, so nothing escapes by a double fork."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> tuple[int, ...]:
    """The direct children of a process, zombies included; empty where /proc does not tell."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except OSError:
            continue  # that thread is gone
    return tuple(found)
