"""
Whether the evidence is sound: were the faults proven and did they stay, did the load reach the victims, were the probes
asked and did they answer.

Called by :mod:`chaosfw.analysis.fold`; it collects facts for the record. What follows from them is in
:mod:`chaosfw.analysis.conditions`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from chaosfw.analysis.samples import Bools, Series
from chaosfw.analysis.story import Story
from chaosfw.model.event import CallBegan, CallEnded, Contaminated, Exposed, Phase, ProbeSeen, Proved
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import Bound
from chaosfw.model.load import NO_MARKER, Outcome, Seal
from chaosfw.model.plan import Plan
from chaosfw.model.record import ActionLine, Coverage, Exposure, ProbeLine, Round
from chaosfw.model.struct import Json
from chaosfw.model.tolerance import Between
from chaosfw.timing import seconds

_MISSED_CHANCE = 0.001
"""Inferred exposure: missing every victim by chance must be rarer than this."""


def actions(story: Story) -> tuple[ActionLine, ...]:
    """One line per bound action, called or not."""
    bounds = story.plan.bound if story.plan else ()
    began = {one.index: one for one in reversed(story.all(CallBegan))}
    ended = {one.index: one for one in story.all(CallEnded)}
    looks: dict[int, list[Proved]] = {}
    for one in story.all(Proved):
        looks.setdefault(one.index, []).append(one)
    return tuple(
        _action(bound, began=began.get(index), ended=ended.get(index), looks=looks.get(index, [])) for index, bound in enumerate(bounds)
    )


def _action(bound: Bound, *, began: CallBegan | None, ended: CallEnded | None, looks: list[Proved]) -> ActionLine:
    held = [one for one in looks if one.proof.holds]
    gone = [one for one in looks if one.proof.holds is False and one.during is Phase.hold]
    return ActionLine(
        name=bound.action.name,
        fault=bound.fault,
        provider=bound.action.provider.name,
        targets=bound.targets,
        changes=bound.changes,
        called=began.at if began else None,
        returned=ended.at if ended else None,
        ok=ended.ok if ended else None,
        error=ended.error if ended else "",
        proven=held[0].at if held else None,
        proofs=len(held),
        refuted=len(gone),
        unseen=sum(1 for one in looks if one.proof.holds is None),
        victims=tuple(sorted({name for one in held for name in one.proof.victims})),
        provable=bound.provable,
        last_held=held[-1].asked if held else None,
        faded=gone[0].asked if gone else None,
    )


def unplanned(story: Story) -> tuple[str, ...]:
    """Names of calls that are not the plan's at their place."""
    names = [bound.action.name for bound in story.plan.bound] if story.plan else []
    return tuple(one.action for one in story.all(CallBegan) if names[one.index : one.index + 1] != [one.action])


def contaminated_at(story: Story, lines: Sequence[ActionLine]) -> int | None:
    """
    From when on the evidence is not about our fault: something foreign, or a fault that was gone. A fault that faded did so
    at some time after the last look that saw it.
    """
    foreign = [one.at for one in story.all(Contaminated)]
    faded = [_last_seen_before(story, index, line.faded) for index, line in enumerate(lines) if line.faded is not None]
    return min(foreign + faded, default=None)


def _last_seen_before(story: Story, index: int, faded: int) -> int:
    seen = [one.asked for one in story.all(Proved) if one.index == index and one.proof.holds and one.asked < faded]
    return max(seen, default=story.fault_call or faded)


def served(story: Story, *, series: Series | None, baseline: Bools | None, seal: Seal | None) -> tuple[dict[str, int], str]:
    """Requests by instance in the baseline, and how that is known: from the data plane's count or from response markers."""
    counted = story.last(Exposed)
    if counted and counted.served:
        return dict(counted.served), "marker" if counted.how == "marker" else "data plane"
    if series is None or baseline is None or seal is None:
        return {}, ""
    marks = series.marker[baseline & (series.outcome == Outcome.ok) & (series.marker != NO_MARKER)]
    amounts = np.bincount(marks, minlength=len(seal.markers)).tolist()
    found = {name: amount for name, amount in zip(seal.markers, amounts, strict=False) if amount}
    return found, "marker" if found else ""


def endpoints(story: Story) -> tuple[set[str], set[str]]:
    """
    The endpoints that stood ready from the plan to the fault, and all that are known: those that came or went meanwhile shared the
    connections as well. Without a second look right before the fault nothing stood.
    """
    planned = {target.name for target in story.plan.exposed} if story.plan else set()
    seen = story.last(Exposed)
    if seen is None:
        return set(), planned
    return planned & set(seen.ready), planned | set(seen.ready) | set(seen.passing)


def exposure(
    plan: Plan, *, lines: Sequence[ActionLine], served: dict[str, int], how: str, connections: int, stood: set[str], known: set[str]
) -> Exposure:
    """
    Did the load reach a victim of every action before it was hit? Seen, or inferred: the victim stood as a ready endpoint all
    through the baseline and there were enough connections for all that are known (verdict.md, Exposure).

    Of victims that the action's author named, which ones are hit is not known: there the load must have reached every one.
    """
    victims = [set(line.victims) or {target.name for target in line.targets} for line in lines]
    stated = [bound.hits is not None for bound in plan.bound]
    everyone = tuple(sorted(set().union(*victims)))
    reached = {name for name in everyone if served.get(name)}

    def without(there: set[str]) -> tuple[str, ...]:
        each = zip(lines, victims, stated, strict=True)
        return tuple(line.name for line, names, every in each if not (names <= there if every else names & there))

    missed = without(reached)
    if not missed or known & set(served):
        return Exposure(
            how=how if not missed else "", victims=everyone, reached=tuple(sorted(reached)), missed=missed, connections=connections
        )
    needed = max(
        (
            _needed(1, of=len(known), chances=len(names)) if every else _needed(len(names & stood), of=len(known))
            for names, every in zip(victims, stated, strict=True)
        ),
        default=0,
    )
    unsure = tuple(line.name for line in lines) if connections < needed else without(stood)
    return Exposure(
        how="" if unsure else "inferred",
        victims=everyone,
        reached=() if unsure else tuple(sorted(set(everyone) & stood)),
        missed=unsure,
        connections=connections,
        needed=needed,
    )


def _needed(hit: int, *, of: int, chances: int = 1) -> int:
    """Connections after which all of them missing a victim (or one of several) has a chance below 1 in 1,000."""
    if not hit:
        return 0
    return 1 if hit >= of else math.ceil(math.log(_MISSED_CHANCE / chances) / math.log(1 - hit / of))


def coverage(rounds: Sequence[Round], *, window: str, begin: int, end: int, every: float) -> Coverage:
    """Evaluations that were due in [begin, end)."""
    inside = [one for one in rounds if begin <= one.due < end]
    answered = [one.due for one in inside if one.ok is not None]
    edges = [begin, *answered, end]
    return Coverage(
        window=window,
        scheduled=max(0, math.floor(seconds(end - begin) / every + 1e-9)),
        made=len(inside),
        answered=len(answered),
        gap=seconds(max((later - earlier for earlier, later in itertools.pairwise(edges)), default=0)),
    )


def probes(story: Story, experiment: Experiment) -> tuple[ProbeLine, ...]:
    """One line per probe of the hypothesis and of the method."""
    seen: dict[str, list[ProbeSeen]] = {}
    for one in story.all(ProbeSeen):
        seen.setdefault(one.probe, []).append(one)
    declared = (experiment.steady_state.probes if experiment.steady_state else ()) + experiment.probes
    tolerances = {probe.name: probe.tolerance for probe in declared}
    return tuple(_probe(name, looks=seen.get(name, []), tolerance=tolerances.get(name)) for name in dict.fromkeys([*tolerances, *seen]))


def _probe(name: str, *, looks: list[ProbeSeen], tolerance: object) -> ProbeLine:
    wrong = [one for one in looks if one.ok is False]
    silent = [one for one in looks if one.ok is None]
    return ProbeLine(
        name=name,
        tolerance=str(tolerance) if tolerance is not None else "",
        evaluations=len(looks),
        true=len(looks) - len(wrong) - len(silent),
        false=len(wrong),
        unknown=len(silent),
        first_false=wrong[0].at if wrong else None,
        last_value=looks[-1].value if looks else None,
        worst_value=_worst([one.value for one in looks], wrong=[one.value for one in wrong], tolerance=tolerance),
        error=silent[0].error if silent else "",
    )


def _worst(values: list[Json], *, wrong: list[Json], tolerance: object) -> Json:
    """For a range, the value nearest to its edge or farthest beyond it; else the first that was not tolerated."""
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if not isinstance(tolerance, Between) or not numbers:
        return wrong[0] if wrong else None
    low, high = tolerance.low, tolerance.high
    return max(
        numbers, key=lambda value: max(value - high if high is not None else -math.inf, low - value if low is not None else -math.inf)
    )
