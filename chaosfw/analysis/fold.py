"""
A journal and its samples become a record: a pure fold, so that the same files give the same figures next year.

Called by the engine at the end of a run, by ``chaosfw report`` and by ``chaosfw watch`` on a journal that is still growing.
It measures and does not judge; the record's judgement is put in by :mod:`chaosfw.analysis.judge`.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chaosfw.analysis import alerts, budget, evidence, objectives, outages, pages, recovery, windows
from chaosfw.analysis.closed import corrected
from chaosfw.analysis.samples import MISSING, UNKNOWN, Bools, Bytes, Series, grades, series, silence
from chaosfw.analysis.segments import segments
from chaosfw.analysis.story import Story, read
from chaosfw.analysis.windows import Indices
from chaosfw.model.event import (
    AnyEvent,
    Audited,
    BodyEnded,
    ClusterSaw,
    Contaminated,
    Controlled,
    Halted,
    HealEnded,
    LoadBegan,
    LoadEnded,
    Monitored,
    Phase,
    RoundSeen,
    RunOpened,
    RunSealed,
    Suspended,
    UndoMoved,
)
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import UndoRecord
from chaosfw.model.load import Generator, Load, Seal
from chaosfw.model.record import Coverage, Exposure, LoadLine, Mark, ObjectiveLine, Outage, PageDue, Price, Record, Round
from chaosfw.model.struct import but
from chaosfw.timing import NANOSECONDS


def fold(events: Sequence[AnyEvent], samples: bytes | memoryview | Path = b"", *, sealed: bool | None = None) -> Record:
    """
    The record of one run, whole or cut anywhere. ``sealed``: the journal's seal fits its bytes (``store.read_journal`` knows);
    None: it ends with a seal that counts the events before it.
    """
    story = read(events)
    opened = next(iter(story.all(RunOpened)), None)
    if opened is None:
        return Record(run="", title="", slug="", plan=None)
    record = _told(story, opened, sealed=_ends_with_seal(events) if sealed is None else sealed)
    if story.load_on is None or opened.plan.experiment.load is None:
        return _without_load(record, story)
    return _with_load(record, story, data=samples)


def _told(story: Story, opened: RunOpened, *, sealed: bool) -> Record:
    """What the journal says without the samples."""
    plan = opened.plan
    lines = evidence.actions(story)
    body, audit, heal = story.last(BodyEnded), story.last(Audited), story.last(HealEnded)
    halted, told = next(iter(story.all(Halted)), None), story.last(Monitored)
    control = story.last(Controlled)
    return Record(
        run=opened.run,
        title=plan.experiment.title,
        slug=re.sub(r"[^a-z0-9]+", "-", plan.experiment.title.lower()).strip("-")[:60] or "run",
        plan=plan,
        started=story.started,
        ended=story.ended,
        wall=opened.wall,
        phases=story.phases,
        fault_call=story.fault_call,
        fault_proof=story.fault_proof,
        heal_call=story.heal_call,
        heal_proof=story.heal_proof,
        fault_end=story.fault_end,
        bound=plan.bound,
        actions=lines,
        probes=evidence.probes(story, plan.experiment),
        rounds=_rounds(story),
        undo=_undo(story),
        undo_at={one.record.undo.id: one.at for one in story.all(UndoMoved)},
        healed_by=heal.by if heal else "",
        halted=halted.reason if halted else "",
        halted_at=halted.at if halted else None,
        contaminated=tuple(one.reason for one in story.all(Contaminated)),
        contaminated_at=evidence.contaminated_at(story, lines),
        unplanned=evidence.unplanned(story),
        suspended=sum(one.seconds for one in story.all(Suspended)),
        suppressed=opened.suppressed,
        marks=_marks(story),
        segments=segments(story),
        body=body.how if body else "never-ran",
        body_message=body.message if body else "",
        audited=audit is not None,
        residue=audit.residue if audit else None,
        foreign=audit.foreign if audit else (),
        controls=(control.quiet, control.loud) if control else (),
        monitored=told.server if told else "",
        unmonitored=told.trouble if told else "",
        readings=told.readings if told else (),
        audit_took=audit.took if audit else 0.0,
        sealed=sealed,
        versions=opened.versions,
        settings=opened.settings,
    )


def _without_load(record: Record, story: Story) -> Record:
    experiment = _experiment(story)
    rounds = _judged(record)
    certain, possible = (outages.of_hypothesis(rounds, stable_for=experiment.stable_for, unknown_is_bad=bad) for bad in (False, True))
    seen = recovery.watched(rounds, every=experiment.probe_every, load=None, hypothesis=experiment.steady_state is not None)
    return but(
        record,
        outages=certain,
        possible=possible,
        coverage=_coverage(record, story),
        recovery=recovery.measure(story, possible=possible, watched=seen),
        alerts=alerts.lines(story, pages=()),
    )


def _with_load(record: Record, story: Story, *, data: bytes | memoryview | Path) -> Record:
    experiment = _experiment(story)
    load, began, stop = experiment.load, story.last(LoadBegan), story.last(LoadEnded)
    assert load is not None
    assert began is not None
    seal = stop.seal if stop else None
    column = _column(story, began=began, seal=seal, data=data)
    limit = experiment.slo.limit if experiment.slo else None
    grade = grades(column, limit=limit)
    index = windows.phase_of(column.due, column.known_end, phases=story.phases, fault_call=story.fault_call)
    baseline = _in_baseline(index, story)
    counted, how = evidence.served(story, series=column, baseline=baseline, seal=seal)
    certain, possible = _outages(record, story, column=column, grade=grade, name=load.endpoint)
    seen = recovery.watched(
        _judged(record), every=experiment.probe_every, load=story.load_off, hypothesis=experiment.steady_state is not None
    )
    everything, asked = np.ones(len(column.due), np.bool_), _pages(story, column=column)
    return but(
        record,
        load=LoadLine(
            generator=began.generator,
            endpoint=began.endpoint,
            url=began.url,
            seal=seal,
            sealed=not column.broken,
            total=objectives.count(column, grade=grade, mask=everything, limit=limit),
            phases=windows.by_phase(column, grade=grade, index=index, phases=story.phases, limit=limit),
            kinds=windows.by_kind(column, grade=grade, load=load, limit=limit),
            tainted=int(np.count_nonzero(column.tainted)),
            missing=int(np.count_nonzero(column.outcome == MISSING)),
            resolution=_resolution(
                column, load=load, generator=began.generator, begin=story.begin_of(Phase.baseline) or column.on, off=story.load_off
            ),
            rate=column.rate,
            corrected=corrected(column, grade=grade) if began.generator.model == "closed" else None,
            success_gap=windows.success_gap(column, grade=grade),
            downtime=_downtime(story, column=column, grade=grade),
            reason=stop.reason if stop else "the load was never stopped",
            off=story.load_off,
            broken=column.broken,
        ),
        axis=windows.axis(column, grade=grade, begin=column.on, end=story.load_off),
        outages=certain,
        possible=possible,
        objectives=_objectives(story, column=column, index=index, baseline=baseline),
        coverage=_coverage(record, story),
        served=counted,
        exposure=_exposure(record, story, column=column, baseline=baseline, counted=counted, how=how),
        recovery=recovery.measure(story, possible=possible, watched=seen),
        price=_price(story, column=column, index=index),
        pages=asked,
        alerts=alerts.lines(story, pages=asked),
    )


def requests(events: Sequence[AnyEvent], samples: bytes | memoryview | Path) -> Series | None:
    """Every request of a run, for whoever asks more of them than a record tells; None of a run without load."""
    story = read(events)
    began, stop = story.last(LoadBegan), story.last(LoadEnded)
    if began is None or story.experiment is None or story.experiment.load is None:
        return None
    return _column(story, began=began, seal=stop.seal if stop else None, data=samples)


def _column(story: Story, *, began: LoadBegan, seal: Seal | None, data: bytes | memoryview | Path) -> Series:
    load, off = _experiment(story).load, story.load_off
    assert load is not None
    return series(data, load=load, generator=began.generator, off=off, seal=seal, slept=story.slept, calm=_calm(story, off=off))


def _calm(story: Story, *, off: int) -> tuple[int, int] | None:
    """The baseline, or what there is of it."""
    begin = story.begin_of(Phase.baseline)
    return None if begin is None else (begin, max(begin + 1, min(story.fault_call or off, off)))


def _resolution(column: Series, *, load: Load, generator: Generator, begin: int, off: int) -> float:
    """
    The shortest total outage that the load can see, in seconds: 3/r when it is evenly paced (rule 17), of stages where they are slowest
    from the baseline on. Where users wait as they like, no shorter than the longest time in which nothing was asked.
    """
    if load.stages:
        gaps = np.diff(column.due[int(np.searchsorted(column.due, begin)) :])
        return 3 * float(gaps.max(initial=0)) / NANOSECONDS
    even = 3 / column.rate
    return even if generator.schedule == "planned" else max(even, silence(column, until=off))


def _outages(record: Record, story: Story, *, column: Series, grade: Bytes, name: str) -> tuple[tuple[Outage, ...], tuple[Outage, ...]]:
    """Certain and possible ones, of the SLI and of the hypothesis, in order of their onset."""
    stable_for = _experiment(story).stable_for
    begin = story.begin_of(Phase.baseline) or column.on
    rounds = _judged(record)

    def reading(*, unknown_is_bad: bool) -> tuple[Outage, ...]:
        load = outages.of_load(column, grade=grade, begin=begin, stable_for=stable_for, unknown_is_bad=unknown_is_bad, name=name)
        both = load + outages.of_hypothesis(rounds, stable_for=stable_for, unknown_is_bad=unknown_is_bad)
        return tuple(sorted(both, key=lambda one: one.onset.first))

    certain = reading(unknown_is_bad=False)
    doubt = bool((grade == UNKNOWN).any()) or any(one.ok is None for one in rounds)
    return certain, reading(unknown_is_bad=True) if doubt else certain


def _objectives(story: Story, *, column: Series, index: Indices, baseline: Bools) -> tuple[ObjectiveLine, ...]:
    claimed = _experiment(story).during_fault
    if story.fault_call is None or not claimed:
        return ()
    fault = _in_fault(column, story, index=index)
    return tuple(
        objectives.measure(one, series=column, mask=mask, window=window)
        for one in claimed
        for window, mask in (("baseline", baseline), ("fault", fault))
    )


def _price(story: Story, *, column: Series, index: Indices) -> Price | None:
    experiment, plan = _experiment(story), story.plan
    if experiment.slo is None or story.fault_call is None or plan is None:
        return None
    mask = (column.due >= story.fault_call) | _straddling(column, story, index=index)
    return budget.price(column, slo=experiment.slo, mask=mask, hypothetical=plan.environment.kind == "sandbox")


def _pages(story: Story, *, column: Series) -> tuple[PageDue, ...]:
    """By the availability of the SLO; its latency limits have no rules."""
    slo = _experiment(story).slo
    if slo is None or story.fault_call is None:
        return ()
    return pages.due(column, grade=grades(column, limit=None), slo=slo, since=story.fault_call)


def _downtime(story: Story, *, column: Series, grade: Bytes) -> tuple[float, float] | None:
    slo = _experiment(story).slo
    if slo is None or story.fault_call is None:
        return None
    return windows.downtime(column, grade=grade, begin=story.fault_call, target=slo.availability)


def _in_fault(column: Series, story: Story, *, index: Indices) -> Bools:
    """Due in [F_call, the fault's end), and those that were in flight at F_call."""
    assert story.fault_call is not None
    end = story.fault_end if story.fault_end is not None else story.ended
    return windows.within(column.due, begin=story.fault_call, end=end) | _straddling(column, story, index=index)


def _straddling(column: Series, story: Story, *, index: Indices) -> Bools:
    inject = next((number for number, one in enumerate(story.phases) if one.phase is Phase.inject), -2)
    found: Bools = (index == inject) & (column.due < (story.fault_call or 0))
    return found


def _in_baseline(index: Indices, story: Story) -> Bools:
    number = next((number for number, one in enumerate(story.phases) if one.phase is Phase.baseline), -2)
    found: Bools = index == number
    return found


def _exposure(record: Record, story: Story, *, column: Series, baseline: Bools, counted: dict[str, int], how: str) -> Exposure:
    connections = int(np.count_nonzero(baseline & ~column.reused & (column.sent > 0)))
    stood, known = evidence.endpoints(story)
    assert story.plan is not None
    return evidence.exposure(story.plan, lines=record.actions, served=counted, how=how, connections=connections, stood=stood, known=known)


def _coverage(record: Record, story: Story) -> tuple[Coverage, ...]:
    """Of the baseline, of the time in which the fault is in, and of the time after it."""
    experiment = _experiment(story)
    baseline, call = story.begin_of(Phase.baseline), story.fault_call
    if experiment.steady_state is None or baseline is None:
        return ()
    begins = [("baseline", baseline, call if call is not None else story.begin_of(Phase.heal) or story.ended)]
    if call is not None and story.fault_end is not None:
        over = story.begin_of(Phase.judge) or story.ended
        begins.append(("fault", call, min(story.fault_end, over)))
        begins.append(("after", story.fault_end, _rounds_end(record, over)))
    every = experiment.probe_every
    return tuple(
        evidence.coverage(record.rounds, window=window, begin=begin, end=end, every=every) for window, begin, end in begins if end > begin
    )


def _rounds_end(record: Record, over: int) -> int:
    """The probes end before the load has drained: the last evaluation ends their window, unless they went silent early."""
    last = record.rounds[-1].at if record.rounds else over
    timeout = record.plan.experiment.load.timeout if record.plan and record.plan.experiment.load else 0.0
    return last if over - last <= (timeout + 2) * 1e9 else over


def _rounds(story: Story) -> tuple[Round, ...]:
    starts, phases = [one.span.first for one in story.phases], [one.phase for one in story.phases]

    def phase(one: RoundSeen) -> Phase:
        if story.fault_call is not None and one.due < story.fault_call < one.at:
            return Phase.inject
        place = bisect.bisect_right(starts, one.due) - 1
        return phases[place] if place >= 0 else Phase.preflight

    seen = sorted(story.all(RoundSeen), key=lambda one: one.due)
    return tuple(Round(due=one.due, at=one.at, ok=one.ok, phase=phase(one), before_rollbacks=one.before_rollbacks) for one in seen)


def _judged(record: Record) -> tuple[Round, ...]:
    """Rounds from the baseline on."""
    return tuple(one for one in record.rounds if one.phase is not Phase.preflight)


def _undo(story: Story) -> tuple[UndoRecord, ...]:
    latest: dict[str, UndoRecord] = {}
    for moved in story.all(UndoMoved):
        latest[moved.record.undo.id] = moved.record
    return tuple(latest.values())


def _marks(story: Story) -> tuple[Mark, ...]:
    marks = [Mark(at=one.at, what=one.what, kind="cluster") for one in story.all(ClusterSaw)]
    marks += [Mark(at=one.at, what=one.reason, kind="halt") for one in story.all(Halted)]
    marks += [Mark(at=one.at, what=one.reason, kind="contaminated") for one in story.all(Contaminated)]
    marks += [Mark(at=one.at, what=f"the machine slept {one.seconds:.1f} s", kind="suspended") for one in story.all(Suspended)]
    instants = (("fault", story.fault_call), ("fault proven", story.fault_proof), ("heal", story.heal_call), ("healed", story.heal_proof))
    marks += [Mark(at=at, what=what, kind="heal" if "heal" in what else "fault") for what, at in instants if at is not None]
    marks += alerts.marks(story)
    return tuple(sorted(marks, key=lambda one: one.at))


def _ends_with_seal(events: Sequence[AnyEvent]) -> bool:
    last = events[-1] if events else None
    return isinstance(last, RunSealed) and last.lines == len(events) - 1


def _experiment(story: Story) -> Experiment:
    assert story.experiment is not None
    return story.experiment
