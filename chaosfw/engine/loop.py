"""
Performs what the machine decides: one thread, one queue. Answers of drivers, load and healer come through the queue, and so do
signals; waiting is waiting for the queue.

Called by ``assembly`` for each run. Every blocking thing runs in a thread or another process; only journal and ledger are
written here, in order. Decides nothing.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaosfw.engine import words as w
from chaosfw.engine.halts import Answered, Halts
from chaosfw.engine.machine import Machine
from chaosfw.errors import ChaosfwError
from chaosfw.model import event as e
from chaosfw.model.activity import LoadProvider, Probe
from chaosfw.model.event import AnyEvent, Phase
from chaosfw.model.fault import Proof, UndoRecord, UndoState
from chaosfw.model.load import Endpoint
from chaosfw.model.struct import but, to_json
from chaosfw.ports import (
    Answer,
    Caller,
    Executor,
    Journal,
    KindCall,
    Ledger,
    LoadDriver,
    LoadRun,
    LoadWindow,
    Lock,
    ProviderCall,
    Pulse,
    Reached,
    Watcher,
)
from chaosfw.safety.heal import heal
from chaosfw.timing import Clock, seconds

GRANULE = 0.25
"""Longest wait, in seconds: how often the loop looks after the load, the watchdog and the clocks by itself."""
SUSPEND = 100_000_000
"""Nanoseconds by which BOOTTIME may run ahead of MONOTONIC between two looks: more is a suspended machine."""
FIRST_SIGHT = 10.0
"""Seconds that the watches may take to start; without them the run goes on, and its report has no cluster events."""
LAST_SIGHT = 2.0
"""Seconds that the last look at what the environment did may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Everything a run needs, made by the assembly. ``writer`` changes the system and dies at the fence; ``reader`` only looks."""

    clock: Clock
    journal: Journal
    ledger: Ledger
    lock: Lock
    writer: Executor
    reader: Executor
    healer: Callable[[], Caller]
    exposure: Callable[[int], Reached]
    """Asked at the end of the baseline, right before anything is injected, with the instant at which the baseline began."""
    load: LoadDriver | None = None
    endpoint: Endpoint | None = None
    window: Callable[[LoadRun], LoadWindow] | None = None
    out: Path = Path()
    watchers: tuple[Watcher, ...] = ()
    started: Callable[[LoadRun], None] = lambda run: None
    """Told about a load that runs, so that its process group is on record before anything is injected."""
    sees: bool = False
    """Whether the environment can be watched: then what it does is asked of ``reader`` all the time."""
    cord: Callable[[], str] = lambda: ""
    """Words when somebody asked every run of the environment to halt."""
    beat: Callable[[], str] = lambda: ""
    """A sign of life for the watchdog; words when something must make us halt."""


@dataclass(slots=True)
class Loop:
    """One run. ``run`` blocks until it is over; ``stop`` may be called from anywhere, signal handlers included."""

    machine: Machine
    tools: Tools
    _queue: queue.SimpleQueue[w.Input] = field(default_factory=queue.SimpleQueue)
    _load: LoadRun | None = None
    _window: LoadWindow | None = None
    _drift: int | None = None
    _beaten: int = 0
    _heal_thread: threading.Thread | None = None
    _load_thread: threading.Thread | None = None
    _cursor: int = 0
    _seeing: threading.Event | None = None
    _corded: bool = False
    _halts: Halts = field(init=False)

    def __post_init__(self) -> None:
        self._halts = Halts(probes=self.machine.experiment.halt, ask=self._ask_halt, trip=self.stop)

    def run(self) -> None:
        self._see(first=True)
        self._put(w.Begin(at=self._now()))
        while not self.machine.finished:
            for command in self.machine.step(self._next()):
                self._perform(command)
        if self._heal_thread is not None:
            self._heal_thread.join()
        self._end_late_load()
        self._see_the_last()

    def _end_late_load(self) -> None:
        """A run that was stopped while its load was still starting must not leave that load to the next one."""
        if self._load_thread is not None:
            self._load_thread.join()
        if self._load is not None:
            self._load.kill()
            self._load = None

    def stop(self, reason: str) -> None:
        """Heal now, for this reason."""
        self._put(w.Stop(at=self._now(), reason=reason))

    def pulse(self) -> Pulse | None:
        """The load right now, for progress lines."""
        return self._window.pulse(now=self._now()) if self._window is not None else None

    # -- the queue ------------------------------------------------------------------------------------------------------

    def _next(self) -> w.Input:
        self._look_after()
        wake = self.machine.next_wake
        wait = GRANULE if wake is None else min(GRANULE, max(0.0, seconds(wake - self._now())))
        try:
            return self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
        except queue.Empty:
            return w.Tick(at=self._now())

    def _put(self, seen: w.Input) -> None:
        self._queue.put(seen)

    def _now(self) -> int:
        return self.tools.clock.monotonic_ns()

    def _look_after(self) -> None:
        """What nobody tells us: a dead generator, a dead watchdog, a machine that slept, a lock that was taken."""
        now = self._now()
        if now - self._beaten < GRANULE * 1e9:
            return
        self._beaten = now
        self._see()
        self._halts.look(now)
        if not self._corded and (pulled := self.tools.cord()):
            self._corded = True
            self.stop(pulled)
        if self._load is not None and not self._load.alive() and self.machine.phase is not Phase.judge:
            self._load_ended(self._load, died=True)
        if trouble := self.tools.beat():
            self.stop(trouble)
        if self.machine.touched and not self.tools.lock.still_mine() and self.machine.phase in (Phase.inject, Phase.hold):
            self.stop("the lock of the environment was taken by somebody else")
        drift = self.tools.clock.boottime_ns() - self.tools.clock.monotonic_ns()
        if self._drift is not None and drift - self._drift > SUSPEND:
            self._write(e.Suspended(at=now, seconds=seconds(drift - self._drift)))
            self.stop(f"the machine was suspended for {seconds(drift - self._drift):.1f} s")
        self._drift = drift

    # -- commands -------------------------------------------------------------------------------------------------------

    def _perform(self, command: w.Command) -> None:
        match command:
            case w.Write(event=event, sync=sync):
                self._write(event, sync=sync)
            case w.Ask(round=number, probes=probes):
                for probe in probes:
                    self._ask(number, probe)
            case w.Prepare(index=index):
                self._prepare(index)
            case w.Call(index=index):
                self._call(index)
            case w.Prove(index=index):
                self._prove(index)
            case w.MarkIn(index=index):
                self._moved(index, UndoState.in_)
            case w.StartLoad():
                self._load_thread = self._in_thread(self._start_load)
            case w.StopLoad():
                self._stop_load()
            case w.CountServed(since=since):
                self._in_thread(lambda: self._count_served(since))
            case w.Heal():
                self._heal_thread = self._in_thread(self._heal)
            case _:
                pass  # Enter and Finish are for watchers, who read the journal's events

    def _write(self, event: AnyEvent, *, sync: bool = False) -> None:
        self.tools.journal.write(event, sync=sync)
        for watcher in self.tools.watchers:
            watcher.saw(event)

    # -- what the environment does --------------------------------------------------------------------------------------

    def _see(self, *, first: bool = False) -> None:
        """Asks what the environment was seen to do, unless the last answer is still out. The first look is waited for."""
        if not self.tools.sees or (self._seeing is not None and not self._seeing.is_set()):
            return
        self._seeing = answered = threading.Event()

        def then(answer: Answer) -> None:
            if not answer.error:
                self._cursor = answer.value["cursor"]
                for one in msgspec.convert(answer.value["saw"], list[e.ClusterSaw]):
                    if not first or one.reason is None:  # what happened before the run is not its story; what can not be seen is
                        self._put(w.Saw(at=self._now(), told=one))
            answered.set()

        self.tools.reader.submit(KindCall(kind="", verb="see", data={"since": self._cursor}), then)
        if first:
            answered.wait(FIRST_SIGHT)

    def _see_the_last(self) -> None:
        """What was seen up to the end, and what had been told and not taken in when the machine finished."""
        if self._seeing is None:
            return
        self._seeing.wait(LAST_SIGHT)
        self._see()
        self._seeing.wait(LAST_SIGHT)
        while not self._queue.empty():
            seen = self._queue.get()
            if isinstance(seen, w.Saw):
                for command in self.machine.saw(seen.told):
                    self._perform(command)

    # -- calls ----------------------------------------------------------------------------------------------------------

    def _ask(self, number: int, probe: Probe) -> None:
        if isinstance(probe.provider, LoadProvider):
            self._put(self._ask_load(number, probe, probe.provider))
            return

        def then(answer: Answer) -> None:
            ok = None if answer.error else is_within(probe, answer.value)
            self._put(w.ProbeAnswered(at=self._now(), round=number, probe=probe.name, value=answer.value, ok=ok, error=answer.error))

        self.tools.reader.submit(asked(probe), then)

    def _ask_halt(self, probe: Probe, answered: Answered) -> None:
        if isinstance(probe.provider, LoadProvider):
            seen = self._ask_load(0, probe, probe.provider)
            answered(seen.ok, seen.error or f"it is {seen.value!r}, which is not {probe.tolerance}")
            return

        def then(answer: Answer) -> None:
            within = None if answer.error else is_within(probe, answer.value)
            answered(within, answer.error or f"it is {shown(answer.value)}, and had to be {probe.tolerance}")

        self.tools.reader.submit(asked(probe), then)

    def _ask_load(self, number: int, probe: Probe, provider: LoadProvider) -> w.ProbeAnswered:
        now = self._now()
        found = self._window.sli(provider, now=now) if self._window is not None else None
        if found is None:
            return w.ProbeAnswered(at=now, round=number, probe=probe.name, error="the load has no samples in the window")
        worst, best = (is_within(probe, value) for value in found)
        ok = worst if worst == best else None
        return w.ProbeAnswered(at=now, round=number, probe=probe.name, value=found[0], ok=ok)

    def _prepare(self, index: int) -> None:
        undos = self.machine.plan.bound[index].undo
        try:
            if not self.tools.lock.still_mine():
                raise ChaosfwError("the lock of the environment was taken by somebody else")
            self.tools.ledger.prepare(undos, epoch=self.tools.lock.epoch)
        except ChaosfwError as trouble:
            self.stop(f"not injecting: {trouble.message}")
            return
        records = tuple(UndoRecord(undo=undo, state=UndoState.prepared, epoch=self.tools.lock.epoch) for undo in undos)
        self._put(w.Prepared(at=self._now(), index=index, records=records))

    def _call(self, index: int) -> None:
        """From the record's ``armed`` on, whoever heals must expect that the call was made."""
        if not self._moved(index, UndoState.armed):
            return
        action = self.machine.plan.bound[index].action
        call = ProviderCall(
            name=action.name, provider=action.provider, configuration=action.configuration, secrets=action.secrets, probe=False
        )

        def then(answer: Answer) -> None:
            self._put(w.CallAnswered(at=self._now(), index=index, ok=not answer.error, value=answer.value, error=answer.error))

        self.tools.writer.submit(call, then)

    def _prove(self, index: int) -> None:
        bound = self.machine.plan.bound[index]
        asked_at = self._now()

        def then(answer: Answer) -> None:
            proof = Proof(holds=None, what=answer.error) if answer.error else msgspec.convert(answer.value, Proof)
            self._put(w.ProofAnswered(at=self._now(), index=index, asked=answer.began or asked_at, proof=proof))

        self.tools.reader.submit(KindCall(kind=bound.fault, verb="bitten", data=to_json(bound)), then)

    def _moved(self, index: int, state: UndoState) -> bool:
        """Moves an action's undo records on, durably; False (and a stop) when the ledger can not be written."""
        for undo in self.machine.plan.bound[index].undo:
            record = UndoRecord(undo=undo, state=state, epoch=self.tools.lock.epoch)
            try:
                self.tools.ledger.advance(record)
            except ChaosfwError as trouble:
                self.stop(f"the ledger can not be written: {trouble.message}")
                return False
            self._put(w.UndoStepped(at=self._now(), record=record))
        return True

    def _start_load(self) -> None:
        load, endpoint = self.machine.experiment.load, self.tools.endpoint
        assert load is not None and endpoint is not None and self.tools.load is not None and self.tools.window is not None
        try:
            run = self.tools.load.start(load, at=endpoint, out=self.tools.out, seconds=self.machine.plan.seconds)
        except ChaosfwError as trouble:
            self.stop(f"the load did not start: {trouble}")
            return
        self._load = run
        self._window = self.tools.window(run)
        self.tools.started(run)
        self._put(w.LoadUp(at=self._now(), generator=run.generator, url=endpoint.url))

    def _stop_load(self) -> None:
        run = self._load
        if run is not None:
            run.stop()
            self._in_thread(lambda: self._load_ended(run, died=False))

    def _load_ended(self, run: LoadRun, *, died: bool) -> None:
        self._load = None
        load = self.machine.experiment.load
        assert load is not None
        seal = run.wait(timeout=load.ends_within)
        reason = "it did not drain in time" if seal is None else ""
        if died:
            reason = seal.ended if seal is not None and seal.ended else "the generator ended without being told to"
        self._put(w.LoadDown(at=self._now(), seal=seal, reason=reason))

    def _count_served(self, since: int) -> None:
        reached = self.tools.exposure(since)
        self._put(w.Served(at=self._now(), reached=reached))

    def _heal(self) -> None:
        """Fence, then heal: whatever the drivers still meant to do, they do no more."""
        fenced = self.tools.writer.kill()
        self._put(w.HealStarted(at=self._now(), fenced=fenced))

        def told(record: UndoRecord, what: str) -> None:
            self._put(w.UndoStepped(at=self._now(), record=record, what=what))

        try:
            left = self._put_back(told) if self.tools.lock.regain() else self._only_looked(told)
        except Exception as trouble:  # whatever it was, the run must end, say so, and leave the rest to the watchdog
            self.stop(f"healing broke: {type(trouble).__name__}: {trouble}")
            left = max(1, len(self.machine.plan.bound))
        self._put(w.HealDone(at=self._now(), left_open=left))

    def _put_back(self, told: Callable[[UndoRecord, str], None]) -> int:
        return heal(
            ledger=self.tools.ledger,
            caller=self.tools.healer(),
            clock=self.tools.clock,
            epoch=self.tools.lock.epoch,
            by="runner",
            told=told,
        )

    def _only_looked(self, told: Callable[[UndoRecord, str], None]) -> int:
        """
        The lock has gone to somebody else, so putting back is theirs: nothing is written any more. What is seen to be put back is
        closed, the rest stays open; how many that are.
        """
        left = 0
        for record in self.tools.ledger.open():
            try:
                answer = self.tools.healer().kind(record.undo.fault, "healed", to_json(record.undo), timeout=LAST_SIGHT)
                seen = msgspec.convert(answer, Proof)
            except ChaosfwError as trouble:
                seen = Proof(holds=None, what=trouble.message)
            words = f"the lock went to somebody else: {seen.what}"
            done = but(record, state=UndoState.closed, ending="by-other", by="runner", reason=words)
            ended = done if seen.holds else but(record, state=UndoState.stuck, by="runner", reason=words)
            self.tools.ledger.advance(ended)
            told(ended, words)
            left += not seen.holds
        return left

    def _in_thread(self, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


def asked(probe: Probe) -> ProviderCall:
    """The probe as a call. Its provider's own time-out never exceeds the probe's."""
    provider = probe.provider
    if hasattr(provider, "timeout") and provider.timeout > probe.timeout:
        provider = but(provider, timeout=probe.timeout)
    return ProviderCall(
        name=probe.name, provider=provider, tolerance=probe.tolerance, configuration=probe.configuration, secrets=probe.secrets
    )


def shown(value: object) -> str:
    """A probe's value in a sentence: of an HTTP answer, its status."""
    return repr(value["status"] if isinstance(value, dict) and "status" in value else value)[:200]


def is_within(probe: Probe, value: object) -> bool | None:
    """Whether the value is within the probe's tolerance; None when the value says nothing (None, NaN)."""
    if isinstance(value, dict) and "status" in value and not isinstance(probe.provider, LoadProvider) and _judges_status(probe):
        value = value["status"]
    if value is None or value != value:
        return None
    if probe.tolerance is None:
        return bool(value)
    return probe.tolerance.accepts(value)


def _judges_status(probe: Probe) -> bool:
    return type(probe.tolerance).__name__ in ("Exactly", "OneOf", "Between")
