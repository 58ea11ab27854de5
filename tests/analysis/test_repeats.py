"""k of n, with its interval: against published values, and what an interval has to keep."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfw.analysis.repeats import interval, repeated
from chaosfw.model.record import RunLine
from chaosfw.reporting.view import repeats_words


@pytest.mark.parametrize(
    ("held", "of", "low", "high"),
    [
        (10, 10, 0.6915, 1.0),
        (0, 10, 0.0, 0.3085),
        (9, 10, 0.5550, 0.9975),
        (5, 10, 0.1871, 0.8129),
        (36, 36, 0.9026, 1.0),
        (1, 2, 0.0126, 0.9874),
    ],
)
def test_the_exact_interval(held: int, of: int, low: float, high: float) -> None:
    """Clopper and Pearson's tables, to four digits."""
    assert interval(held, of=of) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.data())
def test_more_that_held_never_lower_it_and_the_found_share_lies_within(of: int, data: st.DataObject) -> None:
    held = data.draw(st.integers(0, of - 1))
    (low, high), (next_low, next_high) = interval(held, of=of), interval(held + 1, of=of)

    assert low <= held / of <= high
    assert low <= next_low
    assert high <= next_high


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_it_covers_what_it_says(share: float) -> None:
    """Over all outcomes of twelve runs, weighed by their probability."""
    covered = math.fsum(
        math.comb(12, k) * share**k * (1 - share) ** (12 - k) for k in range(13) if interval(k, of=12)[0] <= share <= interval(k, of=12)[1]
    )
    assert covered >= 0.95


def line(verdict: str, *, series: str = "t.py::test_it", number: int = 1) -> RunLine:
    return RunLine(
        run=f"r{number}", folder="f", title="It survives", test=f"{series}[run-{number}]", verdict=verdict, sentence="", series=series
    )


def test_inconclusive_runs_count_once_against_and_once_for_it_and_others_not_at_all() -> None:
    (one,) = repeated([line("held"), line("held"), line("inconclusive"), line("blocked"), line("held", series="")])

    assert (one.ran, one.held, one.inconclusive, one.not_run) == (3, 2, 1, 1)
    assert (one.low, one.high) == (interval(2, of=3)[0], 1.0)
    assert repeats_words(one) == "held 2 of 3, 1 inconclusive, 1 not run; 95 % sure: 9.4 % to 100 % of such runs hold"


def test_nothing_ran_and_nothing_is_claimed() -> None:
    (one,) = repeated([line("refused"), line("refused")])

    assert (one.low, one.high) == (0.0, 1.0)
    assert repeats_words(one) == "held 0 of 0, 2 not run"
