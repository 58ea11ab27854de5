"""The figures of a record: bounds, brackets, quantiles, budget; and properties of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfw.analysis import objectives, outages, windows
from chaosfw.analysis.budget import budget_left, price
from chaosfw.analysis.fold import fold
from chaosfw.analysis.samples import BAD, GOOD, UNKNOWN, Series, grades, series
from chaosfw.analysis.summary import run_line, toolkit_outcome
from chaosfw.model.arrivals import Arrivals
from chaosfw.model.event import Halted, Phase
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Load, Outcome
from chaosfw.model.record import Counts, Round
from chaosfw.model.slo import SLO, LatencyLimit
from chaosfw.model.struct import but
from chaosfw.model.verdict import Truth
from chaosfw.testing.journals import Script, Weather, bound, experiment

RATE = 100.0
PROBER = Generator(name="prober", version="1", on=0)
STEP = 10_000_000
QUICK = settings(max_examples=60, deadline=None)


def column(outcomes: list[Outcome | None], *, took: int = 5_000_000, late: int = 0) -> Series:
    """One request each 10 ms; None has no sample."""
    data = b"".join(
        SAMPLE.pack(n, n * STEP + late, n * STEP + late + took, 0, NO_MARKER, outcome, 0, 0, 0)
        for n, outcome in enumerate(outcomes)
        if outcome is not None
    )
    return series(
        data,
        load=Load(endpoint="shop", rate=RATE, timeout=1.0),
        generator=Generator(name="prober", version="1", on=0),
        off=len(outcomes) * STEP,
        seal=None,
    )


outcome_lists = st.lists(st.sampled_from([Outcome.ok, Outcome.ok, Outcome.refused, Outcome.aborted, None]), min_size=1, max_size=400)


@pytest.mark.parametrize(("target", "need"), [(0.99, 299), (0.999, 2995), (0.9, 29), (1.0, 299), (0.0, 1)])
def test_the_least_number_of_samples(target: float, need: int) -> None:
    assert objectives.minimum(target) == need


@pytest.mark.parametrize(
    ("bad", "unknown", "of", "truth"),
    [
        (10, 0, 1000, Truth.true),
        (11, 0, 1000, Truth.false),
        (5, 6, 1000, Truth.undecided),
        (1, 0, 10, Truth.undecided),
        (3, 0, 10, Truth.false),
        (0, 0, 298, Truth.undecided),
    ],
)
def test_99_percent_is_decided_by_bounds_and_granularity(bad: int, unknown: int, of: int, truth: Truth) -> None:
    counts = Counts(intended=of, good=of - bad - unknown, bad=bad, unknown=unknown)

    assert objectives.decide(counts, target=0.99) is truth


@QUICK
@given(outcome_lists, st.floats(0.5, 1.0))
def test_what_is_decided_stays_so_however_the_unknowns_turn_out(outcomes: list[Outcome | None], target: float) -> None:
    def truth(unknown: Outcome) -> Truth:
        resolved = [unknown if one in (None, Outcome.aborted) else one for one in outcomes]
        return objectives.decide(counted(column(resolved)), target=target)

    found = objectives.decide(counted(column(outcomes)), target=target)

    if found is not Truth.undecided:
        assert found is truth(Outcome.ok) is truth(Outcome.refused)


def counted(samples: Series) -> Counts:
    everything = np.ones(len(samples.due), np.bool_)
    return objectives.count(samples, grade=grades(samples, limit=None), mask=everything, limit=None)


@QUICK
@given(outcome_lists)
def test_every_intended_request_is_good_bad_or_unknown(outcomes: list[Outcome | None]) -> None:
    counts = counted(column(outcomes))

    assert counts.intended == len(outcomes) == counts.good + counts.bad + counts.unknown == sum(counts.by.values())


@QUICK
@given(outcome_lists, st.data())
def test_more_bad_requests_never_raise_what_is_left_of_the_budget(outcomes: list[Outcome | None], data: st.DataObject) -> None:
    worse = list(outcomes)
    for index in data.draw(st.sets(st.integers(0, len(outcomes) - 1))):
        worse[index] = Outcome.refused

    before, after = (left(column(one)) for one in (outcomes, worse))

    assert before[0] <= before[1]
    assert after[0] <= before[0]
    assert after[1] <= before[1]


def left(samples: Series) -> tuple[float, float]:
    slo = SLO(name="checkout", availability=0.999, latency=(LatencyLimit(quantile=0.95, limit=0.3),), window=86400.0)
    return budget_left(price(samples, slo=slo, mask=np.ones(len(samples.due), np.bool_), hypothetical=True))


def naive_hits(bad: list[bool]) -> set[int]:
    """Rule 12, word by word."""
    found: set[int] = set()
    for least, width in outages.ONSETS:
        width = min(width, len(bad))
        for begin in range(len(bad) - width + 1):
            inside = [index for index in range(begin, begin + width) if bad[index]]
            if len(inside) >= least:
                found |= set(inside)
    return found


@QUICK
@given(st.lists(st.booleans() | st.just(False), max_size=300))
def test_onsets_are_those_of_the_rule(bad: list[bool]) -> None:
    found = set(outages.in_onset(np.array(bad, np.bool_)).tolist())

    assert found == naive_hits(bad)


@QUICK
@given(st.integers(0, 600), st.integers(3, 300))
def test_the_truth_lies_inside_the_brackets(begin: int, length: int) -> None:
    outcomes = [Outcome.refused if begin <= n < begin + length else Outcome.ok for n in range(begin + length + 300)]
    samples = column(outcomes)

    (found,) = outages.of_load(samples, grade=grades(samples, limit=None), begin=0, stable_for=1.0, unknown_is_bad=False, name="shop")

    assert found.onset.first <= begin * STEP <= found.onset.last
    assert found.end is not None
    assert found.end.first <= (begin + length) * STEP <= found.end.last
    assert found.bad == length


def test_noise_is_no_outage() -> None:
    outcomes = [Outcome.refused if n % 30 == 0 else Outcome.ok for n in range(3000)]
    samples = column(outcomes)

    assert not outages.of_load(samples, grade=grades(samples, limit=None), begin=0, stable_for=1.0, unknown_is_bad=False, name="shop")


@pytest.mark.parametrize(("pause", "found"), [(90, 1), (150, 2)])
def test_a_relapse_within_the_stable_time_continues_the_outage(pause: int, found: int) -> None:
    """100 samples are needed, though 0.5 s would be only 50."""
    outcomes = [Outcome.refused] * 5 + [Outcome.ok] * pause + [Outcome.refused] * 5 + [Outcome.ok] * 300
    samples = column(outcomes)

    seen = outages.of_load(samples, grade=grades(samples, limit=None), begin=0, stable_for=0.5, unknown_is_bad=False, name="shop")

    assert len(seen) == found


def test_an_outage_that_was_not_seen_to_end_has_no_end() -> None:
    samples = column([Outcome.ok] * 100 + [Outcome.refused] * 20 + [Outcome.ok] * 99)

    (found,) = outages.of_load(samples, grade=grades(samples, limit=None), begin=0, stable_for=0.5, unknown_is_bad=False, name="shop")

    assert found.end is None


def test_an_excursion_of_the_hypothesis_is_bracketed_by_its_evaluations() -> None:
    rounds = [Round(due=n * 10**9, at=n * 10**9 + 5, ok=not 3 <= n < 6, phase=Phase.hold) for n in range(12)]

    (found,) = outages.of_hypothesis(rounds, stable_for=2.0, unknown_is_bad=False)

    assert (found.onset.first, found.onset.last) == (2 * 10**9, 3 * 10**9 + 5)
    assert found.end is not None
    assert (found.end.first, found.end.last) == (5 * 10**9, 6 * 10**9 + 5)


@pytest.mark.parametrize(("took", "late", "grade"), [(0.2, 0.0, GOOD), (0.28, 0.03, UNKNOWN), (0.31, 0.0, BAD)])
def test_a_latency_that_straddles_the_limit_is_unknown(took: float, late: float, grade: int) -> None:
    samples = column([Outcome.ok], took=int(took * 1e9), late=int(late * 1e9))

    assert grades(samples, limit=0.3).tolist() == [grade]


def test_requests_due_while_the_generator_was_late_are_unknown() -> None:
    samples = column([Outcome.refused] * 30, late=60_000_000)

    assert set(grades(samples, limit=None).tolist()) == {UNKNOWN}


@given(st.integers(0, 10**6), st.floats(0.5, 5000))
def test_intended_requests_are_those_of_the_plan(n: int, rate: float) -> None:
    on = 5 * 10**12

    assert abs(Arrivals(Load(endpoint="shop", rate=rate)).until(on + round(n * 1e9 / rate) - on) - n) <= 1


def test_quantiles_are_nearest_rank_with_failures_as_infinite() -> None:
    latency = np.array([10, 20, 30, 40, windows._INFINITE], np.int64) * 1
    found = windows.quantiles(np.where(latency == windows._INFINITE, latency, latency * 1_000_000))

    assert (found.n, found.p50, found.p95, found.good_p95) == (5, 0.03, None, 0.04)


def test_the_axis_adds_up_to_the_whole() -> None:
    record = Script(weather=(Weather(begin=2, end=4), Weather(begin=5, end=6, outcome=Outcome.aborted))).record()

    assert record.load is not None
    total = record.load.total
    assert sum(one.good for one in record.axis) == total.good
    assert sum(one.bad for one in record.axis) == total.bad
    assert sum(one.unknown for one in record.axis) == total.unknown
    assert len(record.axis) <= windows.BUCKETS + 1


def test_phases_add_up_and_tell_before_from_during() -> None:
    record = Script(weather=(Weather(begin=1, end=9, outcome=Outcome.ok, latency=0.4),)).record()

    assert record.load is not None
    by = {one.phase: one for one in record.load.phases}
    assert sum(one.counts.intended for one in by.values()) == record.load.total.intended
    assert (by[Phase.baseline].quantiles.p95 or math.inf) < 0.1 < (by[Phase.hold].quantiles.p95 or 0)


def test_time_to_recover_is_an_interval_around_the_truth() -> None:
    script = Script(weather=(Weather(begin=9.0, end=13.0),))
    recovery = script.record().recovery[0]

    assert recovery.low is not None
    assert recovery.high is not None
    assert recovery.low <= 4.0 <= recovery.high
    assert recovery.high - recovery.low < 0.1
    assert recovery.elapsed == pytest.approx(13.0 - script.heal, abs=0.05)


def test_downtime_counts_bad_windows() -> None:
    samples = column([Outcome.refused if 200 <= n < 450 else Outcome.ok for n in range(1000)])

    assert windows.downtime(samples, grade=grades(samples, limit=None), begin=0, target=0.9) == (3.0, 3.0)


def test_the_success_gap_is_the_longest_silence() -> None:
    samples = column([Outcome.refused if 200 <= n < 450 else Outcome.ok for n in range(1000)])

    assert windows.success_gap(samples, grade=grades(samples, limit=None)) == pytest.approx(2.51)


def test_one_line_says_what_the_first_screen_needs() -> None:
    line = run_line(Script(weather=(Weather(begin=9.5, end=12),)).record(), "runs/01-x", "test_x")

    assert (line.verdict, line.lost, line.allowed, line.safety) == ("held", 250, 10.0, "clean")
    assert line.recovered == pytest.approx(1.9, abs=0.05)
    assert line.outage == pytest.approx(2.5, abs=0.05)


@pytest.mark.parametrize(
    ("script", "halted", "name"),
    [
        (Script(), "", "completed"),
        (Script(body="failed"), "", "deviated"),
        (Script(out_of_tolerance=((-4, -2),)), "", "failed"),
        (Script(), "interrupt", "interrupted"),
        (Script(), "budget spent", "aborted"),
    ],
)
def test_chaos_toolkits_own_outcome_stands_beside_ours(script: Script, halted: str, name: str) -> None:
    record = script.record(edit=lambda events: [*events, *([Halted(at=script.at(5), reason=halted)] if halted else [])])

    assert toolkit_outcome(record) == name


def test_the_fold_is_the_same_twice() -> None:
    script = Script(weather=(Weather(begin=2, end=4, share=0.5),))

    assert fold(script.events(), script.samples()) == fold(script.events(), script.samples())


def test_a_self_healing_fault_is_timed_from_the_fault() -> None:
    healing = but(experiment(), lasts=4.0, recover_within=6.0, during_fault=())
    record = Script(experiment=healing, bound=(bound(self_heals=True),), weather=(Weather(begin=0.5, end=8),)).record()

    assert record.recovery[0].since is not None
    assert record.recovery[0].since.first == record.fault_call
    assert "not recovered within 6 s" in record.judgement.sentence
