"""
When a finding may be believed: the conditions V and W (docs/protocols/verdict.md). Each closes a road to a false answer.

Called by :mod:`chaosfw.analysis.judge`. ``deviated`` needs V, ``held`` needs all of them. Adding one is: one function, one
entry in ``CONDITIONS``, one paragraph in the docs, one test that fails only by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from chaosfw.analysis import objectives
from chaosfw.model.controls import Control
from chaosfw.model.event import Phase
from chaosfw.model.fault import UndoState
from chaosfw.model.load import Seal
from chaosfw.model.record import ActionLine, Coverage, Record
from chaosfw.model.verdict import Condition, Truth
from chaosfw.timing import nanoseconds, seconds

Check = Callable[[Record, bool], Condition | None]

FEWEST_EVALUATIONS = 5
"""Evaluations of the hypothesis in the baseline, at least."""

FEWEST_REQUESTS = 10
"""Requests in the baseline and while the fault is in, at least: the shortest stretch that can show an onset."""

COVERED = 0.9
"""Share of the scheduled evaluations that must be there."""

TAINTED = 0.01
"""Share of requests that may have been due while the generator was unwell."""

UNKNOWN_IN_BASELINE = 0.05

PROOF_EVERY = 3.0
"""Seconds before the heal in which the last look at the effect must have seen it; or a quarter of hold, if that is longer."""


def conditions(record: Record, *, final: bool) -> tuple[Condition, ...]:
    """All conditions that apply to this run."""
    return tuple(found for check in CONDITIONS if (found := check(record, final)) is not None)


def executed_plan(record: Record, final: bool) -> Condition | None:
    """V: what was called is what was planned and hashed."""
    plan = record.plan
    if plan is None:
        return _unmet("plan", "the journal does not say what was to be done", kind="V")
    if not plan.digest:
        return _unmet("plan", "the plan was never hashed", kind="V")
    if record.unplanned:
        return _unmet("plan", f"{record.unplanned[0]} was called and is not in the plan that was hashed", kind="V")
    return _met("plan", f"the executed plan is {plan.digest[:12]}", kind="V")


def fault_called(record: Record, final: bool) -> Condition | None:
    """V: at least one fault was called."""
    if record.fault_call is not None:
        return _met("fault-called", "the fault was called", kind="V")
    if record.plan is not None and not record.plan.experiment.actions:
        return _unmet("fault-called", "exploring: the method is empty, nothing was broken", kind="V")
    return _unmet("fault-called", "the fault was never called", kind="V")


def baseline(record: Record, final: bool) -> Condition | None:
    """V: the system was normal before the fault."""
    reason = _baseline_trouble(record)
    return _unmet("baseline", reason, kind="V") if reason else _met("baseline", "normal through the whole baseline", kind="V")


def whole_samples(record: Record, final: bool) -> Condition | None:
    """V: the samples are exactly those that the generator sealed."""
    if not _wants_load(record):
        return None
    if record.load is None:
        return _unmet("whole-samples", "the load never began", kind="V")
    if record.load.broken:
        return _unmet("whole-samples", f"the samples are not whole: {record.load.broken}", kind="V")
    return _met("whole-samples", "the samples are those that the generator sealed", kind="V")


def uncontaminated(record: Record, final: bool) -> Condition | None:
    """V: nothing else touched the system. Evidence from before it still counts: see ``judge``."""
    if not record.contaminated:
        return _met("uncontaminated", "nothing foreign was seen", kind="V")
    return _unmet("uncontaminated", f"something else touched the system: {record.contaminated[0]}", kind="V")


def proven(record: Record, final: bool) -> Condition | None:
    """W: every fault really bit, and stayed to the end of hold."""
    reasons = [reason for line in record.actions if (reason := _unproven(record, line))]
    if reasons:
        return _unmet("proven", reasons[0])
    return _met("proven", "every fault was seen to be in, to the end of hold")


def exposed(record: Record, final: bool) -> Condition | None:
    """W: the load reached what was hit, before it was hit."""
    if not _wants_load(record) or record.fault_call is None:
        return None
    found = record.exposure
    if not found.how:
        return _unmet("exposed", _unexposed(record))
    words = f"inferred from {found.connections:,} connections" if found.how == "inferred" else f"seen by {found.how}"
    return _met("exposed", f"the load reached what was hit, {words}")


def healthy_generator(record: Record, final: bool) -> Condition | None:
    """W: a generator that was well, and kept its schedule where it has one. What a closed loop can not show, claims do not claim."""
    if not _wants_load(record):
        return None
    load = record.load
    if load is None:
        return _unmet("generator", "the load never began")
    share = load.tainted / load.total.intended if load.total.intended else 0.0
    if share > TAINTED:
        words = f"the load generator was unwell for {share * 100:.1f} % of the requests, allowed {TAINTED * 100:g} %"
        return _unmet("generator", words + _own_trouble(load.seal))
    return _met("generator", f"the generator kept its schedule ({share * 100:.2g} % of the requests tainted)")


def controls(record: Record, final: bool) -> Condition | None:
    """W: where controls were asked for: the instruments were quiet with nothing broken, and not with everything."""
    if not record.controls:
        return None
    reasons = [reason for one in record.controls if (reason := _blind(one) if one.kind == "loud" else _noisy(one))]
    if reasons:
        return _unmet("controls", reasons[0])
    return _met("controls", "load and probes were quiet with nothing broken, and saw a server that refuses everything")


def _noisy(one: Control) -> str:
    what = "the control with nothing broken"
    if one.trouble:
        return f"{what} could not be made: {one.trouble}"
    if one.onsets:
        return f"{what} saw an outage: {one.bad:,} of {one.intended:,} requests failed by themselves"
    wrong = [probe for probe in one.probes if probe.false]
    return f"{what} found {wrong[0].name!r} out of tolerance {wrong[0].false} times" if wrong else ""


def _blind(one: Control) -> str:
    what = "a server that refuses everything"
    if one.trouble:
        return f"the control with {what} could not be made: {one.trouble}"
    if one.good:
        return f"the load is blind: {one.good:,} of {one.intended:,} requests were good at {what}"
    if one.intended and not one.bad:
        return f"the control with {what} told nothing: of {one.intended:,} requests none is known to have failed"
    blind = [probe for probe in one.probes if probe.redirected and probe.true]
    return f"the probe {blind[0].name!r} is blind: it is well with {what}" if blind else ""


def _own_trouble(seal: Seal | None) -> str:
    """What the generator's machine lacked, as far as it was neither time nor a core."""
    if seal is None:
        return ""
    lacked = []
    if seal.lookups_failed:
        lacked.append(f"{seal.lookups_failed:,} of its {seal.lookups:,} look-ups of the endpoint's name failed")
    if seal.exhausted:
        lacked.append(f"{seal.exhausted:,} requests found no free descriptor, port or buffer on its machine")
    return ": " + ", and ".join(lacked) if lacked else ""


def awake(record: Record, final: bool) -> Condition | None:
    """W: the machine did not sleep: clocks stood still, and so did probes and load."""
    slept = record.suspended > 0 or bool(record.load and record.load.seal and record.load.seal.suspended)
    if not slept:
        return _met("awake", "the machine did not sleep")
    return _unmet("awake", "the machine slept during the run" + (f" for {record.suspended:.1f} s" if record.suspended else ""))


def enough_samples(record: Record, final: bool) -> Condition | None:
    """W: enough requests to say anything at all, and what the objectives need."""
    if not _wants_load(record) or record.fault_call is None:
        return None
    few = _too_few(record)
    return _unmet("enough-samples", few) if few else _met("enough-samples", "enough requests in the baseline and while the fault was in")


def resolution(record: Record, final: bool) -> Condition | None:
    """W: the smallest outage that the load can see is not longer than the tightest time claim."""
    if not _wants_load(record) or record.plan is None or record.load is None:
        return None
    experiment = record.plan.experiment
    tightest = min(limit for limit in (experiment.recover_within, experiment.mitigate_within) if limit is not None)
    visible = record.load.resolution
    if visible > tightest:
        return _unmet("resolution", f"the load sees outages from {visible:.3g} s on, but {tightest:g} s was claimed: raise the rate")
    return _met("resolution", f"the load sees total outages from {visible:.3g} s on")


def watched(record: Record, final: bool) -> Condition | None:
    """W: the hypothesis was evaluated when it was due, and answered before the fault and after it."""
    if record.plan is None or record.plan.experiment.steady_state is None or record.plan.experiment.stock:
        return None
    reasons = [reason for one in record.coverage if (reason := _uncovered(record, one))]
    return _unmet("watched", reasons[0]) if reasons else _met("watched", "the hypothesis was evaluated as scheduled")


def sealed(record: Record, final: bool) -> Condition | None:
    """W, when final: the journal is whole."""
    if not final:
        return None
    if not record.sealed:
        return _unmet("sealed", "the journal has no seal that fits it: something may be missing")
    return _met("sealed", "the journal is whole")


def not_halted(record: Record, final: bool) -> Condition | None:
    """W: the run was not stopped."""
    if record.halted:
        return _unmet("not-halted", f"halted: {record.halted}")
    return _met("not-halted", "nobody stopped the run")


def undone(record: Record, final: bool) -> Condition | None:
    """W: everything was put back, by us, as intended."""
    reason = _not_undone(record)
    return _unmet("undone", reason) if reason else _met("undone", "everything was put back as intended")


CONDITIONS: tuple[Check, ...] = (
    not_halted,
    executed_plan,
    baseline,
    fault_called,
    whole_samples,
    uncontaminated,
    proven,
    exposed,
    healthy_generator,
    awake,
    enough_samples,
    resolution,
    watched,
    controls,
    undone,
    sealed,
)


def _baseline_trouble(record: Record) -> str:
    if record.plan is None:
        return "there was no baseline"
    if record.plan.experiment.steady_state is not None:
        rounds = [one for one in record.rounds if one.phase is Phase.baseline]
        wrong = sum(1 for one in rounds if one.ok is False)
        silent = sum(1 for one in rounds if one.ok is None)
        if wrong:
            return f"the system was not normal before the fault: {wrong} of {len(rounds)} evaluations out of tolerance"
        if silent:
            return f"{silent} of {len(rounds)} evaluations before the fault gave no evidence"
        fewest = 1 if record.plan.experiment.stock else FEWEST_EVALUATIONS
        if len(rounds) < fewest:
            return f"{len(rounds)} evaluations before the fault, at least {fewest} are needed"
    early = next((one for one in record.outages if record.fault_call and one.onset.last and one.onset.last <= record.fault_call), None)
    if early is not None:
        return f"{early.what} had an outage before the fault was called"
    missed = next(
        (
            one
            for one in record.objectives
            if one.window == "baseline" and _missed(one.counts.bad, one.counts.intended, one.objective.target)
        ),
        None,
    )
    if missed is not None:
        return f"{missed.objective} was missed before the fault already ({missed.counts.bad:,} of {missed.counts.intended:,} requests bad)"
    before = next((one.counts for one in record.load.phases if one.phase is Phase.baseline), None) if record.load else None
    if before is not None and before.unknown > UNKNOWN_IN_BASELINE * before.intended:
        return f"{before.unknown:,} of {before.intended:,} requests before the fault are unknown"
    return ""


def _missed(bad: int, intended: int, target: float) -> bool:
    """False by the same rule as while the fault is in."""
    return bad > objectives.allowance(target, of=max(intended, objectives.minimum(target)))


def _unproven(record: Record, line: ActionLine) -> str:
    if line.called is None:
        return f"{line.name} was never called"
    if line.ok is False:
        return f"{line.name} failed: {line.error or 'no reason given'}"
    if line.ok is None:
        return f"{line.name} did not return"
    if not line.provable:
        return f"nothing can prove that {line.name} had an effect"
    if line.proven is None:
        return f"{line.name} was called, but its effect was never seen"
    if line.faded is not None:
        return f"{line.name} faded: {seconds(line.faded - line.proven):.1f} s after its proof the effect was gone"
    end = record.heal_call if record.heal_call is not None else record.ended
    hold = end - (record.fault_proof or end)
    if line.last_held is None or end - line.last_held > max(nanoseconds(PROOF_EVERY), hold // 4):
        return f"{line.name} was last seen in {seconds(end - (line.last_held or line.proven)):.1f} s before the heal: it may have faded"
    return ""


def _too_few(record: Record) -> str:
    if record.load is None:
        return "the load never began"
    amounts = {one.phase: one.counts.intended for one in record.load.phases}
    for words, amount in (
        ("before the fault", amounts.get(Phase.baseline, 0)),
        ("while the fault was in", amounts.get(Phase.inject, 0) + amounts.get(Phase.hold, 0)),
    ):
        if amount < FEWEST_REQUESTS:
            return f"{amount} requests {words}, at least {FEWEST_REQUESTS} are needed"
    short = next(
        (one for one in record.objectives if one.window == "fault" and one.counts.intended < objectives.minimum(one.objective.target)), None
    )
    if short is not None and objectives.decide(short.counts, target=short.objective.target) is not Truth.false:
        need = objectives.minimum(short.objective.target)
        return f"{short.counts.intended:,} requests while the fault was in; {short.objective} needs {need:,}"
    return ""


def _uncovered(record: Record, one: Coverage) -> str:
    assert record.plan is not None
    experiment = record.plan.experiment
    words = {"baseline": "before the fault", "fault": "while the fault was in", "after": "after the heal"}[one.window]
    judged = one.window != "fault" or experiment.throughout
    there = one.answered if judged else one.made
    if there < math.floor(COVERED * one.scheduled):
        return f"{there} of {one.scheduled} scheduled evaluations {words} {'gave evidence' if judged else 'were made'}"
    hypothesis = experiment.steady_state
    slowest = max((probe.timeout for probe in hypothesis.probes), default=1.0) if hypothesis else 1.0
    widest = max(4 * experiment.probe_every + slowest, 0.1 * one.scheduled * experiment.probe_every)
    if judged and one.gap > widest:
        return f"no evidence of the hypothesis for {one.gap:.1f} s {words}, allowed {widest:.1f} s"
    return ""


def _not_undone(record: Record) -> str:
    if record.fault_call is None:
        return ""
    known = {one.undo.id: one for one in record.undo}
    for undo in (undo for bound in record.bound for undo in bound.undo):
        if undo.id not in known:
            return f"the way back of {undo.subject} was never recorded"
    for one in record.undo:
        if one.state is not UndoState.closed:
            return f"{one.undo.subject} was not put back: its undo record is {one.state.value}" + (f" ({one.reason})" if one.reason else "")
        if one.ending == "by-other":
            return f"{one.undo.subject} was put back by somebody else: for how long the fault was in is not known"
        if one.ending not in one.undo.intended:
            return f"{one.undo.subject} ended as {one.ending}, intended was {' or '.join(one.undo.intended)}"
    if record.heal_call is None:
        return "the heal never began"
    return "" if record.heal_proof is not None else "the heal was never proven"


def _unexposed(record: Record) -> str:
    found = record.exposure
    hit = ", ".join(found.missed) or "the fault"
    unknown = [line.name for line in record.actions if line.name in found.missed and all(one.kind == "call" for one in line.targets)]
    if unknown:
        return f"nothing shows that the load reached what {hit} hit: say what {', '.join(unknown)} hits, with victims="
    silent = [name for name in found.victims if name not in found.reached]
    return f"nothing shows that the load reached what {hit} hit ({', '.join(silent) or 'no victim is known'})"


def _wants_load(record: Record) -> bool:
    return record.plan is not None and record.plan.experiment.load is not None


def _met(slug: str, reason: str, *, kind: str = "W") -> Condition:
    return Condition(slug=slug, met=True, reason=reason, kind=kind)


def _unmet(slug: str, reason: str, *, kind: str = "W") -> Condition:
    return Condition(slug=slug, met=False, reason=reason, kind=kind)
