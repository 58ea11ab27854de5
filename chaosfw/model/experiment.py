"""One experiment as data: previewed, hashed, replayed, exported, run against fakes. Built by ``authoring`` and ``definitions``."""

from __future__ import annotations

from chaosfw.model.activity import Action, Hypothesis, Probe, Step
from chaosfw.model.environment import Limits
from chaosfw.model.load import Load
from chaosfw.model.slo import SLO, Objective
from chaosfw.model.struct import Json, Noun


class Origin(Noun, frozen=True, kw_only=True):
    """Where an experiment was written: a file, a line, the name of the test."""

    file: str = ""
    line: int = 0
    name: str = ""


class Experiment(Noun, frozen=True, kw_only=True):
    """
    What an experiment claims and does. All durations in seconds.

    ``steady_state`` holds through the whole ``baseline`` and stably (for ``stable_for``) at the end. ``method`` is injected;
    the fault is held for ``lasts`` from its proof; ``during_fault`` holds meanwhile. Impact ends within ``mitigate_within``
    (from the fault, which is still in) or ``recover_within`` (from the heal, or from the fault when it heals itself).
    """

    title: str
    steady_state: Hypothesis | None = None
    throughout: bool = False
    during_fault: tuple[Objective, ...] = ()
    method: tuple[Step, ...] = ()
    rollbacks: tuple[Action, ...] = ()
    load: Load | None = None
    slo: SLO | None = None
    halt: tuple[Probe, ...] = ()
    """Conditions under which the run goes on; one that is out of tolerance ends it at once."""
    limits: Limits | None = None
    """Narrows the environment's limits; never widens them."""
    baseline: float = 10.0
    lasts: float = 30.0
    stable_for: float = 5.0
    mitigate_within: float | None = None
    recover_within: float = 60.0
    costs_at_most: float | None = None
    """Share of the SLO window's error budget."""
    probe_every: float = 0.5
    stock: bool = False
    """Read from a Chaos Toolkit file without our extension block: claims only what Chaos Toolkit judges (verdict.md)."""
    origin: Origin = Origin()
    defaults: tuple[str, ...] = ()
    """Names of fields that nobody wrote: shown as defaults in plan and report."""
    configuration: dict[str, Json] = {}

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(step for step in self.method if isinstance(step, Action))

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(step for step in self.method if isinstance(step, Probe))
