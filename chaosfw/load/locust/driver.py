"""
Starts a locustfile in a process of its own. Implements ``ports.LoadDriver``; called by the engine, and by the assembly for ``check``.
"""

from __future__ import annotations

import importlib.util
import math
import os
from pathlib import Path

from chaosfw.load.child import START_WITHIN, ChildRun, start
from chaosfw.load.orders import Orders
from chaosfw.model.load import Endpoint, Load, Script

IMPORT = 20.0
"""Seconds that Locust and the file may take to be imported, on a busy machine."""

JOIN = 120.0
"""Seconds in which workers that others start have to join."""

MARGIN = 16
"""Users beyond rate x timeout, where arrivals are on a schedule."""


class LocustDriver:
    """Locust 2.x, from the environment that runs pytest."""

    name = "locust"

    def __init__(self, root: Path = Path()) -> None:
        self._root = root.resolve()

    def check(self, load: Load, *, at: Endpoint, seconds: float, claims: bool) -> tuple[tuple[str, str], ...]:
        found = []
        if importlib.util.find_spec("locust") is None:
            found.append(("the load asks for Locust, which is not installed here", "pip install 'chaosfw[locust]'"))
        script = _script(load)
        if not (self._root / script.file).is_file():
            found.append((f"the locustfile {script.file!r} is not there", f"paths count from {self._root}"))
        return tuple(found)

    def start(self, load: Load, *, at: Endpoint, out: Path, seconds: float = 0.0) -> ChildRun:
        script = _script(load)
        spawning = users(load) / spawn_rate(load) if users(load) else 0.0
        return start(
            self.name,
            Orders(load=load, url=at.url.rstrip("/"), out=str(out.resolve()), seconds=seconds),
            within=START_WITHIN + IMPORT * (2 if load.processes > 1 else 1) + (JOIN if script.listen else 0.0) + 2 * spawning,
            env={**os.environ, **script.env, "TARGET": at.url.rstrip("/"), "PYTHONPATH": _path()},
            cwd=str(self._root),
            bytecode=True,
        )


def users(load: Load) -> int:
    """Users to start: as written, or as many as can be waiting for an answer at once. 0: the file says."""
    script = _script(load)
    return script.users or (math.ceil(load.rate * load.timeout * 1.1) + MARGIN if load.open else 0)


def spawn_rate(load: Load) -> float:
    """Users started a second: as written; on a schedule all within a second, because they only wait for arrivals."""
    return _script(load).spawn_rate or (float(max(100, users(load))) if load.open else 1.0)


def _script(load: Load) -> Script:
    assert load.script is not None
    return load.script


def _path() -> str:
    """The user's own search path, with this package on it."""
    ours = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(one for one in (os.environ.get("PYTHONPATH", ""), ours) if one)
