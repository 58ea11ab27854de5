"""
One process's part of a game day: the place, the executors, the watchdog, the ledger. Opened when the first experiment needs it.

Called by the doors. An experiment that left residue or did not recover blocks the rest of this environment's experiments.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from chaosfw.assembly.environments import AnyPlace, open_place
from chaosfw.errors import ChaosfwError
from chaosfw.executor.child import ExecutorChild, PatientCaller, kill_marked
from chaosfw.executor.nursery import Nursery
from chaosfw.model.fault import UndoRecord, UndoState
from chaosfw.model.plan import Plan
from chaosfw.ports import Lock
from chaosfw.safety import fence, halt, lease, lock, watchdog
from chaosfw.safety.companion import Companion, start
from chaosfw.safety.fence import start_time
from chaosfw.safety.heal import heal
from chaosfw.safety.ledger import LedgerFile
from chaosfw.settings import Settings, limits_in_words
from chaosfw.store.folder import GameDayFolder
from chaosfw.timing import SYSTEM, Clock

WARM = (
    "chaosfw.activities.kubernetes",
    "chaosfw.activities.net",
    "chaosk8s.pod.actions",
    "chaosk8s.pod.probes",
    "chaosk8s.node.actions",
    "requests",
)
"""Modules that an executor imports before its first call, so that no import falls into a measured phase."""
PACKAGES = ("chaosfw", "pytest", "chaostoolkit-lib", "chaostoolkit-kubernetes", "kubernetes", "numpy")


@dataclass(slots=True)
class Session:
    """``shared`` is the folder through which xdist's processes find one sandbox. ``say`` gets sentences for the user."""

    settings: Settings
    folder: GameDayFolder
    seed: int
    approved: tuple[str, ...] = ()
    """Digests of what may be run; empty: whatever the environment does not ask for."""
    heal_first: bool = False
    """Put back what an earlier run left, instead of refusing to start on top of it."""
    replay: Mapping[str, Plan] = field(default_factory=dict)
    """Plans by title: what they hit is hit again, and experiments without one are not run."""
    say: Callable[[str], None] = lambda sentence: None
    clock: Clock = SYSTEM
    blocked_by: str = ""
    place: AnyPlace | None = None
    ledger: LedgerFile | None = None
    _writer: ExecutorChild | None = None
    _reader: ExecutorChild | None = None
    _companion: Companion | None = None
    _nursery: Nursery | None = None
    _loads: list[tuple[int, str]] = field(default_factory=list)

    # -- life -----------------------------------------------------------------------------------------------------------

    def open(self) -> AnyPlace:
        """Everything up, checked, and watched over. Safe to call before each experiment."""
        if self.place is None:
            self.place = open_place(self.settings, shared=self.folder.path)
            try:
                self._start_children(self.place)
            except BaseException:
                self.close()
                raise
        self.renew_writer()
        return self.place

    def _start_children(self, place: AnyPlace) -> None:
        """All at once, then waited for: they import side by side."""
        state = Path(place.environment.state)
        state.mkdir(parents=True, exist_ok=True)
        self.ledger = LedgerFile(state)
        self._nursery = Nursery(clock=self.clock, env=self.child_environment(), warm=WARM, log=self._log("nursery"))
        self._companion = self._new_companion()
        self._reader = self._new_executor("reader")
        self._writer = self._new_executor("writer")
        self._companion.wait_ready()
        self.record_writers()
        for path, note in watchdog.notes(state):
            self.say(str(note))
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Takes everything down, whatever of it came up; the watchdog goes last, and stays when something is still open."""
        for executor in (self._writer, self._reader, self._nursery):
            if executor is not None:
                executor.close()
        alone = self._companion is None or self._companion.dismiss(wait=0.0 if self._owes() else 10.0)
        if self.place is not None:
            self._tidy(Path(self.place.environment.state), alone=alone)
            self.place.close()
        self.place = self._writer = self._reader = self._companion = self._nursery = None

    def _owes(self) -> bool:
        """Whether an undo record is open, as far as anybody can read the ledger: the watchdog stays for it."""
        try:
            return self.ledger is not None and bool(self.ledger.open())
        except ChaosfwError:
            return False

    @property
    def writer(self) -> ExecutorChild:
        assert self._writer is not None, "open() comes first"
        return self._writer

    @property
    def reader(self) -> ExecutorChild:
        assert self._reader is not None, "open() comes first"
        return self._reader

    @property
    def caller(self) -> PatientCaller:
        """For looks before and after a run."""
        return PatientCaller(self.reader)

    def healer(self) -> PatientCaller:
        """Whoever can still call: the reader, or a new executor when it is gone."""
        return PatientCaller(self._new_reader() if not self.reader.is_alive() else self.reader, renew=self._new_reader)

    def _new_reader(self) -> ExecutorChild:
        self._reader = self._new_executor("healer")
        return self._reader

    def take_lock(self, who: str) -> Lock:
        """The environment's lock, waiting for other runs as long as the settings say: this host's file, then the cluster's Lease."""
        assert self.place is not None
        environment, began = self.place.environment, self.clock.monotonic_ns()
        file = self._file_lock(who)
        if not environment.kubeconfig:
            return file
        waited = (self.clock.monotonic_ns() - began) / 1e9
        return lease.take(
            file=file,
            caller=self.healer(),
            clock=self.clock,
            namespace=environment.state_namespace,
            who=who,
            wait=max(0.0, self.settings.lock_timeout - waited),
            waiting=lambda holder: self.say(f"waiting for the environment: in use by {holder}"),
        )

    def _file_lock(self, who: str) -> lock.FileLock:
        assert self.place is not None
        return lock.take(
            Path(self.place.environment.state),
            who=who,
            clock=self.clock,
            wait=self.settings.lock_timeout,
            waiting=lambda holder: self.say(f"waiting for the environment: in use by {holder}"),
        )

    def put_back(self, *, epoch: int) -> None:
        """
        What earlier runs left, by whoever holds the lock with ``epoch``: their writers are killed first. What can not be put back stays
        open, and is said; so is everything else.
        """
        assert self.place is not None and self.ledger is not None
        before = {record.undo.run for record in self.ledger.open()}
        if not before:
            return
        fence.fence_the_dead(Path(self.place.environment.state), kill_marked=lambda token: kill_marked(token, clock=self.clock))
        heal(ledger=self.ledger, caller=self.caller, clock=self.clock, epoch=epoch, by="the next run", told=self._told)
        for run in before - {record.undo.run for record in self.ledger.open()}:
            self.ledger.forget(run)

    def _told(self, record: UndoRecord, what: str) -> None:
        if record.state is not UndoState.healing:
            self.say(f"left by an earlier run: {record.undo.subject}: {record.state}: {what}")

    @property
    def runs(self) -> str:
        """What the ids of this process's runs begin with."""
        return f"{self.folder.name}-{os.getpid()}-"

    # -- writers --------------------------------------------------------------------------------------------------------

    def record_writers(self, *loads: tuple[int, str]) -> None:
        """Puts on record whose process groups a healer has to kill."""
        assert self.place is not None
        self._loads = list(loads)
        known = [(executor.pid, executor.token) for executor in (self._writer, self._reader) if executor is not None]
        known += [(self._nursery.pid, "")] if self._nursery is not None else []
        fence.record(Path(self.place.environment.state), runner=os.getpid(), writers=known + self._loads)

    def renew_writer(self) -> None:
        """A new writer where the last one died at the fence."""
        if self._writer is not None and not self._writer.is_alive():
            self._writer = self._new_executor("writer")
            self.record_writers()

    # -- watchdog -------------------------------------------------------------------------------------------------------

    def beat(self) -> str:
        """A sign of life; words when the watchdog is gone."""
        if self._companion is None:
            return "there is no watchdog"
        if not self._companion.is_alive():
            return "the watchdog died: nothing would heal after us"
        self._companion.beat()
        return ""

    def cord(self) -> str:
        """Words when somebody asked every run of this environment to halt."""
        assert self.place is not None
        return halt.standing(Path(self.place.environment.state))

    # -- signals --------------------------------------------------------------------------------------------------------

    def listen(self, stop: Callable[[str], None]) -> Callable[[], None]:
        """
        While a run is on: the first Ctrl-C or SIGTERM halts and heals, the second leaves at once and the watchdog heals.
        The result takes the handlers away. Outside the main thread nothing is installed.
        """
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        heard: list[str] = []

        def handle(number: int, frame: object) -> None:
            name = signal.Signals(number).name
            heard.append(name)
            if len(heard) == 1:
                stop(name)
                try:
                    self.say(f"{name}: stopping, putting everything back; once more leaves at once, and the watchdog heals")
                except RuntimeError:
                    pass  # the signal came in the middle of a line: the terminal can not be written to from here, and need not be
                return
            os.write(2, b"\nchaosfw: leaving at once; the watchdog fences the drivers and puts everything back\n")
            os._exit(130)

        for number in before:
            signal.signal(number, handle)

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        return restore

    # -- making ---------------------------------------------------------------------------------------------------------

    def _new_executor(self, role: str) -> ExecutorChild:
        assert self.place is not None
        assert self._nursery is not None
        return self._nursery.spawn(role=role, log=self._log(role))

    def _new_companion(self) -> Companion:
        assert self.place is not None
        state = Path(self.place.environment.state)
        orders = watchdog.Orders(
            runner=os.getpid(),
            runner_started=start_time(os.getpid()),
            state=str(state),
            environment=self.place.environment,
            runs=self.runs,
            place=self.place.directory,
            folder=str(self.folder.path),
        )
        return start(orders, log=self._log("watchdog"), env=self.child_environment())

    def child_environment(self) -> dict[str, str]:
        """What children need to know: our kubeconfig and nobody else's, and where the user's own modules are."""
        assert self.place is not None
        path = os.pathsep.join(dict.fromkeys([str(self.settings.rootdir), *(one for one in sys.path if one)]))
        bypass = {"NO_PROXY": "*", "no_proxy": "*"} if self.place.environment.kind == "sandbox" else {}
        return {
            **self.place.variables(),
            "KUBECONFIG": self.place.environment.kubeconfig,
            "CHAOSFW_LEASE": self.place.environment.state_namespace if self.place.environment.kubeconfig else "",
            "PYTHONPATH": path,
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self._temporary()),
            **bypass,
        }

    def _log(self, role: str) -> Path:
        assert self.place is not None
        logs = Path(self.place.environment.state) / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return logs / f"{role}-{os.getpid()}.log"

    def _temporary(self) -> Path:
        """
        Where drivers put their temporary files (the kubernetes client writes certificates there): children are killed, so they can not
        tidy up. A path beside ledger and lock; the watchdog, which goes last and may still need them, takes it away.
        """
        assert self.place is not None
        path = Path(self.place.environment.state) / f"tmp-{os.getpid()}"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def _tidy(self, state: Path, *, alone: bool) -> None:
        """Files that only this process needed. ``alone``: no watchdog is at work any more."""
        for path in (state / "logs").glob(f"*-{os.getpid()}.log"):
            path.unlink(missing_ok=True)
        if alone:
            shutil.rmtree(state / f"tmp-{os.getpid()}", ignore_errors=True)
        fence.forget(state, runner=os.getpid())


def new_seed() -> int:
    """For a game day without one: six digits, to be typed again."""
    return secrets.randbelow(900_000) + 100_000


def versions() -> dict[str, str]:
    """What the figures were made with."""
    found: dict[str, str] = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def settings_as_json(settings: Settings) -> Mapping[str, Any]:
    """What was set and where it came from, for the record."""
    return {
        "environment": settings.environment,
        "defaults": dict(settings.defaults),
        "origins": dict(settings.origins),
        "lock_timeout": settings.lock_timeout,
        "limits": limits_in_words(settings.chosen()),
    }
