"""Whether an alert was due, against the closed formula of docs/protocols/measuring.md and against counting second by second."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfw.analysis import pages
from chaosfw.analysis.samples import BAD, GOOD, UNKNOWN, Bytes, Series, grades, series
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Load, Outcome
from chaosfw.model.record import Due, PageDue
from chaosfw.model.slo import SLO, BurnRule, workbook
from chaosfw.timing import NANOSECONDS

RATE = 20.0
PROBER = Generator(name="prober", version="1", on=0)
FAST = workbook(30 * 86400.0)[0]


def run(*stretches: tuple[float, Outcome]) -> tuple[Series, Bytes]:
    """A load of ``RATE`` requests a second, so many seconds each way."""
    outcomes = [outcome for seconds, outcome in stretches for _ in range(round(seconds * RATE))]
    step = round(NANOSECONDS / RATE)
    data = b"".join(SAMPLE.pack(n, n * step, n * step + 1_000_000, 0, NO_MARKER, outcome, 0, 0, 0) for n, outcome in enumerate(outcomes))
    found = series(
        data,
        load=Load(endpoint="shop", rate=RATE, timeout=1.0),
        generator=Generator(name="prober", version="1", on=0),
        off=len(outcomes) * step,
        seal=None,
    )
    return found, grades(found, limit=None)


def page(
    *stretches: tuple[float, Outcome], rule: BurnRule = FAST, availability: float = 0.999, since: float = 0.0, every: float = 30.0
) -> PageDue:
    found, grade = run(*stretches)
    slo = SLO(name="shop", availability=availability, alerts=(rule,), scrape=every, evaluate=every)
    (one,) = pages.due(found, grade=grade, slo=slo, since=round(since * NANOSECONDS))
    return one


def test_the_workbooks_rules_for_thirty_days() -> None:
    """Table 5-8."""
    assert [(one.severity, one.long, one.short, round(one.burn, 3)) for one in workbook(30 * 86400.0)] == [
        ("page", 3600.0, 300.0, 14.4),
        ("page", 21600.0, 1800.0, 6.0),
        ("ticket", 259200.0, 21600.0, 1.0),
    ]


@pytest.mark.parametrize(("history", "share"), [(60.0, 1.0), (60.0, 0.33), (10.0, 0.05)])
def test_when_it_becomes_true_is_what_the_formula_says(history: float, share: float) -> None:
    """t_x = min(θ·W/e, θ·H/(e − θ)) after onset here, θ·W/e in production, for a constant error ratio."""
    theta = pages.threshold(SLO(name="x", availability=0.999), FAST)
    every = round(1 / share)
    mixed = [(1 / RATE, Outcome.refused if n % every == 0 else Outcome.ok) for n in range(round(400 * RATE))]
    exact = 1 / every

    one = page((history, Outcome.ok), *mixed, since=history)

    assert one.here_after == pytest.approx(min(theta * 3600 / exact, theta * history / (exact - theta)), abs=1 / RATE * every + pages.STEP)
    assert one.production_after is not None or theta * 3600 / exact > 400
    if one.production_after is not None:
        assert one.production_after == pytest.approx(theta * 3600 / exact, rel=0.02, abs=every / RATE + pages.STEP)


def test_a_short_outage_pages_here_and_not_in_production() -> None:
    """Forty seconds of a total outage at 99.9 %: production needs 51.84."""
    one = page((60.0, Outcome.ok), (40.0, Outcome.refused), (60.0, Outcome.ok), since=60.0)

    assert (one.here, one.production) == (Due.due, Due.not_due)
    assert one.production_after is None


def test_a_long_one_pages_in_both() -> None:
    one = page((60.0, Outcome.ok), (90.0, Outcome.refused), (60.0, Outcome.ok), since=60.0)

    assert (one.here, one.production) == (Due.due, Due.due)
    assert one.production_after == pytest.approx(51.84, abs=0.2)


def test_one_that_only_some_phases_of_evaluation_would_see_is_borderline() -> None:
    """True for about as long as the short window remembers: under ten seconds with such a rule, evaluated each half minute."""
    rule = BurnRule(severity="page", long=60.0, short=5.0, burn=14.4)

    assert page((60.0, Outcome.ok), (4.0, Outcome.refused), (60.0, Outcome.ok), rule=rule).production is Due.borderline
    assert page((60.0, Outcome.ok), (4.0, Outcome.refused), (60.0, Outcome.ok), rule=rule, every=1.0).production is Due.due


def test_what_it_has_to_hold_for_is_waited_for() -> None:
    rule = BurnRule(severity="page", long=60.0, short=5.0, burn=14.4, hold=300.0)

    assert page((60.0, Outcome.ok), (30.0, Outcome.refused), (60.0, Outcome.ok), rule=rule, every=1.0).production is Due.not_due


def test_unknown_requests_make_it_borderline() -> None:
    """As if all had been bad it was due, as if none had it was not."""
    one = page((60.0, Outcome.ok), (90.0, Outcome.aborted), (60.0, Outcome.ok))

    assert (one.production, one.production_after) == (Due.borderline, None)


def test_a_rule_above_all_requests_is_never_true() -> None:
    one = page((10.0, Outcome.ok), (90.0, Outcome.refused), availability=0.9)

    assert one.threshold == pytest.approx(1.44)
    assert (one.here, one.production) == (Due.not_due, Due.not_due)


def test_a_run_without_requests_says_nothing() -> None:
    found, grade = run()

    assert pages.due(found, grade=grade, slo=SLO(name="x", availability=0.99), since=0) == ()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from([GOOD, GOOD, GOOD, BAD, UNKNOWN]), min_size=1, max_size=60), st.sampled_from([0.0, RATE]))
def test_it_is_true_exactly_when_counting_says_so(seconds: list[int], rate: float) -> None:
    """Second by second, both windows counted request by request."""
    rule = BurnRule(severity="page", long=12.0, short=4.0, burn=2.0)
    outcome = {GOOD: Outcome.ok, BAD: Outcome.refused, UNKNOWN: Outcome.aborted}
    found, grade = run(*((1.0, outcome[one]) for one in seconds))
    curves = pages._curves(found, grade=grade)
    held = pages._true(curves, curves.certain, rule=rule, theta=0.2, rate=rate)

    def counted(at: float, window: float) -> bool:
        inside = (found.due < at * NANOSECONDS) & (found.due >= (at - window) * NANOSECONDS)
        there = min(at, float(len(seconds))) - min(max(at - window, 0.0), float(len(seconds)))
        total = np.count_nonzero(inside) + rate * (window - there)
        return bool(np.count_nonzero(grade[inside] == BAD) > 0.2 * total + 1e-6)

    for at in range(len(seconds) + 4):
        place = round(at / curves.step)
        assert held[place] == (counted(at, 12.0) and counted(at, 4.0)), at
    assert math.isclose(curves.step, pages.STEP)
