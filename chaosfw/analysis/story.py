"""
A journal read once: its events by kind, the phases, and the instants that everything else is measured from.

Called by :mod:`chaosfw.analysis.fold`. It knows nothing of samples and judges nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from chaosfw.model.event import (
    AnyEvent,
    CallBegan,
    Event,
    HealBegan,
    HealEnded,
    LoadBegan,
    LoadEnded,
    Phase,
    PhaseBegan,
    Proved,
    RunOpened,
    Suspended,
)
from chaosfw.model.experiment import Experiment
from chaosfw.model.plan import Plan
from chaosfw.model.record import PhaseSpan, Span
from chaosfw.timing import NANOSECONDS, nanoseconds

E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One run's events, and the instants of fault and heal as intervals [call, proof]."""

    kinds: dict[type[Event], list[Event]]
    plan: Plan | None
    phases: tuple[PhaseSpan, ...]
    started: int
    ended: int
    fault_call: int | None
    fault_proof: int | None
    heal_call: int | None
    heal_proof: int | None
    fault_end: int | None
    load_on: int | None
    load_off: int

    def all(self, kind: type[E]) -> list[E]:
        return self.kinds.get(kind, [])  # type: ignore[return-value]  # the key is the element's own type

    def last(self, kind: type[E]) -> E | None:
        found = self.all(kind)
        return found[-1] if found else None

    def begin_of(self, phase: Phase) -> int | None:
        return next((one.span.first for one in self.phases if one.phase is phase), None)

    @property
    def experiment(self) -> Experiment | None:
        return self.plan.experiment if self.plan else None

    @property
    def slept(self) -> tuple[int, ...]:
        return tuple(event.at for event in self.all(Suspended))


def read(events: Sequence[AnyEvent]) -> Story:
    """The story of a journal, whole or cut."""
    kinds: dict[type[Event], list[Event]] = {}
    for event in events:
        kinds.setdefault(type(event), []).append(event)
    opened = _first(kinds, RunOpened)
    plan = opened.plan if opened else None
    fault_call = _at(_first(kinds, CallBegan))
    fault_proof = _fault_proof(kinds, plan)
    heal_call = _at(_first(kinds, HealBegan))
    ended = max((event.at for event in events), default=0)
    began = _first(kinds, LoadBegan)
    return Story(
        kinds=kinds,
        plan=plan,
        phases=_phases(kinds, ended=ended),
        started=events[0].at if events else 0,
        ended=ended,
        fault_call=fault_call,
        fault_proof=fault_proof,
        heal_call=heal_call,
        heal_proof=_heal_proof(kinds, heal_call=heal_call),
        fault_end=fault_end(plan, fault_call=fault_call, fault_proof=fault_proof, heal_call=heal_call, ended=ended),
        load_on=began.generator.on if began else None,
        load_off=_load_off(kinds, plan=plan, ended=ended) if began else 0,
    )


def self_heals(plan: Plan | None) -> bool:
    """Every fault of the plan goes away by itself: recovery counts from the fault, not from the heal."""
    return bool(plan and plan.bound and all(bound.self_heals or bound.action.self_heals for bound in plan.bound))


def fault_end(plan: Plan | None, *, fault_call: int | None, fault_proof: int | None, heal_call: int | None, ended: int) -> int | None:
    """The fault is in from its call to R_call; one that heals itself, to F_proof + max(lasts, recover_within)."""
    if fault_call is None or plan is None:
        return None
    if self_heals(plan) and fault_proof is not None:
        experiment = plan.experiment
        return fault_proof + nanoseconds(max(experiment.lasts, experiment.recover_within))
    return heal_call if heal_call is not None else ended


def _fault_proof(kinds: dict[type[Event], list[Event]], plan: Plan | None) -> int | None:
    """The last of the first holding proofs of all actions; None while one is unproven."""
    if plan is None or not plan.bound:
        return None
    first: dict[int, int] = {}
    for proved in _all(kinds, Proved):
        if proved.proof.holds:
            first.setdefault(proved.index, proved.at)
    return max(first.values()) if all(index in first for index in range(len(plan.bound))) else None


def _heal_proof(kinds: dict[type[Event], list[Event]], *, heal_call: int | None) -> int | None:
    if heal_call is None:
        return None
    return next((one.at for one in _all(kinds, HealEnded) if one.ok and one.at >= heal_call), None)


def _load_off(kinds: dict[type[Event], list[Event]], *, plan: Plan | None, ended: int) -> int:
    """
    Until when requests were intended. The generator's own word may only make this later: one that stopped early has
    left requests out, and they are missing.
    """
    stop = _all(kinds, LoadEnded)
    if not stop:
        return ended
    last = stop[-1]
    timeout = plan.experiment.load.timeout if plan and plan.experiment.load else 0.0
    asked = last.asked or last.at - nanoseconds(timeout) - NANOSECONDS
    return max(asked, last.seal.off) if last.seal else last.asked or last.at


def _phases(kinds: dict[type[Event], list[Event]], *, ended: int) -> tuple[PhaseSpan, ...]:
    began = _all(kinds, PhaseBegan)
    ends = [one.at for one in began[1:]] + [ended]
    return tuple(PhaseSpan(phase=one.phase, span=Span(first=one.at, last=end)) for one, end in zip(began, ends, strict=False))


def _all(kinds: dict[type[Event], list[Event]], kind: type[E]) -> list[E]:
    return kinds.get(kind, [])  # type: ignore[return-value]  # as above


def _first(kinds: dict[type[Event], list[Event]], kind: type[E]) -> E | None:
    return next(iter(_all(kinds, kind)), None)


def _at(event: Event | None) -> int | None:
    return event.at if event else None
