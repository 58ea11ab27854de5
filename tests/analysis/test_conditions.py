"""Each condition of V and W closes a road that nothing else closes: without it, the same run would be judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaosfw.analysis import conditions
from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judge, judged
from chaosfw.model.controls import Control, ProbeControl
from chaosfw.model.event import AnyEvent, Contaminated, Controlled, Halted, Phase, PhaseBegan, RoundSeen, Suspended
from chaosfw.model.load import Outcome
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.model.verdict import Verdict
from chaosfw.testing.journals import Script, Weather, changed, experiment, without

SEEDS = (1, 2, 3)


def halted(seed: int) -> Record:
    script = Script(seed=seed)
    return script.record(edit=lambda events: [*events, Halted(at=script.at(seed), reason="interrupt")])


def not_hashed(seed: int) -> Record:
    return Script(seed=seed, digest="").record()


def exploring(seed: int) -> Record:
    """A stock file with an empty method."""
    script = Script(
        seed=seed, bound=(), experiment=but(experiment(), stock=True, method=(), load=None, slo=None, during_fault=(), costs_at_most=None)
    )

    def edit(events: list[AnyEvent]) -> list[AnyEvent]:
        return [*events, RoundSeen(at=script.at(11), round=99, due=script.at(10), ok=True, before_rollbacks=True)]

    return script.record(edit=edit)


def outage_in_the_baseline(seed: int) -> Record:
    return Script(seed=seed, weather=(Weather(begin=-4, end=-4 + 0.2 * seed),)).record()


def tampered(seed: int) -> Record:
    script = Script(seed=seed)
    data = bytearray(script.samples())
    data[36 * seed + 32] ^= 1
    return judged(fold(script.events(), bytes(data)), final=True)


def contaminated(seed: int) -> Record:
    script = Script(seed=seed)
    return script.record(edit=lambda events: [*events, Contaminated(at=script.at(seed), reason="a deploy of shop")])


def faded(seed: int) -> Record:
    return Script(seed=seed, gone=((2.0 + seed, 3.5 + seed),)).record()


def victim_without_traffic(seed: int) -> Record:
    return Script(seed=seed, served=("web-2", "web-3")).record()


def sick_generator(seed: int) -> Record:
    return Script(seed=seed, unhealthy=tuple(2.0 * seed + slot / 10 for slot in range(4))).record()


def slept(seed: int) -> Record:
    script = Script(seed=seed)
    return script.record(edit=lambda events: [*events, Suspended(at=script.at(seed), seconds=60.0)])


def few_samples(seed: int) -> Record:
    sparse = but(experiment().load, rate=1.0 + seed / 10)
    return Script(seed=seed, served=("web-1",), experiment=but(experiment(), load=sparse, during_fault=())).record()


def coarse(seed: int) -> Record:
    sparse = but(experiment().load, rate=0.2 + seed / 100)
    patient = but(experiment(), load=sparse, during_fault=(), baseline=60.0, lasts=60.0)
    return Script(seed=seed, served=("web-1",), experiment=patient).record()


def probes_stood_still(seed: int) -> Record:
    return Script(seed=seed, unasked=((seed, seed + 4),)).record()


def blind_probe(seed: int) -> Record:
    loud = Control(kind="loud", seconds=2.0, intended=200, bad=200, probes=(ProbeControl(name="health", true=seed),))
    script = Script(seed=seed)
    made = Controlled(at=script.at(-1), quiet=Control(kind="quiet", seconds=2.0), loud=loud)
    return script.record(edit=lambda events: [*events[:1], made, *events[1:]])


def healed_by_others(seed: int) -> Record:
    return Script(seed=seed, ending="by-other").record()


def unsealed(seed: int) -> Record:
    script = Script(seed=seed)
    return judged(fold(script.events()[:-1], script.samples()), final=True)


ONLY: dict[str, tuple[Callable[[int], Record], str]] = {
    "not_halted": (halted, "halted: interrupt"),
    "executed_plan": (not_hashed, "never hashed"),
    "fault_called": (exploring, "exploring"),
    "baseline": (outage_in_the_baseline, "shop had an outage before the fault"),
    "whole_samples": (tampered, "not those that the seal was made over"),
    "uncontaminated": (contaminated, "a deploy of shop"),
    "proven": (faded, "faded"),
    "exposed": (victim_without_traffic, "nothing shows that the load reached what kill web-1 hit"),
    "healthy_generator": (sick_generator, "the load generator was unwell"),
    "awake": (slept, "the machine slept"),
    "enough_samples": (few_samples, "requests before the fault"),
    "resolution": (coarse, "raise the rate"),
    "watched": (probes_stood_still, "scheduled evaluations while the fault was in"),
    "controls": (blind_probe, "is blind: it is well with a server that refuses everything"),
    "undone": (healed_by_others, "put back by somebody else"),
    "sealed": (unsealed, "no seal that fits"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("check", [one.__name__ for one in conditions.CONDITIONS])
def test_each_condition_alone_makes_a_run_inconclusive(check: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And deleting it would make the same run held: no condition is there for show."""
    make, words = ONLY[check]
    record = make(seed)

    assert record.judgement.verdict is Verdict.inconclusive
    assert len(record.judgement.unmet) == 1
    assert words in record.judgement.sentence

    rest = tuple(one for one in conditions.CONDITIONS if one.__name__ != check)
    monkeypatch.setattr(conditions, "CONDITIONS", rest)
    assert judge(record, final=True).verdict is Verdict.held


@pytest.mark.parametrize("seed", SEEDS)
def test_a_good_run_meets_them_all(seed: int) -> None:
    record = Script(seed=seed).record()

    assert record.judgement.verdict is Verdict.held
    assert not record.judgement.unmet
    assert {one.kind for one in record.judgement.conditions} == {"V", "W"}


def test_before_teardown_the_seal_is_not_asked_for() -> None:
    script = Script()

    judgement = judge(fold(script.events()[:-4], script.samples()), final=False)

    assert judgement.verdict is Verdict.held
    assert not judgement.final


def test_without_load_nothing_about_load_is_asked() -> None:
    quiet = but(experiment(), load=None, slo=None, during_fault=(), costs_at_most=None)
    record = Script(experiment=quiet).record()

    assert record.judgement.verdict is Verdict.held
    assert "no traffic measured" in record.judgement.sentence
    assert not {"exposed", "generator", "enough-samples", "resolution"} & {one.slug for one in record.judgement.conditions}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda events: changed(events, PhaseBegan), None),
        (
            lambda events: [one for one in events if not (isinstance(one, PhaseBegan) and one.phase is Phase.baseline)],
            "evaluations before the fault",
        ),
        (lambda events: without(events, RoundSeen), "evaluations before the fault"),
    ],
)
def test_a_baseline_that_was_not_seen_is_none(edit: Callable[[list[AnyEvent]], list[AnyEvent]], words: str | None) -> None:
    judgement = Script().record(edit=edit).judgement

    assert (judgement.verdict is Verdict.held) is (words is None)
    assert words is None or words in judgement.sentence


def test_unknown_requests_in_the_baseline_are_no_baseline() -> None:
    record = Script(weather=(Weather(begin=-5, end=0, outcome=Outcome.aborted, share=0.07),)).record()

    assert "before the fault are unknown" in record.judgement.sentence
