"""
Wherever a run is cut, the ledger says what is still to undo: nothing is changed that no open record stands for, and nothing is closed
that is still changed. Every input of a run is a place to be cut at; the worlds are drawn at random.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chaosfw.model import event as e
from chaosfw.model.fault import UndoState
from chaosfw.testing.simulation import Simulated, World, plan_of, simulate

instants = st.floats(min_value=0.0, max_value=20.0)
worlds = st.builds(
    World,
    bad=st.tuples(st.floats(0.0, 2.0), st.floats(2.0, 6.0)),
    call_takes=st.floats(0.001, 3.0),
    call_fails=st.sampled_from(["", "it broke"]),
    proof_takes=st.floats(0.001, 2.0),
    bites=st.sampled_from([lambda after: True, lambda after: after > 0.5, lambda after: False, lambda after: None]),
    heals=st.booleans(),
    heal_takes=st.floats(0.001, 2.0),
    normal_before=st.booleans(),
    stops=st.lists(st.tuples(instants, st.just("SIGINT")), max_size=2).map(tuple),
)


def open_records(run: Simulated) -> set[str]:
    return {name for name, record in run.records.items() if record.state is not UndoState.closed}


@settings(max_examples=60, deadline=None)
@given(world=worlds, actions=st.integers(1, 3), data=st.data())
def test_whatever_a_run_is_cut_at_the_ledger_says_what_is_to_undo(world: World, actions: int, data: st.DataObject) -> None:
    plan = plan_of(actions=actions, baseline=1.0, lasts=1.0, recover_within=1.0, rate=20.0)
    whole = simulate(plan, world)
    inputs = data.draw(st.integers(0, 2000))

    for cut in {inputs, inputs // 3, inputs // 10}:
        run = simulate(plan, world, cut=cut)

        assert run.changed <= open_records(run)
        called = {event.index for event in run.events if isinstance(event, e.CallBegan)}
        assert {undo.id for index in called for undo in plan.bound[index].undo} <= set(run.records)
    assert whole.changed == (open_records(whole) & whole.changed)
    assert (not whole.changed) or not world.heals


def test_every_single_cut_of_one_run() -> None:
    plan, world = plan_of(actions=2, baseline=1.0, lasts=1.0, recover_within=1.0, rate=20.0), World(bad=(0.0, 0.5))
    seen = 0
    cut = 0
    while True:
        run = simulate(plan, world, cut=cut)
        assert run.changed <= open_records(run)
        seen += bool(run.changed)
        if any(isinstance(event, e.HealEnded) for event in run.events):
            break
        cut += 1
    assert cut > 20
    assert seen > 5
