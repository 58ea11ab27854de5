"""
Journals and samples of runs that never took place: for tests of whatever reads journals, records or verdicts.

A :class:`Script` says what happened in seconds; ``events()``, ``samples()`` and ``record()`` are what a real run would have
left. The default is a good run: change one thing with ``but`` and see what becomes of the verdict::

    Script().record().judgement.verdict  # held
    Script(weather=(Weather(begin=2, end=4),)).record()  # 2 s of refused connections, 2 s after the fault
    cut(Script().events(), at=17)  # the runner died after 17 lines

All instants that a caller gives are seconds since F_call. Public: third parties may build on it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import numpy as np

from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judged
from chaosfw.analysis.samples import Ints
from chaosfw.model.activity import Action, Hypothesis, Probe, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.event import (
    AnyEvent,
    Audited,
    BodyEnded,
    CallBegan,
    CallEnded,
    Exposed,
    HealBegan,
    HealEnded,
    LoadBegan,
    LoadEnded,
    Phase,
    PhaseBegan,
    ProbeSeen,
    Proved,
    RoundSeen,
    RunOpened,
    RunSealed,
    UndoMoved,
)
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import Bound, Ending, Proof, Undo, UndoRecord, UndoState
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Health, Load, Outcome, Seal
from chaosfw.model.plan import Plan
from chaosfw.model.record import Record
from chaosfw.model.slo import SLO, Objective
from chaosfw.model.struct import but
from chaosfw.model.tolerance import Exactly
from chaosfw.timing import nanoseconds

EPOCH = 1_000_000_000_000
"""CLOCK_MONOTONIC at the begin of every made-up run."""

WARM_UP = 0.2
"""Seconds from the begin of the load to the begin of the baseline."""

PROVEN_AFTER = 0.1
"""Seconds from a call to its proof, of faults and of heals."""

PODS = ("web-1", "web-2", "web-3")
"""Instances that serve the load; the first is the victim."""

_LAYOUT = np.dtype("<i8,<i8,<i8,<u2,<u2,u1,u1,<u2,<u4")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """From ``begin`` to ``end`` a ``share`` of the requests, spread evenly, ends as ``outcome`` after ``latency`` seconds."""

    begin: float
    end: float
    outcome: Outcome = Outcome.refused
    share: float = 1.0
    latency: float = 0.001
    late: float = 0.0
    """Seconds that the generator sent them too late."""
    missing: bool = False
    """No sample at all."""


def experiment() -> Experiment:
    """What the default script claims: 100 requests a second, one pod killed for 10 s, back within 10 s of the heal."""
    return Experiment(
        title="The shop survives losing a pod",
        steady_state=Hypothesis(title="the shop serves", probes=(_probe("health"),)),
        method=(action(),),
        load=Load(endpoint="shop", rate=100.0, timeout=1.0),
        slo=SLO(name="checkout", availability=0.999),
        during_fault=(Objective(sli="availability", target=0.9),),
        costs_at_most=0.5,
        baseline=5.0,
        lasts=10.0,
        stable_for=2.0,
        recover_within=10.0,
    )


def action(name: str = "kill web-1") -> Action:
    return Action(name=name, provider=PythonProvider(module="chaosk8s.pod.actions", func="terminate_pods"))


def bound(name: str = "kill web-1", *, index: int = 0, self_heals: bool = False, intended: tuple[Ending, ...] = ("restored",)) -> Bound:
    target = Target(kind="pod", name=PODS[index], namespace="shop")
    undo = Undo(id=f"u{index}", run="r1", fault="kubernetes.kill/1", environment="sandbox", subject=target, order=index, intended=intended)
    return Bound(action=action(name), fault="kubernetes.kill/1", targets=(target,), changes=(name,), undo=(undo,), self_heals=self_heals)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What happened in one run. Instants in seconds since F_call, so the baseline is negative."""

    experiment: Experiment = dataclasses.field(default_factory=experiment)
    bound: tuple[Bound, ...] = dataclasses.field(default_factory=lambda: (bound(),))
    weather: tuple[Weather, ...] = ()
    out_of_tolerance: tuple[tuple[float, float], ...] = ()
    """When the hypothesis was False."""
    silent: tuple[tuple[float, float], ...] = ()
    """When its probes gave no evidence (None)."""
    unasked: tuple[tuple[float, float], ...] = ()
    """When it was not evaluated at all."""
    gone: tuple[tuple[float, float], ...] = ()
    """When a look at the fault's effect saw it gone."""
    unseen: tuple[tuple[float, float], ...] = ()
    """When a look at the fault's effect saw nothing."""
    served: tuple[str, ...] = PODS
    """The instances that response markers name; empty: the service sets no marker."""
    exposed: tuple[str, ...] = PODS
    """The ready endpoints that the plan knows."""
    still_ready: tuple[str, ...] | None = None
    """Those that stood ready all the time until the fault; None: all of them."""
    passing: tuple[str, ...] = ()
    """Endpoints that were ready for a part of that time."""
    proven_after: float = PROVEN_AFTER
    healed_after: float = PROVEN_AFTER
    load_until: float | None = None
    """When the generator stopped by itself; None: when it was asked to."""
    watch_for: float | None = None
    """Seconds of recover; None: to the deadline and ``stable_for`` beyond."""
    ending: Ending = "restored"
    unhealthy: tuple[float, ...] = ()
    """Instants of 100 ms slots in which the generator says it was unwell."""
    model: str = "open"
    body: str = "passed"
    digest: str = "d1ge57"
    residue: tuple[str, ...] | None = ()
    seed: int = 0

    def but(self, **changes: object) -> Script:
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # dataclasses cannot say which fields there are

    @property
    def fault(self) -> float:
        """Seconds from the begin of the run to F_call."""
        return WARM_UP + self.experiment.baseline

    @property
    def heal(self) -> float:
        """R_call, in seconds since F_call."""
        return self.proven_after + self.experiment.lasts

    @property
    def end(self) -> float:
        """When the load was asked to stop, in seconds since F_call."""
        watch = self.experiment.recover_within + self.experiment.stable_for if self.watch_for is None else self.watch_for
        return self.heal + self.healed_after + watch + 0.1

    def at(self, seconds: float) -> int:
        """An instant of this run: ns of CLOCK_MONOTONIC."""
        return EPOCH + nanoseconds(self.fault + seconds)

    def events(self) -> list[AnyEvent]:
        """The journal, in order of its instants, sealed."""
        found = [*self._frame(), *self._faults(), *self._rounds(), *self._proofs()]
        ordered = sorted(found, key=lambda event: event.at)
        return sealed([*ordered, *self._epilogue()])

    def samples(self) -> bytes:
        """The sample file, in order of completion."""
        load = self.experiment.load
        if load is None:
            return b""
        rng = np.random.default_rng(self.seed)
        count = self._due(self.load_until if self.load_until is not None else self.end)
        due = EPOCH + np.rint(np.arange(count) * (1e9 / load.rate)).astype(np.int64)
        since = (due - self.at(0)) / 1e9
        sent = due + rng.integers(50_000, 2_000_000, count)
        took = rng.integers(5_000_000, 20_000_000, count)
        outcome = np.zeros(count, np.uint8)
        marker = rng.integers(0, len(self.served), count).astype(np.uint16) if self.served else np.full(count, NO_MARKER, np.uint16)
        present = np.ones(count, np.bool_)
        for one in self.weather:
            inside = np.flatnonzero((since >= one.begin) & (since < one.end))
            hit = inside[_evenly(len(inside), one.share)]
            outcome[hit], took[hit] = one.outcome, nanoseconds(one.latency)
            sent[hit] += nanoseconds(one.late)
            present[hit] &= not one.missing
        rows = np.zeros(count, _LAYOUT)
        dropped = outcome == Outcome.dropped
        rows["f0"], rows["f1"], rows["f2"] = np.arange(count), np.where(dropped, 0, sent), np.where(dropped, 0, sent + took)
        rows["f3"], rows["f4"], rows["f5"] = np.where(outcome == 0, 200, 0), np.where(outcome == 0, marker, NO_MARKER), outcome
        rows = rows[present]
        return bytes(rows[np.argsort(rows["f2"], kind="stable")].tobytes())

    def record(self, *, final: bool = True, edit: Callable[[list[AnyEvent]], Sequence[AnyEvent]] | None = None) -> Record:
        """Folded and judged. ``edit`` changes the journal first; the seal is made again after it."""
        events = self.events()
        return judged(fold(sealed(edit(events[:-1])) if edit else events, self.samples()), final=final)

    def plan(self) -> Plan:
        exposed = tuple(Target(kind="pod", name=name, namespace="shop") for name in self.exposed)
        environment = Environment(name="sandbox", kind="sandbox")
        return Plan(
            experiment=self.experiment, environment=environment, seed=self.seed, bound=self.bound, exposed=exposed, digest=self.digest
        )

    def _frame(self) -> list[AnyEvent]:
        """The phases and the load."""
        at, healed = self.at, self.heal + self.healed_after
        generator = Generator(name="prober", version="1", model=self.model, on=EPOCH)  # type: ignore[arg-type]  # "open" or "closed"
        found: list[AnyEvent] = [
            RunOpened(at=EPOCH - 1, schema=1, run="r1", plan=self.plan(), wall=0, boottime=EPOCH, boot_id="b"),
            PhaseBegan(at=EPOCH, phase=Phase.preflight),
            PhaseBegan(at=EPOCH + nanoseconds(WARM_UP), phase=Phase.baseline),
            Exposed(at=at(0) - 2, served={}, ready=self.exposed if self.still_ready is None else self.still_ready, passing=self.passing),
            PhaseBegan(at=at(0) - 1, phase=Phase.inject),
            PhaseBegan(at=at(self.proven_after), phase=Phase.hold),
            PhaseBegan(at=at(self.heal) - 1, phase=Phase.heal),
            HealBegan(at=at(self.heal)),
            HealEnded(at=at(healed), ok=True),
            PhaseBegan(at=at(healed) + 1, phase=Phase.recover),
            PhaseBegan(at=at(self.end + 1.1), phase=Phase.judge),
        ]
        if self.experiment.load is not None:
            found.append(LoadBegan(at=EPOCH, generator=generator, endpoint=self.experiment.load.endpoint, url="http://127.0.0.1:8080/"))
            found.append(LoadEnded(at=at(self.end + 1.0), seal=self._seal(), asked=at(self.end)))
        return found

    def _faults(self) -> list[AnyEvent]:
        found: list[AnyEvent] = []
        for index, one in enumerate(self.bound):
            began = self.at(0) + index
            found.append(CallBegan(at=began, action=one.action.name, index=index))
            found.append(CallEnded(at=began + nanoseconds(self.proven_after / 2), action=one.action.name, index=index, ok=True))
            for undo in one.undo:
                healed = self.at(self.heal + self.healed_after) - 1
                found.append(UndoMoved(at=began - 1, record=UndoRecord(undo=undo, state=UndoState.prepared)))
                found.append(UndoMoved(at=healed, record=UndoRecord(undo=undo, state=UndoState.closed, ending=self.ending, by="runner")))
        return found

    def _proofs(self) -> list[AnyEvent]:
        """One that ends inject, one each second of hold, one at its end."""
        looks = [self.proven_after, *np.arange(self.proven_after + 1, self.heal - 0.05, 1.0).tolist(), self.heal - 0.01]
        return [self._look(index, since, first=number == 0) for index in range(len(self.bound)) for number, since in enumerate(looks)]

    def _look(self, index: int, since: float, *, first: bool) -> Proved:
        holds: bool | None = None if _among(self.unseen, since) else not _among(self.gone, since)
        victims = tuple(target.name for target in self.bound[index].targets) if holds else ()
        return Proved(
            at=self.at(since) - (2 if first else 0),
            action=self.bound[index].action.name,
            index=index,
            asked=self.at(since) - nanoseconds(0.005),
            proof=Proof(holds=holds, what="the pod is gone", victims=victims),
            during=Phase.inject if first else Phase.hold,
        )

    def _rounds(self) -> list[AnyEvent]:
        if self.experiment.steady_state is None:
            return []
        found: list[AnyEvent] = []
        every = self.experiment.probe_every
        for number, since in enumerate(np.arange(-self.experiment.baseline, self.end, every).tolist()):
            if _among(self.unasked, since):
                continue
            ok: bool | None = None if _among(self.silent, since) else not _among(self.out_of_tolerance, since)
            due = self.at(since)
            ended = due + nanoseconds(0.004)
            value = None if ok is None else 200 if ok else 503
            found.append(ProbeSeen(at=ended, probe="health", round=number, due=due, value=value, ok=ok))
            found.append(RoundSeen(at=ended, round=number, due=due, ok=ok))
        return found

    def _epilogue(self) -> list[AnyEvent]:
        begin = self.at(self.end + 1.2)
        return [
            BodyEnded(at=begin, how=self.body),
            PhaseBegan(at=begin + 1, phase=Phase.audit),
            Audited(at=begin + 2, residue=self.residue, took=0.2),
        ]

    def _seal(self) -> Seal:
        data = self.samples()
        until = self.load_until if self.load_until is not None else self.end
        return Seal(
            count=len(data) // SAMPLE.size,
            sha256=hashlib.sha256(data).hexdigest(),
            off=self.at(until),
            due=self._due(until),
            markers=self.served,
            unhealthy=tuple(Health(at=self.at(since), lateness_max=0.2) for since in self.unhealthy),
        )

    def _due(self, until: float) -> int:
        load = self.experiment.load
        return int(np.ceil((self.at(until) - EPOCH) * load.rate / 1e9 - 1e-9)) if load else 0


def sealed(events: Sequence[AnyEvent]) -> list[AnyEvent]:
    """The events with a seal that counts them."""
    at = max((event.at for event in events), default=EPOCH)
    return [*events, RunSealed(at=at, lines=len(events), sha256="")]


def cut(events: Sequence[AnyEvent], *, at: int) -> list[AnyEvent]:
    """The first ``at`` events: what a killed runner leaves."""
    return list(events[:at])


def without(events: Sequence[AnyEvent], kind: type) -> list[AnyEvent]:
    """The events but for those of one kind."""
    return [event for event in events if not isinstance(event, kind)]


def changed(events: Sequence[AnyEvent], kind: type, **changes: object) -> list[AnyEvent]:
    """The events, with some fields of all those of one kind changed."""
    return [but(event, **changes) if isinstance(event, kind) else event for event in events]


def _probe(name: str) -> Probe:
    return Probe(name=name, provider=PythonProvider(module="probes.shop", func=name), tolerance=Exactly(value=200))


def _among(spans: Sequence[tuple[float, float]], since: float) -> bool:
    return any(begin <= since < end for begin, end in spans)


def _evenly(count: int, share: float) -> Ints:
    """Indices of a share of ``count`` things, spread evenly."""
    marks = np.floor(np.arange(1, count + 1) * share + 1e-9) - np.floor(np.arange(count) * share + 1e-9)
    return np.flatnonzero(marks > 0)
