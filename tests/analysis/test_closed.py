"""A closed loop over a server that hangs: what its users left out, and what it would have been."""

from __future__ import annotations

import pytest

from chaosfw.analysis.closed import corrected
from chaosfw.analysis.samples import Series, grades, series, silence
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Load, Outcome

SECOND = 1_000_000_000
CLOSED = Generator(name="locust", version="2", model="closed", schedule="listed", on=0)


def paced(*, users: int, pace: float, seconds: float, hang: tuple[float, float] = (0.0, 0.0), timeout: float = 1.0, on: int = 0) -> bytes:
    """Users that ask every ``pace`` seconds or, while the server hangs, when the time-out is over."""
    rows = []
    for user in range(users):
        at = user * pace / users
        while at < seconds:
            hangs = hang[0] <= at < hang[1]
            took, outcome = (timeout, Outcome.read_timeout) if hangs else (0.005, Outcome.ok)
            rows.append((round(at * SECOND) + on, round((at + took) * SECOND) + on, outcome))
            at += max(pace, took)
    rows.sort(key=lambda row: row[1])
    return b"".join(SAMPLE.pack(sent, sent, end, 200, NO_MARKER, outcome, 1, 0, 0) for sent, end, outcome in rows)


def read(data: bytes, *, seconds: float, rate: float = 0.0) -> Series:
    load = Load(endpoint="shop", rate=rate, timeout=1.0)
    return series(data, load=load, generator=CLOSED, off=round(seconds * SECOND), seal=None, calm=(0, 5 * SECOND))


def test_a_hang_costs_what_it_would_have_cost_people() -> None:
    """Twenty users, ten requests a second each; three of fifteen seconds hang: one request of five would have been bad."""
    found = read(paced(users=20, pace=0.1, seconds=15.0, hang=(6.0, 9.0)), seconds=15.0)
    grade = grades(found, limit=None)

    as_sent = float((grade == 0).mean())
    assert found.rate == pytest.approx(200.0, rel=0.01)
    assert as_sent > 0.97
    low, high = corrected(found, grade=grade) or (0.0, 0.0)
    assert low == pytest.approx(0.8, abs=0.01)
    assert low < high < 0.9


def test_a_loop_that_kept_its_pace_needs_no_correction() -> None:
    found = read(paced(users=20, pace=0.1, seconds=10.0), seconds=10.0)

    assert corrected(found, grade=grades(found, limit=None)) == pytest.approx((1.0, 1.0))


def test_nothing_sent_is_nothing_known() -> None:
    found = read(b"", seconds=10.0)

    assert corrected(found, grade=grades(found, limit=None)) is None
    assert silence(found, until=SECOND) == 0.0


def test_a_listed_load_is_in_order_of_what_was_due_and_without_its_warm_up() -> None:
    late = SAMPLE.pack(-5 * SECOND, -5 * SECOND, -4 * SECOND, 200, NO_MARKER, Outcome.ok, 1, 0, 0)
    after = SAMPLE.pack(11 * SECOND, 11 * SECOND, 12 * SECOND, 200, NO_MARKER, Outcome.ok, 1, 0, 0)

    found = read(late + paced(users=2, pace=0.5, seconds=10.0) + after, seconds=10.0)

    assert len(found.due) == 40
    assert list(found.due) == sorted(found.due)


def test_silence_is_the_longest_time_in_which_nothing_was_under_way() -> None:
    found = read(paced(users=1, pace=0.5, seconds=10.0), seconds=10.0)

    assert silence(found, until=10 * SECOND) == pytest.approx(0.495)
    assert silence(found, until=20 * SECOND) == pytest.approx(10.495)  # it went on without a request


def test_the_rate_of_a_schedule_is_not_read_from_what_came() -> None:
    assert read(paced(users=1, pace=0.5, seconds=10.0), seconds=10.0, rate=7.0).rate == 7.0
