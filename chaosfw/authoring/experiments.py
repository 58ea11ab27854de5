"""
Experiments as users write them: a base that says what normal is, and ``base.but(title, fault, …)`` for each way to break it.

What comes out is data. ``@experiment`` ties it to a test, as a value or as a function of the test's own parameters, so that
it is known before any test body runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, Hypothesis, Probe, Step
from chaosfw.model.environment import Limits
from chaosfw.model.experiment import Experiment as ExperimentNoun
from chaosfw.model.load import Load
from chaosfw.model.slo import SLO, Objective
from chaosfw.model.struct import but
from chaosfw.quantities import count_or_share, duration, share

F = TypeVar("F", bound=Callable[..., Any])
ATTRIBUTE = "__chaosfw_experiment__"

_DURATIONS = ("baseline", "lasts", "stable_for", "mitigate_within", "recover_within", "probe_every")
_PLAIN = ("steady_state", "throughout", "load", "slo", "limits")
_KINDS: dict[str, tuple[type, str]] = {
    "steady_state": (Hypothesis, "cf.Hypothesis(…)"),
    "throughout": (bool, "True or False"),
    "load": (Load, "cf.Load(…)"),
    "slo": (SLO, "cf.SLO(…)"),
    "limits": (Limits, "cf.limits(…)"),
}
_LISTS: dict[str, tuple[type, str]] = {
    "during_fault": (Objective, "a list such as [cf.availability('97%')]"),
    "rollbacks": (Action, "a list of actions"),
    "halt": (Probe, "a list of probes such as [cf.http('shop')]"),
}


class Experiment:
    """
    What normal is, what is promised while it is broken, and what breaks it. Values are checked when they are written.

    All durations as ``"20s"`` or seconds. ``during_fault``: the degradation that is accepted while the fault is in.
    ``costs_at_most``: share of the SLO window's error budget. ``halt``: probes asked all the while; the run ends at once, heals and
    is inconclusive when one is out of its tolerance, or can not be asked.
    """

    def __init__(
        self,
        title: str = "",
        *faults: Step,
        steady_state: Hypothesis | None = None,
        throughout: bool | None = None,
        during_fault: Sequence[Objective] | None = None,
        load: Load | None = None,
        slo: SLO | None = None,
        limits: Limits | None = None,
        baseline: str | float | None = None,
        lasts: str | float | None = None,
        stable_for: str | float | None = None,
        mitigate_within: str | float | None = None,
        recover_within: str | float | None = None,
        costs_at_most: str | float | None = None,
        probe_every: str | float | None = None,
        rollbacks: Sequence[Action] | None = None,
        halt: Sequence[Probe] | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "steady_state": steady_state,
            "throughout": throughout,
            "during_fault": during_fault,
            "load": load,
            "slo": slo,
            "limits": limits,
            "baseline": baseline,
            "lasts": lasts,
            "stable_for": stable_for,
            "mitigate_within": mitigate_within,
            "recover_within": recover_within,
            "costs_at_most": costs_at_most,
            "probe_every": probe_every,
            "rollbacks": rollbacks,
            "halt": halt,
        }
        self._title = title
        self._method = _steps(faults, title)
        self._given = {name: value for name, value in given.items() if value is not None}
        _check(self._given, title)
        self.noun  # noqa: B018  # a wrong value is reported where it was written

    def but(self, title: str, *faults: Step, **changes: Any) -> Experiment:
        """A copy with a title, faults and whatever else differs."""
        known = Experiment.__init__.__kwdefaults__ or {}
        if unknown := sorted(set(changes) - set(known)):
            raise UsageError(f"{title!r}: unknown {unknown[0]!r}", hint="known: " + ", ".join(sorted(known)))
        return Experiment(title or self._title, *(faults or self._method), **{**self._given, **changes})

    @property
    def noun(self) -> ExperimentNoun:
        """The experiment as data."""
        fields: dict[str, Any] = {name: self._given[name] for name in _PLAIN if name in self._given}
        for name in _DURATIONS:
            if name in self._given:
                fields[name] = duration(self._given[name], what=f"{self._title or 'experiment'!s}: {name}")
        if fields.get("probe_every") == 0:
            raise UsageError(f"{self._title or 'experiment'}: probe_every is 0: there would be no time between two looks")
        if "costs_at_most" in self._given:
            fields["costs_at_most"] = share(self._given["costs_at_most"], what=f"{self._title}: costs_at_most")
        for name in ("during_fault", "rollbacks", "halt"):
            if name in self._given:
                fields[name] = tuple(self._given[name])
        unwritten = tuple(name for name in _DURATIONS if name not in self._given and name != "mitigate_within")
        return ExperimentNoun(title=self._title, method=self._method, defaults=unwritten, **fields)

    def __repr__(self) -> str:
        return f"Experiment({self._title!r}, {len(self._method)} steps)"


def limits(
    *,
    pods: str | int | float | None = None,
    nodes: str | int | float | None = None,
    zones: str | int | float | None = None,
    protect: Sequence[str] = (),
    opt_in: Sequence[str] = (),
    min_ready: str | int | float | None = None,
) -> Limits:
    """
    A blast radius for one experiment. It narrows the environment's limits and never widens them. ``protect``: labels of what is never
    hit; ``opt_in``: labels of which what is hit has to carry one; ``min_ready``: pods of each workload that have to stay ready.
    """

    def read(name: str, value: str | int | float | None) -> float | int | None:
        return None if value is None else count_or_share(value, what=f"limits: {name}")

    return Limits(
        pods=read("pods", pods),
        nodes=read("nodes", nodes),
        zones=read("zones", zones),
        min_ready=read("min_ready", min_ready),
        protect=tuple(protect),
        opt_in=tuple(opt_in),
        budget=None,
    )


def experiment(what: Experiment | Callable[..., Experiment]) -> Callable[[F], F]:
    """
    Declares the experiment of a test: a value, or a function of the test's own parameters.

    The test takes the fixture ``chaos`` and calls ``chaos.run()``; ordinary pytest goes on from there.
    """
    if not isinstance(what, Experiment) and not callable(what):
        raise UsageError(f"@cf.experiment takes an Experiment or a function that makes one, not {type(what).__name__}")

    def mark(test: F) -> F:
        setattr(test, ATTRIBUTE, what)
        return test

    return mark


def at(noun: ExperimentNoun, *, file: str, line: int, name: str) -> ExperimentNoun:
    """The experiment with the place where it was written."""
    return but(noun, origin=but(noun.origin, file=file, line=line, name=name), title=noun.title or name)


def _check(given: dict[str, Any], title: str) -> None:
    for name, (kind, words) in _KINDS.items():
        if name in given and not isinstance(given[name], kind):
            raise UsageError(f"{title!r}: {name} is {given[name]!r}: {words} was expected")
    for name, (kind, words) in _LISTS.items():
        if name in given and not (isinstance(given[name], list | tuple) and all(isinstance(one, kind) for one in given[name])):
            raise UsageError(f"{title!r}: {name} is {given[name]!r}: {words} was expected")


def _steps(faults: Sequence[Step], title: str) -> tuple[Step, ...]:
    for one in faults:
        if not isinstance(one, Action | Probe):
            raise UsageError(f"{title!r}: {one!r} is neither a fault nor a probe", hint="write k8s.kill(…), zone.fail(…) or cf.toolkit(…)")
    names = [one.name for one in faults]
    if twice := [name for name in names if names.count(name) > 1]:
        return tuple(but(one, name=f"{one.name} #{number}") if one.name in twice else one for number, one in enumerate(faults, start=1))
    return tuple(faults)
