"""
Whole experiments on a fake clock: the real machine, the real ledger if wanted, the real fold and judge; only the world is made
up. A run of half a minute takes a few milliseconds, and every interleaving can be had by choosing delays.

For tests of chaosfw and of what others build on it.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from chaosfw.engine import words as w
from chaosfw.engine.machine import Machine
from chaosfw.model import event as e
from chaosfw.model.activity import Action, Hypothesis, Probe, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import Bound, Proof, Undo, UndoRecord, UndoState
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Load, Outcome, Seal
from chaosfw.model.plan import Plan
from chaosfw.model.tolerance import Exactly
from chaosfw.ports import Reached
from chaosfw.timing import nanoseconds

START = 1_000_000_000_000
"""Instant at which every simulated run begins, ns."""


@dataclass(slots=True, kw_only=True)
class World:
    """
    How the made-up system behaves. Instants are seconds after F_call; ``bad`` and ``abnormal`` are intervals of them.
    Delays in seconds.
    """

    bad: tuple[float, float] = (0.0, 0.0)
    """When requests fail."""
    abnormal: tuple[float, float] = (0.0, 0.0)
    """When the hypothesis' probes are False."""
    normal_before: bool = True
    call_takes: float = 0.05
    call_fails: str = ""
    proof_takes: float = 0.01
    bites: Callable[[float], bool | None] = lambda after: True
    """Whether the effect is seen, so many seconds after F_call."""
    heal_takes: float = 0.05
    heals: bool = True
    probe_takes: float = 0.005
    probes_take: dict[str, float] = field(default_factory=dict)
    """Delays of single probes, by name."""
    latency: float = 0.004
    pods: tuple[str, ...] = ("web-1", "web-2", "web-3")
    load_dies_after: float | None = None
    stops: tuple[tuple[float, str], ...] = ()
    """Stops at seconds after the run's begin: Ctrl-C and the like."""


@dataclass(slots=True)
class Simulated:
    """What came out: the journal, the samples, the ledger's last word on each record."""

    events: list[e.AnyEvent] = field(default_factory=list)
    samples: bytes = b""
    records: dict[str, UndoRecord] = field(default_factory=dict)
    commands: int = 0
    changed: set[str] = field(default_factory=set)
    """Undo records whose object may be changed right now: their call was sent, and nobody has put them back."""


def plan_of(
    *,
    load: bool = True,
    undo: bool = True,
    actions: int = 1,
    baseline: float = 3.0,
    lasts: float = 5.0,
    recover_within: float = 5.0,
    rate: float = 50.0,
) -> Plan:
    """A plan with made-up actions on made-up nodes."""
    environment = Environment(name="made-up", kind="sandbox")
    probe = Probe(name="up", provider=PythonProvider(module="made.up", func="up"), tolerance=Exactly(value=True))
    bound = []
    for number in range(actions):
        action = Action(name=f"break {number}", provider=PythonProvider(module="made.up", func="break_it"), self_heals=not undo)
        target = Target(kind="node", name=f"node-{number}", uid=f"uid-{number}")
        record = Undo(id=f"undo-{number}", run="simulated", fault="made.up/1", environment="made-up", subject=target, order=number)
        bound.append(Bound(action=action, fault="made.up/1", targets=(target,), undo=(record,) if undo else (), self_heals=not undo))
    experiment = Experiment(
        title="simulated",
        steady_state=Hypothesis(title="up", probes=(probe,)),
        method=tuple(one.action for one in bound),
        load=Load(endpoint="web", rate=rate, timeout=1.0) if load else None,
        baseline=baseline,
        lasts=lasts,
        recover_within=recover_within,
        stable_for=2.0,
    )
    return Plan(experiment=experiment, environment=environment, seed=1, bound=tuple(bound), intent="i", digest="d")


def simulate(plan: Plan, world: World, *, cut: int | None = None) -> Simulated:
    """Runs it to its end, or until ``cut`` inputs have been taken in (a run that died there)."""
    return _Simulation(plan, world).run(cut)


class _Simulation:
    def __init__(self, plan: Plan, world: World) -> None:
        self.plan = plan
        self.world = world
        self.machine = Machine(plan)
        self.out = Simulated()
        self.now = START
        self.called: int | None = None
        self.load_on: int | None = None
        self._order = itertools.count()
        self._agenda: list[tuple[int, int, w.Input]] = []

    def run(self, cut: int | None) -> Simulated:
        self.out.events.append(e.RunOpened(at=self.now, schema=1, run="simulated", plan=self.plan, wall=0, boottime=0, boot_id=""))
        self._later(0.0, lambda at: w.Begin(at=at))
        for after, reason in self.world.stops:
            self._later(after, lambda at, reason=reason: w.Stop(at=at, reason=reason))  # type: ignore[misc]
        taken = 0
        while not self.machine.finished and (cut is None or taken < cut):
            taken += 1
            for command in self.machine.step(self._next()):
                self.out.commands += 1
                self._perform(command)
        return self.out

    def _next(self) -> w.Input:
        wake = self.machine.next_wake
        if self._agenda and (wake is None or self._agenda[0][0] <= wake):
            self.now, _, seen = heapq.heappop(self._agenda)
            return seen
        assert wake is not None, "the machine waits for something that never comes"
        self.now = max(self.now, wake)
        return w.Tick(at=self.now)

    def _later(self, seconds: float, make: Callable[[int], w.Input]) -> None:
        at = self.now + nanoseconds(seconds)
        heapq.heappush(self._agenda, (at, next(self._order), make(at)))

    def _after_call(self) -> float:
        return -1.0 if self.called is None else (self.now - self.called) / 1e9

    def _within(self, span: tuple[float, float], at: int) -> bool:
        return self.called is not None and span[0] <= (at - self.called) / 1e9 < span[1]

    def _perform(self, command: w.Command) -> None:
        world = self.world
        match command:
            case w.Write(event=event):
                self.out.events.append(event)
                if isinstance(event, e.CallBegan) and self.called is None:
                    self.called = event.at
            case w.StartLoad():
                on = self.now + nanoseconds(0.05)
                self.load_on = on
                generator = Generator(name="simulated", version="1", on=on)
                self._later(0.05, lambda at: w.LoadUp(at=at, generator=generator, url="http://made-up"))
                if world.load_dies_after is not None:
                    self._later(world.load_dies_after, lambda at: w.LoadDown(at=at, seal=None, reason="died"))
            case w.StopLoad():
                self._later(0.05, lambda at: w.LoadDown(at=at, seal=self._seal()))
            case w.Ask(round=number, probes=probes):
                for probe in probes:
                    ok = world.normal_before if self.called is None else not self._within(world.abnormal, self.now)
                    name = probe.name
                    self._later(
                        world.probes_take.get(name, world.probe_takes),
                        lambda at, name=name, ok=ok: w.ProbeAnswered(at=at, round=number, probe=name, value=ok, ok=ok),  # type: ignore[misc]
                    )
            case w.Prepare(index=index):
                records = tuple(UndoRecord(undo=undo, state=UndoState.prepared) for undo in self.plan.bound[index].undo)
                self.out.records.update({record.undo.id: record for record in records})
                self._later(0.001, lambda at: w.Prepared(at=at, index=index, records=records))
            case w.Call(index=index):
                self._move(index, UndoState.armed)
                self.out.changed |= {undo.id for undo in self.plan.bound[index].undo}
                self._later(
                    world.call_takes, lambda at: w.CallAnswered(at=at, index=index, ok=not world.call_fails, error=world.call_fails)
                )
            case w.Prove(index=index):
                asked = self.now
                seen = world.bites(self._after_call())
                proof = Proof(holds=seen, what="made up", victims=world.pods[:1])
                self._later(world.proof_takes, lambda at: w.ProofAnswered(at=at, index=index, asked=asked, proof=proof))
            case w.MarkIn(index=index):
                self._move(index, UndoState.in_)
            case w.CountServed():
                self._later(0.002, lambda at: w.Served(at=at, reached=Reached(served=dict.fromkeys(world.pods, 50), how="data plane")))
            case w.Heal():
                self._later(0.01, lambda at: w.HealStarted(at=at))
                self._heal()
            case _:
                pass

    def _move(self, index: int, state: UndoState) -> None:
        for undo in self.plan.bound[index].undo:
            record = UndoRecord(undo=undo, state=state)
            self.out.records[undo.id] = record
            self._later(0.0, lambda at, record=record: w.UndoStepped(at=at, record=record))  # type: ignore[misc]

    def _heal(self) -> None:
        left = 0
        for record in reversed(list(self.out.records.values())):
            state = UndoState.closed if self.world.heals else UndoState.stuck
            ended = UndoRecord(undo=record.undo, state=state, ending="restored" if self.world.heals else None)
            left += not self.world.heals
            if self.world.heals:
                self.out.changed.discard(record.undo.id)
            self.out.records[record.undo.id] = ended
            self._later(self.world.heal_takes, lambda at, ended=ended: w.UndoStepped(at=at, record=ended))  # type: ignore[misc]
        self._later(self.world.heal_takes + 0.001, lambda at: w.HealDone(at=at, left_open=left))

    def _seal(self) -> Seal:
        """All samples at once: the world's schedule says how each request ended."""
        assert self.load_on is not None
        assert self.plan.experiment.load is not None
        rate, on = self.plan.experiment.load.rate, self.load_on
        due = int((self.now - on) * rate / 1e9)
        made = []
        pods, late, pack = len(self.world.pods), nanoseconds(self.world.latency), SAMPLE.pack
        called = self.called if self.called is not None else self.now
        first, last = (called + nanoseconds(edge) for edge in self.world.bad)
        for number in range(due):
            at = on + int(number * 1e9 / rate)
            if first <= at < last:
                made.append(pack(number, at, at + late, 0, NO_MARKER, Outcome.refused, 0, 0, 64))
            else:
                made.append(pack(number, at, at + late, 200, number % pods, Outcome.ok, 0, 0, 64))
        self.out.samples = b"".join(made)
        return Seal(count=due, sha256=hashlib.sha256(self.out.samples).hexdigest(), off=self.now, due=due, markers=self.world.pods)
