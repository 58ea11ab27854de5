"""
Time to recover and to mitigate, as intervals, and whether the deadline was kept (protocols: measuring, rules 13 to 15).

The fault's and the heal's instants are intervals [call, proof]: a green answer uses the worst end, a red one the best.
Measured by :mod:`chaosfw.analysis.fold`, decided by :mod:`chaosfw.analysis.claims`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaosfw.analysis.story import Story, self_heals
from chaosfw.model.record import Outage, Record, Recovery, Round, Span
from chaosfw.model.verdict import Truth
from chaosfw.timing import nanoseconds, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How far the instruments went on: ns, None where there is no such instrument."""

    load: int | None
    rounds: int | None

    def reached(self, instant: int) -> bool:
        """The drain after the load's stop is its last timeout T: requests due until the stop have all ended."""
        ends = [end for end in (self.load, self.rounds) if end is not None]
        return bool(ends) and min(ends) >= instant


def watched(rounds: Sequence[Round], *, every: float, load: int | None, hypothesis: bool) -> Watched:
    """The last evaluation stands for the time until the next one was due, and one more: they are never exactly at the end."""
    last = rounds[-1].due + nanoseconds(2 * every) if rounds else 0
    return Watched(load=load, rounds=last if hypothesis else None)


def measure(story: Story, *, possible: Sequence[Outage], watched: Watched) -> tuple[Recovery, ...]:
    """The recoveries that the experiment claims. Without a fault there is none."""
    experiment = story.experiment
    if experiment is None or story.fault_call is None or experiment.stock:
        return ()
    fault = Span(first=story.fault_call, last=story.fault_proof)
    since = fault if self_heals(story.plan) else _heal(story)
    found: list[Recovery] = []
    impact = [one for one in possible if one.onset.last is None or one.onset.last > story.fault_call]
    stable = nanoseconds(experiment.stable_for)
    if experiment.mitigate_within is not None:
        until = story.fault_end or story.ended
        deadline = _latest(fault, experiment.mitigate_within)
        during = [one for one in impact if one.onset.first < until]
        seen = watched.reached(deadline + stable) and until >= deadline
        found.append(_recovery("mitigate", impact=during, since=fault, within=experiment.mitigate_within, observed=seen))
    if since is not None:
        deadline = _latest(since, experiment.recover_within)
        seen = watched.reached(deadline + stable)
        found.append(_recovery("recover", impact=impact, since=since, within=experiment.recover_within, observed=seen))
    else:
        found.append(Recovery(kind="recover", low=None, high=None, within=experiment.recover_within, impact=bool(impact)))
    return tuple(found)


def decide(record: Record, recovery: Recovery) -> Truth:
    """Whether the impact ended within the deadline: True in the worst reading, False in the best one, or neither."""
    since = recovery.since
    if since is None or record.fault_call is None:
        return Truth.undecided
    allowed = nanoseconds(recovery.within)
    until = record.fault_end if recovery.kind == "mitigate" and record.fault_end is not None else None
    if since.last is not None and any(
        _certainly_late(one, deadline=since.last + allowed, until=until) for one in _impact(record.outages, record)
    ):
        return Truth.false
    deadline = since.first + allowed
    latest = _latest(since, recovery.within)
    in_time = all(_surely_in_time(one, deadline=deadline, latest=latest, until=until) for one in _impact(record.possible, record))
    return Truth.true if in_time and recovery.observed and since.last is not None else Truth.undecided


def _heal(story: Story) -> Span | None:
    return None if story.heal_call is None else Span(first=story.heal_call, last=story.heal_proof)


def _impact(outages: Sequence[Outage], record: Record) -> list[Outage]:
    """Outages that are not the baseline's: their first bad ended after F_call."""
    call = record.fault_call or 0
    return [one for one in outages if one.onset.last is None or one.onset.last > call]


def _certainly_late(outage: Outage, *, deadline: int, until: int | None) -> bool:
    """It began before the deadline and was still bad after it, while that counted."""
    end = outage.last_bad if until is None else min(outage.last_bad, until)
    return outage.onset.last is not None and outage.onset.last <= deadline < end


def _latest(since: Span, within: float) -> int:
    """The deadline, counted from the proof."""
    return (since.first if since.last is None else since.last) + nanoseconds(within)


def _surely_in_time(outage: Outage, *, deadline: int, latest: int, until: int | None) -> bool:
    """Over before the earliest reading of the deadline, or begun after its latest one."""
    if outage.onset.first > latest or (until is not None and outage.onset.first >= until):
        return True
    return outage.end is not None and outage.end.last is not None and outage.end.last <= deadline


def _recovery(kind: str, *, impact: Sequence[Outage], since: Span, within: float, observed: bool) -> Recovery:
    """The last end counts; an outage that opens after the deadline is not this one's."""
    mine = [one for one in impact if one.onset.first <= _latest(since, within)]
    if not mine:
        return Recovery(kind=kind, low=0.0, high=0.0, within=within, impact=False, since=since, elapsed=0.0, observed=observed)
    first, last = mine[0], max(mine, key=lambda one: one.last_bad)
    if last.end is None or last.end.last is None or any(one.end is None for one in mine):
        return Recovery(kind=kind, low=None, high=None, within=within, since=since, observed=observed)
    onset = first.onset.last if first.onset.last is not None else first.onset.first
    return Recovery(
        kind=kind,
        low=max(0.0, seconds(last.end.first - onset)),
        high=seconds(last.end.last - first.onset.first),
        within=within,
        since=since,
        elapsed=max(0.0, seconds(last.end.last - since.first)),
        observed=observed,
    )
