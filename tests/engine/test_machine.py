"""The machine decides; a made-up world answers. Every test reads the journal that comes out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfw.model import event as e
from chaosfw.model.activity import Probe, PythonProvider, Step
from chaosfw.model.event import Phase
from chaosfw.model.fault import UndoState
from chaosfw.model.plan import Plan
from chaosfw.model.struct import but
from chaosfw.testing.simulation import Simulated, World, plan_of, simulate


def phases(out: Simulated) -> list[str]:
    return [event.phase.value for event in out.events if isinstance(event, e.PhaseBegan)]


def of(out: Simulated, kind: type) -> list:
    return [event for event in out.events if isinstance(event, kind)]


def began(out: Simulated, phase: Phase) -> int:
    return next(event.at for event in out.events if isinstance(event, e.PhaseBegan) and event.phase is phase)


def look(name: str = "look", **changes: object) -> Probe:
    return but(Probe(name=name, provider=PythonProvider(module="made.up", func="up")), **changes)


def with_method(*steps: Probe | int, **plan: float) -> Plan:
    """A plan whose method is these probes, and actions by their number."""
    made = plan_of(actions=sum(isinstance(one, int) for one in steps), **plan)  # type: ignore[arg-type]
    method: list[Step] = [made.bound[one].action if isinstance(one, int) else one for one in steps]
    return but(made, experiment=but(made.experiment, method=tuple(method)))


def test_a_run_goes_through_its_phases_in_order() -> None:
    """Baseline, inject, hold, heal, recover, judge, and nothing else."""
    out = simulate(plan_of(), World())

    assert phases(out) == ["baseline", "inject", "hold", "heal", "recover", "judge"]


def test_a_system_that_is_not_normal_is_never_injected_into() -> None:
    out = simulate(plan_of(), World(normal_before=False))

    assert not of(out, e.CallBegan)
    assert phases(out) == ["baseline", "judge"]
    assert not out.records


def test_undo_records_are_durable_before_the_call_and_in_after_the_proof() -> None:
    """prepared, then CallBegan, then Proved, then in: never in another order."""
    out = simulate(plan_of(actions=2), World())

    for index in (0, 1):
        mine = f"undo-{index}"
        order = [
            event.record.state.value if isinstance(event, e.UndoMoved) else type(event).__name__
            for event in out.events
            if (isinstance(event, e.UndoMoved) and event.record.undo.id == mine) or getattr(event, "index", None) == index
        ]
        steps = ["prepared", "CallBegan", "armed", "Proved", "in", "closed"]
        assert [order.index(step) for step in steps] == sorted(order.index(step) for step in steps)


def test_an_effect_that_never_shows_halts_and_heals() -> None:
    out = simulate(plan_of(), World(bites=lambda after: False))

    assert "did not show within" in of(out, e.Halted)[0].reason
    assert phases(out) == ["baseline", "inject", "heal", "judge"]
    assert {record.state for record in out.records.values()} == {UndoState.closed}


def test_a_call_that_fails_halts_and_heals_what_it_may_have_done() -> None:
    out = simulate(plan_of(actions=2), World(call_fails="boom"))

    assert len(of(out, e.CallBegan)) == 1
    assert "boom" in of(out, e.Halted)[0].reason
    assert out.records["undo-0"].state is UndoState.closed


def test_a_call_without_an_answer_is_given_up_at_its_time_out() -> None:
    out = simulate(plan_of(), World(call_takes=1e6))

    assert "no answer within 60 s" in of(out, e.CallEnded)[0].error
    assert out.records["undo-0"].state is UndoState.closed


def test_the_effect_is_proven_again_during_hold_and_at_its_end() -> None:
    """About every second, and once more within the last instant before healing."""
    out = simulate(plan_of(lasts=5.0), World())

    during = [event for event in of(out, e.Proved) if event.during is Phase.hold]
    heal = next(event.at for event in out.events if isinstance(event, e.PhaseBegan) and event.phase is Phase.heal)
    assert len(during) >= 5
    assert heal - during[-1].at < 50_000_000


def test_hold_lasts_from_the_proof() -> None:
    """A slow call does not shorten the time that the fault is in."""
    out = simulate(plan_of(lasts=5.0), World(call_takes=4.0))

    proven = next(event.at for event in of(out, e.Proved))
    healing = next(event.at for event in out.events if isinstance(event, e.PhaseBegan) and event.phase is Phase.heal)
    assert 5.0 <= (healing - proven) / 1e9 < 5.1


def test_the_watch_goes_on_to_the_deadline_and_its_stability() -> None:
    """recover_within and stable_for after the heal, so that a relapse is seen."""
    out = simulate(plan_of(recover_within=5.0), World())

    healed = of(out, e.HealEnded)[0].at
    judged = next(event.at for event in out.events if isinstance(event, e.PhaseBegan) and event.phase is Phase.judge)
    assert (judged - healed) / 1e9 >= 7.0


def test_a_fault_that_heals_itself_counts_its_deadline_from_the_fault() -> None:
    out = simulate(plan_of(undo=False, lasts=5.0, recover_within=5.0), World())

    proven = of(out, e.Proved)[0].at
    judged = next(event.at for event in out.events if isinstance(event, e.PhaseBegan) and event.phase is Phase.judge)
    assert 7.0 <= (judged - proven) / 1e9 < 7.5


def test_a_generator_that_dies_halts_the_run() -> None:
    out = simulate(plan_of(), World(load_dies_after=5.0))

    assert "the load ended by itself" in of(out, e.Halted)[0].reason
    assert {record.state for record in out.records.values()} == {UndoState.closed}


def test_rounds_are_evenly_scheduled_whatever_the_answers_take() -> None:
    out = simulate(plan_of(), World(probe_takes=0.4))

    hypothesis = [event.due for event in of(out, e.RoundSeen)]
    gaps = {round((later - earlier) / 1e9, 3) for earlier, later in pairwise(hypothesis)}
    assert min(gaps) >= 0.0
    assert max(gaps) <= 0.6


def test_a_probe_that_never_answers_is_no_evidence() -> None:
    """Neither good nor bad; a baseline of such rounds is not normal."""
    out = simulate(plan_of(), World(probe_takes=1e6))

    assert {event.ok for event in of(out, e.RoundSeen)} == {None}
    assert not of(out, e.CallBegan)


def test_pauses_around_a_probe_of_the_method_delay_the_next_step() -> None:
    out = simulate(with_method(look(pause_before=2.0, pause_after=3.0), 0), World(probes_take={"look": 0.5}))

    inject, call = began(out, Phase.inject), of(out, e.CallBegan)[0].at
    (seen,) = [event for event in of(out, e.ProbeSeen) if event.alone]
    assert (seen.due - inject) / 1e9 == pytest.approx(2.0)
    assert (seen.at - inject) / 1e9 == pytest.approx(2.5)
    assert (call - inject) / 1e9 == pytest.approx(5.5, abs=0.01)


def test_a_probe_in_the_background_lets_the_method_go_on_which_waits_for_it_at_its_end() -> None:
    out = simulate(with_method(look(background=True, timeout=9.0), 0), World(probes_take={"look": 4.0}))

    inject, call, hold = began(out, Phase.inject), of(out, e.CallBegan)[0].at, began(out, Phase.hold)
    (seen,) = [event for event in of(out, e.ProbeSeen) if event.alone]
    assert (call - inject) / 1e9 < 0.1
    assert ((seen.due - inject) / 1e9, (seen.at - inject) / 1e9) == (0.0, 4.0)
    assert hold == seen.at


def test_a_probe_in_the_background_that_never_answers_is_closed_at_its_time_out() -> None:
    out = simulate(with_method(look(background=True, timeout=3.0), 0), World(probes_take={"look": 1e6}))

    (seen,) = [event for event in of(out, e.ProbeSeen) if event.alone]
    assert (seen.ok, seen.error) == (None, "no answer in time")
    assert began(out, Phase.hold) == seen.at
    assert 3.0 <= (seen.at - began(out, Phase.inject)) / 1e9 < 3.5
    assert phases(out) == ["baseline", "inject", "hold", "heal", "recover", "judge"]


def test_pauses_of_a_probe_in_the_background_are_its_own() -> None:
    """They delay neither the next step nor each other; only the end of the method waits for them."""
    first, second = (look(name, background=True, pause_before=2.0, pause_after=1.0) for name in ("first", "second"))

    out = simulate(with_method(first, second, 0), World())

    inject = began(out, Phase.inject)
    seen = [event for event in of(out, e.ProbeSeen) if event.alone]
    assert (of(out, e.CallBegan)[0].at - inject) / 1e9 < 0.1
    assert [(event.due - inject) / 1e9 for event in seen] == [2.0, 2.0]
    assert (began(out, Phase.hold) - inject) / 1e9 == pytest.approx(3.0, abs=0.01)


def test_a_stop_asks_nothing_more_of_the_method() -> None:
    """A probe that still pauses in the background is not asked while the fault is put back."""
    out = simulate(with_method(0, look(background=True, pause_before=5.0)), World(heal_takes=30.0, stops=((5.0, "SIGINT"),)))

    assert phases(out) == ["baseline", "inject", "heal", "judge"]
    assert not [event for event in of(out, e.ProbeSeen) if event.alone]


PAUSES = st.sampled_from([0.0, 0.5, 4.0])


@settings(max_examples=100, deadline=None)
@given(
    stops=st.lists(st.floats(0, 25), max_size=2),
    looks=st.lists(st.tuples(st.booleans(), PAUSES, PAUSES, st.sampled_from([0.01, 0.9, 1e6])), max_size=4),
    place=st.integers(0, 4),
)
def test_every_method_of_probes_ends(stops: list[float], looks: list[tuple[bool, float, float, float]], place: int) -> None:
    """Whatever pauses, hangs or is stopped: the run ends, each probe is recorded once before hold, and all is closed."""
    probes = [look(str(at), background=one[0], pause_before=one[1], pause_after=one[2]) for at, one in enumerate(looks)]
    world = World(stops=tuple((at, "SIGTERM") for at in stops), probes_take={str(at): one[3] for at, one in enumerate(looks)})

    out = simulate(with_method(*probes[:place], 0, *probes[place:]), world)

    assert phases(out)[-1] == "judge"
    assert all(record.state is UndoState.closed for record in out.records.values())
    if "hold" in phases(out):
        alone = [event for event in of(out, e.ProbeSeen) if event.alone]
        assert sorted(event.probe for event in alone) == sorted(probe.name for probe in probes)
        assert all(event.at <= began(out, Phase.hold) for event in alone)


def test_a_fault_that_cuts_our_own_sight_is_healed_at_once() -> None:
    """Three looks in a row that see nothing: heal while we perhaps still can."""
    out = simulate(plan_of(lasts=60.0), World(bites=lambda after: True if after < 2 else None))

    assert "the way back may be cut" in of(out, e.Halted)[0].reason
    called, healed = of(out, e.CallBegan)[0].at, of(out, e.HealBegan)[0].at
    assert (healed - called) / 1e9 < 8


@pytest.mark.parametrize("after", [0.0, 0.02, 1.0, 3.1, 3.2, 4.0, 8.3, 8.4, 9.0, 14.0, 17.0])
def test_a_stop_at_any_time_ends_with_everything_closed(after: float) -> None:
    """Ctrl-C during every phase: the run ends, and no undo record stays open."""
    out = simulate(plan_of(actions=2), World(stops=((after, "SIGINT"),)))

    assert phases(out)[-1] == "judge"
    assert all(record.state is UndoState.closed for record in out.records.values())
    if out.records:
        assert of(out, e.HealEnded)


def test_a_second_stop_during_healing_does_not_stop_the_healing() -> None:
    out = simulate(plan_of(), World(heal_takes=2.0, stops=((4.0, "SIGINT"), (4.5, "SIGINT"))))

    assert len(of(out, e.Halted)) == 2
    assert len(of(out, e.HealBegan)) == 1
    assert out.records["undo-0"].state is UndoState.closed


@settings(max_examples=150, deadline=None)
@given(cut=st.integers(min_value=0, max_value=400), actions=st.integers(1, 3), load=st.booleans())
def test_wherever_a_run_is_cut_the_ledger_names_what_is_to_undo(cut: int, actions: int, load: bool) -> None:
    """Every call that has begun has a record on disk that is open until it is healed."""
    out = simulate(plan_of(actions=actions, load=load), World(), cut=cut)

    healing = "heal" in phases(out)
    for call in of(out, e.CallBegan):
        assert (out.records[f"undo-{call.index}"].state is UndoState.closed) == healing


@settings(max_examples=100, deadline=None)
@given(
    stops=st.lists(st.floats(0, 20), max_size=3),
    takes=st.floats(0.001, 12),
    proof=st.floats(0.001, 5),
    probe=st.floats(0.001, 2),
    dies=st.none() | st.floats(0.1, 20),
)
def test_every_interleaving_ends(stops: list[float], takes: float, proof: float, probe: float, dies: float | None) -> None:
    """However answers, deaths and stops fall, the run reaches its end with every record closed."""
    world = World(
        stops=tuple((at, "SIGTERM") for at in stops), call_takes=takes, proof_takes=proof, probe_takes=probe, load_dies_after=dies
    )

    out = simulate(plan_of(actions=2), world)

    assert phases(out)[-1] == "judge"
    assert all(record.state is UndoState.closed for record in out.records.values())
