"""Properties of the verdict: unknowns never make it green or red, and more harm never makes it greener."""

from __future__ import annotations

import dataclasses

from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaosfw.model.load import Outcome
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.model.verdict import Truth, Verdict
from chaosfw.testing.journals import Script, Weather, experiment

CLAIMS = but(experiment(), mitigate_within=6.0, costs_at_most=0.0003)
END = Script().end

spans = st.tuples(st.floats(0.1, END), st.floats(0.05, 6.0), st.sampled_from([0.05, 0.2, 0.5, 1.0])).map(
    lambda one: Weather(begin=one[0], end=one[0] + one[1], share=one[2])
)
storms = st.lists(spans, min_size=1, max_size=3).map(tuple)
THOROUGH = settings(max_examples=80, deadline=None)


def run(weather: tuple[Weather, ...], outcome: Outcome) -> Record:
    changed = tuple(dataclasses.replace(one, outcome=outcome, latency=0.001) for one in weather)
    return Script(experiment=CLAIMS, weather=changed).record()


@THOROUGH
@example((Weather(begin=6.0, end=7.0, share=0.2),))  # begins between the two readings of a deadline
@given(storms)
def test_what_may_have_been_bad_is_never_held_where_bad_would_not_be(storm: tuple[Weather, ...]) -> None:
    bad, unknown = run(storm, Outcome.refused).judgement, run(storm, Outcome.aborted).judgement

    assert bad.verdict is Verdict.held or unknown.verdict is not Verdict.held


@THOROUGH
@given(storms)
def test_what_may_have_been_good_is_never_deviated(storm: tuple[Weather, ...]) -> None:
    assert run(storm, Outcome.aborted).judgement.verdict is not Verdict.deviated


@THOROUGH
@example((Weather(begin=0.1, end=END),))
@given(storms)
def test_the_generators_own_dns_never_makes_a_claim_false(storm: tuple[Weather, ...]) -> None:
    """Nor does it make the run green where the same requests, refused, would not."""
    record, refused = run(storm, Outcome.dns), run(storm, Outcome.refused)

    assert [finding.claim for finding in record.judgement.findings if finding.truth is Truth.false] == []
    assert record.load is not None
    assert record.load.total.bad == 0
    assert refused.judgement.verdict is Verdict.held or record.judgement.verdict is not Verdict.held


@THOROUGH
@given(storms, spans)
def test_more_harm_never_turns_a_deviation_into_held(storm: tuple[Weather, ...], more: Weather) -> None:
    before, after = run(storm, Outcome.refused), run((*storm, more), Outcome.refused)

    assert not (before.judgement.verdict is Verdict.deviated and after.judgement.verdict is Verdict.held)


@THOROUGH
@given(storms)
def test_bounds_are_in_order(storm: tuple[Weather, ...]) -> None:
    record = run(storm, Outcome.aborted)

    for finding in record.judgement.findings:
        assert finding.low is None or finding.high is None or finding.low <= finding.high
    assert record.price is not None
    assert record.price.share_low <= record.price.share_high
    assert len(record.outages) <= len(record.possible)


@THOROUGH
@given(st.lists(st.tuples(st.floats(-5.0, END), st.floats(0.1, 4.0)), max_size=3), st.booleans())
def test_probes_that_say_nothing_prove_nothing(spans: list[tuple[float, float]], throughout: bool) -> None:
    """Whatever was silent: never deviated, and held only where it would be held had they said False."""
    silent = tuple((begin, begin + length) for begin, length in spans)
    claims = but(CLAIMS, throughout=throughout)

    quiet = Script(experiment=claims, silent=silent).record().judgement
    loud = Script(experiment=claims, out_of_tolerance=silent).record().judgement

    assert quiet.verdict is not Verdict.deviated
    assert loud.verdict is Verdict.held or quiet.verdict is not Verdict.held
