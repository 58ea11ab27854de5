"""
Alerts that fired beside alerts that were due, and the SLI as a monitoring system read it beside what the load measured.

Called by :mod:`chaosfw.analysis.fold`, and by the assembly for what to ask. It compares and makes no claim true or false: what an alerting
system sees depends on scrapes and rules that are not the run's.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosfw.analysis.story import Story
from chaosfw.model.event import Monitored, Phase, RunOpened
from chaosfw.model.monitoring import AlertSeen, Reading
from chaosfw.model.record import AlertLine, Due, Mark, PageDue
from chaosfw.model.slo import SLO
from chaosfw.timing import NANOSECONDS

WINDOW = "{{.window}}"
"""Stands for a duration in a query, as in Sloth's files."""

PHASES = (Phase.baseline, Phase.hold, Phase.recover)
"""In which the SLI is read: the others are moments."""

Question = tuple[str, float]
"""A query, and the instant (seconds of our wall clock) that it is asked for."""


def questions(story: Story, *, slo: SLO) -> tuple[Question, ...]:
    """What to ask for the SLI of each phase, in the order in which :func:`readings` takes the answers."""
    opened = story.last(RunOpened)
    if opened is None or slo.queries is None:
        return ()
    asked: list[Question] = []
    for one in _phases(story):
        begin, end = ((at - opened.at) / NANOSECONDS + opened.wall / NANOSECONDS for at in (one[1], one[2]))
        for query in slo.queries.asked:
            asked += _windowed(query, begin=begin, end=end)
    return tuple(asked)


def readings(story: Story, *, slo: SLO, values: Sequence[float | None], troubles: Sequence[str]) -> tuple[Reading, ...]:
    """The answers as shares of good requests."""
    if slo.queries is None:
        return ()
    answers = iter(zip(values, troubles, strict=True))
    found = []
    for phase, _, _ in _phases(story):
        parts = [_answer(query, answers) for query in slo.queries.asked]
        trouble = next((words for value, words in parts if value is None), "")
        numbers = [value for value, _ in parts if value is not None]
        found.append(Reading(phase=phase.value, trouble=trouble) if trouble else _share(phase, slo=slo, numbers=numbers))
    return tuple(found)


def lines(story: Story, *, pages: Sequence[PageDue]) -> tuple[AlertLine, ...]:
    """Each alert that fired in the run or was due, by name."""
    told, opened = story.last(Monitored), story.last(RunOpened)
    if told is None or told.trouble or opened is None:
        return ()
    since = opened.wall / NANOSECONDS + ((story.fault_call or story.started) - opened.at) / NANOSECONDS
    rest, found = list(told.alerts), []
    for name, severity in dict.fromkeys((one.rule.alert, one.rule.severity) for one in pages if one.rule.alert):
        rules = [one for one in pages if (one.rule.alert, one.rule.severity) == (name, severity)]
        mine = [one for one in rest if one.name == name and _is_of(one, severity)]
        rest = [one for one in rest if one not in mine]
        due = (_strongest([one.here for one in rules]), _strongest([one.production for one in rules]))
        found.append(_line(name, severity=severity, seen=mine, since=since, here=due[0], production=due[1]))
    for name in dict.fromkeys(one.name for one in rest):
        found.append(_line(name, severity="", seen=[one for one in rest if one.name == name], since=since))
    return tuple(found)


def marks(story: Story) -> list[Mark]:
    """For the time axis: when alerts began to fire, and when they last did."""
    told, opened = story.last(Monitored), story.last(RunOpened)
    if told is None or opened is None:
        return []
    found = []
    for one in told.alerts:
        ends = [(one.first, "fires")] + ([] if one.still else [(one.last, "fired last")])
        for at, words in ends:
            found.append(Mark(at=opened.at + round(at * NANOSECONDS - opened.wall), what=f"{one.name} {words}", kind="alert"))
    return [one for one in found if story.started <= one.at <= story.ended]


def _line(
    name: str, *, severity: str, seen: Sequence[AlertSeen], since: float, here: Due | None = None, production: Due | None = None
) -> AlertLine:
    """The first stretch that began after the fault; one that began before is told, and is no detection."""
    after = sorted((one for one in seen if one.first >= since), key=lambda one: one.first)
    first = after[0] if after else None
    last = max(after, key=lambda one: one.last) if after else None
    return AlertLine(
        name=name,
        severity=severity or (seen[0].labels.get("severity", "") if seen else ""),
        before=any(one.first < since <= one.last for one in seen),
        fired_after=None if first is None else first.first - since,
        ended_after=None if last is None or any(one.still for one in after) else last.last - since,
        times=len(after),
        here=here,
        production=production,
    )


def _is_of(alert: AlertSeen, severity: str) -> bool:
    """Whatever the label is called (``severity``, ``sloth_severity``); an alert without such a label is meant by its name alone."""
    named = [value for label, value in alert.labels.items() if label.endswith("severity")]
    return not named or severity in named


def _strongest(found: Sequence[Due]) -> Due:
    order = (Due.due, Due.borderline, Due.not_due)
    return min(found, key=order.index)


def _phases(story: Story) -> list[tuple[Phase, int, int]]:
    return [(one.phase, one.span.first, one.span.last) for one in story.phases if one.phase in PHASES and one.span.last is not None]


def _windowed(query: str, *, begin: float, end: float) -> list[Question]:
    """One instant question over the phase's length, or of a counter two, at both ends."""
    if WINDOW in query:
        return [(query.replace(WINDOW, f"{max(1, round(end - begin))}s"), end)]
    return [(query, begin), (query, end)]


def _answer(query: str, answers: object) -> tuple[float | None, str]:
    value, trouble = next(answers)  # type: ignore[call-overload]
    if WINDOW in query:
        return value, trouble
    after, later = next(answers)  # type: ignore[call-overload]
    if value is None and trouble == "no series answered":
        value = 0.0  # a counter that is born later begins at nothing
    if value is None or after is None:
        return None, trouble or later
    return (after - value, "") if after >= value else (None, "the counter went back to nothing within the phase")


def _share(phase: Phase, *, slo: SLO, numbers: Sequence[float]) -> Reading:
    assert slo.queries is not None
    if slo.queries.ratio:
        return Reading(phase=phase.value, good=1 - numbers[0])
    part, total = numbers
    if total <= 0:
        return Reading(phase=phase.value, trouble="no requests were counted")
    share = part / total if slo.queries.good else 1 - part / total
    return Reading(phase=phase.value, good=min(1.0, max(0.0, share)), total=total)
