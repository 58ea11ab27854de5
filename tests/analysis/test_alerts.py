"""Alerts that fired beside those that were due, and the SLI as a Prometheus read it: from journals, without a Prometheus."""

from __future__ import annotations

import pytest

from chaosfw.activities.prometheus import _stretches
from chaosfw.analysis import alerts
from chaosfw.analysis.fold import fold
from chaosfw.analysis.story import read
from chaosfw.model.event import Monitored, RunOpened
from chaosfw.model.load import Outcome
from chaosfw.model.monitoring import AlertSeen, Reading
from chaosfw.model.record import Record
from chaosfw.model.slo import SLO, BurnRule, Queries
from chaosfw.model.struct import but
from chaosfw.testing.journals import Script, Weather, experiment, sealed

RULE = BurnRule(severity="page", long=60.0, short=5.0, burn=10.0, alert="Burn")
DOWN = (Weather(begin=0.0, end=10.0, outcome=Outcome.refused),)


def script(*rules: BurnRule, weather: tuple[Weather, ...] = DOWN, queries: Queries | None = None) -> Script:
    slo = SLO(name="checkout", availability=0.99, alerts=rules or (RULE,), scrape=1.0, evaluate=1.0, queries=queries)
    return Script(experiment=but(experiment(), slo=slo), weather=weather)


def record(ran: Script, *seen: tuple[str, float, float, bool], trouble: str = "", **labels: str) -> Record:
    """``seen``: name, first and last (seconds after the fault's call), whether it fires still."""
    events = ran.events()[:-1]
    opened = next(event for event in events if isinstance(event, RunOpened))

    def wall(after: float) -> float:
        return (opened.wall + ran.at(after) - opened.at) / 1e9

    found = tuple(
        AlertSeen(name=name, labels=labels or {"severity": "page"}, first=wall(first), last=wall(last), still=still)
        for name, first, last, still in seen
    )
    told = Monitored(at=events[-1].at, server="http://p", alerts=found, trouble=trouble)
    return fold(sealed([*events, told]), ran.samples())


def test_an_alert_that_was_due_and_fired_has_its_time_to_detect() -> None:
    (line,) = record(script(), ("Burn", 2.0, 14.0, False)).alerts

    assert (line.name, line.severity, line.here, line.times, line.before) == ("Burn", "page", "due", 1, False)
    assert line.fired_after == pytest.approx(2.0, abs=1e-3)
    assert line.ended_after == pytest.approx(14.0, abs=1e-3)


def test_what_was_due_and_did_not_fire_is_a_line_all_the_same() -> None:
    (line,) = record(script()).alerts

    assert (line.here, line.fired_after, line.ended_after) == ("due", None, None)


def test_what_fires_still_has_no_end() -> None:
    (line,) = record(script(), ("Burn", 2.0, 20.0, True)).alerts

    assert line.ended_after is None


def test_an_alert_from_before_the_fault_is_no_detection() -> None:
    (line,) = record(script(), ("Burn", -3.0, 20.0, True)).alerts

    assert (line.before, line.fired_after, line.times) == (True, None, 0)


def test_an_alert_that_was_over_before_the_fault_is_not_of_this_run() -> None:
    (line,) = record(script(), ("Burn", -4.0, -2.0, False)).alerts

    assert (line.before, line.fired_after, line.here) == (False, None, "due")


def test_several_stretches_are_counted() -> None:
    (line,) = record(script(), ("Burn", 2.0, 4.0, False), ("Burn", 8.0, 9.0, False)).alerts

    assert (line.times, round(line.fired_after or 0), round(line.ended_after or 0)) == (2, 2, 9)


def test_an_alert_without_a_rule_is_told_after_the_others() -> None:
    lines = record(script(), ("Other", 2.0, 4.0, False)).alerts

    assert [(one.name, one.here) for one in lines] == [("Burn", "due"), ("Other", None)]


@pytest.mark.parametrize(
    ("labels", "fired"),
    [({"severity": "page"}, True), ({"sloth_severity": "page"}, True), ({"team": "shop"}, True), ({"severity": "ticket"}, False)],
)
def test_the_severity_tells_alerts_of_one_name_apart(labels: dict[str, str], fired: bool) -> None:
    first = record(script(), ("Burn", 2.0, 4.0, False), **labels).alerts[0]

    assert (first.fired_after is not None) is fired


def test_rules_of_one_alert_are_due_together() -> None:
    never = but(RULE, long=6000.0, short=600.0, burn=99.0, hold=600.0)

    assert [one.here for one in record(script(never, RULE)).alerts] == ["due"]
    assert [one.here for one in record(script(never)).alerts] == ["not due"]


def test_without_an_answer_there_are_no_lines() -> None:
    found = record(script(), trouble="it does not answer")

    assert (found.alerts, found.unmonitored, found.monitored) == ((), "it does not answer", "http://p")


def test_it_changes_no_verdict() -> None:
    quiet, loud = record(script(weather=())), record(script(weather=()), ("Burn", 2.0, 4.0, False))

    assert quiet.judgement == loud.judgement


def test_stretches_are_parted_where_evaluations_are_missing() -> None:
    series = {"metric": {"alertname": "A", "severity": "page"}, "values": [[at, "1"] for at in (10, 11, 12, 14, 20, 21, 30)]}
    found = _stretches(series, until=31.0, skew=1.0)

    assert [(one["first"], one["last"], one["still"]) for one in found] == [(9, 13, False), (19, 20, False), (29, 29, True)]
    assert (found[0]["name"], found[0]["labels"]) == ("A", {"severity": "page"})


WINDOWED = Queries(bad="bad[{{.window}}]", total="all[{{.window}}]")
COUNTER = Queries(good="ok", total="all")


def test_a_query_with_a_window_is_asked_once_a_phase_and_a_counter_at_both_ends() -> None:
    ran = script()
    story = read(ran.events())
    opened = story.last(RunOpened)
    assert opened is not None

    windowed = alerts.questions(story, slo=SLO(name="x", availability=0.9, queries=WINDOWED))
    counter = alerts.questions(story, slo=SLO(name="x", availability=0.9, queries=COUNTER))

    assert [query for query, _ in windowed][:2] == ["bad[5s]", "all[5s]"]
    assert len(windowed) == 6
    assert [query for query, _ in counter][:4] == ["ok", "ok", "all", "all"]
    assert counter[1][1] - counter[0][1] == pytest.approx(5.0, abs=0.01)


@pytest.mark.parametrize(
    ("queries", "values", "reading"),
    [
        (WINDOWED, [5.0, 100.0], Reading(phase="baseline", good=0.95, total=100.0)),
        (WINDOWED, [0.0, 0.0], Reading(phase="baseline", trouble="no requests were counted")),
        (WINDOWED, [None, 100.0], Reading(phase="baseline", trouble="no series answered")),
        (COUNTER, [10.0, 100.0, 20.0, 120.0], Reading(phase="baseline", good=0.9, total=100.0)),
        (COUNTER, [None, 90.0, 20.0, 120.0], Reading(phase="baseline", good=0.9, total=100.0)),
        (COUNTER, [10.0, 5.0, 20.0, 120.0], Reading(phase="baseline", trouble="the counter went back to nothing within the phase")),
        (Queries(ratio="r[{{.window}}]"), [0.25], Reading(phase="baseline", good=0.75)),
    ],
)
def test_answers_become_shares(queries: Queries, values: list[float | None], reading: Reading) -> None:
    each = len(values)
    told = values * 3
    found = alerts.readings(
        read(script().events()),
        slo=SLO(name="x", availability=0.9, queries=queries),
        values=told,
        troubles=["no series answered" if one is None else "" for one in told],
    )

    assert len(told) == 3 * each
    assert found[0] == reading
    assert [one.phase for one in found] == ["baseline", "hold", "recover"]
