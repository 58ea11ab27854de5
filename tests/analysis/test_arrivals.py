"""When requests are due: the sender's arithmetic, the analysis' columns and an integral done the slow way say the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfw.analysis import outages
from chaosfw.analysis.samples import MISSING, grades, series
from chaosfw.model.arrivals import Arrivals, highest, lowest, turns
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Load, Outcome, Request, Stage

SECOND = 1_000_000_000
ON = 7 * SECOND
stages = st.lists(st.builds(Stage, rate=st.floats(0.5, 3000), seconds=st.just(0.0) | st.floats(0.001, 20)), max_size=4).map(tuple)
loads = st.builds(Load, endpoint=st.just("shop"), rate=st.floats(0.5, 3000), stages=stages)
QUICK = settings(max_examples=80, deadline=None)


def area(load: Load, until: float) -> float:
    """How many requests are due until then, by trapezes over a millisecond each."""
    total, rate, begin = 0.0, load.rate, 0.0
    for stage in load.stages:
        steps = math.ceil(stage.seconds * 1000)
        width = stage.seconds / max(steps, 1)
        for step in range(steps):
            first, last = step * width, min((step + 1) * width, until - begin)
            if first >= last:
                return total
            total += (rate + (stage.rate - rate) * (first + last) / 2 / stage.seconds) * (last - first)
        begin, rate = begin + stage.seconds, stage.rate
    return total + rate * max(0.0, until - begin)


@QUICK
@given(loads, st.integers(0, 5000))
def test_request_n_is_due_when_n_have_passed(load: Load, number: int) -> None:
    at = Arrivals(load).due(number)

    assert area(load, at / SECOND) == pytest.approx(number, rel=1e-3, abs=0.05)


@QUICK
@given(loads, st.integers(1, 5000))
def test_until_counts_what_is_due_before(load: Load, number: int) -> None:
    arrivals = Arrivals(load)

    assert abs(arrivals.until(arrivals.due(number)) - number) <= 1
    assert arrivals.until(0) == 0
    assert arrivals.due(number) >= arrivals.due(number - 1)


@QUICK
@given(loads, st.integers(1, 20 * SECOND))
def test_the_columns_are_due_when_the_sender_sends(load: Load, length: int) -> None:
    arrivals = Arrivals(load)
    found = series(b"", load=load, generator=Generator(name="prober", version="1", on=ON), off=ON + length, seal=None)
    some = np.unique(np.linspace(0, max(len(found.due) - 1, 0), 50).astype(int)) if len(found.due) else []

    assert len(found.due) == arrivals.until(length)
    assert all(abs(int(found.due[one]) - ON - arrivals.due(int(one))) <= 2 for one in some)
    assert (np.diff(found.due) >= 0).all()
    assert set(found.outcome.tolist()) <= {MISSING}


def test_a_ramp_from_10_to_100_sends_what_a_straight_line_says() -> None:
    load = Load(endpoint="shop", rate=10.0, stages=(Stage(rate=100.0, seconds=10.0),))
    arrivals = Arrivals(load)

    assert arrivals.until(10 * SECOND) == 550  # (10 + 100) / 2 x 10 s
    assert arrivals.until(11 * SECOND) == 650
    assert arrivals.due(550) == 10 * SECOND
    assert (lowest(load), highest(load)) == (10.0, 100.0)


def test_a_step_has_no_ramp() -> None:
    arrivals = Arrivals(Load(endpoint="shop", rate=10.0, stages=(Stage(rate=10.0, seconds=2.0), Stage(rate=100.0))))

    assert [arrivals.until(at * SECOND) for at in (1, 2, 3)] == [10, 20, 120]


def test_samples_of_a_ramp_are_laid_out_by_number_and_late_by_its_schedule() -> None:
    load = Load(endpoint="shop", rate=10.0, stages=(Stage(rate=100.0, seconds=10.0),))
    arrivals = Arrivals(load)
    late = 3_000_000
    instants = [ON + arrivals.due(n) for n in range(550)]
    data = b"".join(SAMPLE.pack(n, at + late, at + late * 2, 200, NO_MARKER, Outcome.ok, 0, 0, 2) for n, at in enumerate(instants))
    found = series(data, load=load, generator=Generator(name="prober", version="1", on=ON), off=ON + 10 * SECOND, seal=None)

    assert (found.outcome == Outcome.ok).all()
    assert np.abs(found.sent - found.due - late).max() <= 2


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_each_kind_has_its_share_and_comes_evenly(weights: list[int]) -> None:
    load = Load(endpoint="shop", requests=tuple(Request(path=f"/{n}", weight=weight) for n, weight in enumerate(weights)))
    found = turns(load)

    assert [found.count(n) for n in range(len(weights))] == weights
    for number, weight in enumerate(weights):  # in any stretch no more than one off from its share, per other kind
        seen = 0
        for place, one in enumerate(found, start=1):
            seen += one == number
            assert abs(seen - place * weight / len(found)) <= len(weights)


def test_one_kind_alone_always_has_its_turn() -> None:
    assert turns(Load(endpoint="shop")) == (0,)


def test_recovery_is_stable_for_seconds_and_not_for_what_the_baselines_pace_made_of_them() -> None:
    """20 requests a second, then 200: a relapse after 1.5 s is one within ``stable_for`` = 2 s, though 300 requests were good between."""
    load = Load(endpoint="shop", rate=20.0, stages=(Stage(rate=20.0, seconds=5.0), Stage(rate=200.0)))
    arrivals = Arrivals(load)
    bad = [(6.0, 6.5), (8.0, 8.5)]
    off = 20 * SECOND
    data = b""
    for n in range(arrivals.until(off)):
        due = arrivals.due(n)
        outcome = Outcome.refused if any(begin <= due / SECOND < end for begin, end in bad) else Outcome.ok
        data += SAMPLE.pack(n, ON + due, ON + due + 1_000_000, 200, NO_MARKER, outcome, 0, 0, 2)
    found = series(data, load=load, generator=Generator(name="prober", version="1", on=ON), off=ON + off, seal=None)

    def seen(stable_for: float) -> list[tuple[float, float | None]]:
        told = outages.of_load(found, grade=grades(found, limit=None), begin=ON, stable_for=stable_for, unknown_is_bad=False, name="shop")
        return [((one.onset.last - ON) / SECOND, None if one.end is None else (one.end.last - ON) / SECOND) for one in told]

    assert found.rate < 200
    assert [begin for begin, _ in seen(2.0)] == [pytest.approx(6.0, abs=0.01)]
    assert [begin for begin, _ in seen(1.0)] == [pytest.approx(6.0, abs=0.01), pytest.approx(8.0, abs=0.01)]
    assert seen(2.0)[0][1] == pytest.approx(8.5, abs=0.02)
    assert seen(11.4)[0][1] is not None
    assert seen(11.6)[0][1] is None  # the load ended before
