"""The verdict matrix (docs/protocols/verdict.md) as a whole: no false green, no false red, and no check that could be left out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from chaosfw.analysis import claims, conditions
from chaosfw.analysis.judge import judged
from chaosfw.analysis.repeats import interval
from chaosfw.model.controls import Control, ProbeControl
from chaosfw.model.event import Contaminated, RoundSeen, Suspended
from chaosfw.model.load import Load, Outcome
from chaosfw.model.record import Record
from chaosfw.model.struct import but
from chaosfw.model.verdict import Verdict
from chaosfw.testing.journals import Script, Weather, experiment
from tests.analysis.test_roads import GREEN, JUDGED, RED

SEEDS = (1, 2, 3)
SOUND = 120
"""Sound runs that are made up, each with troubles of its own that an experiment accepts."""


@cache
def broken() -> dict[str, Record]:
    """Every road to a false green or a false red, three seeds each, and what only a whole matrix needs."""
    found = {f"{road} {seed}": make(seed) for roads in (GREEN, RED) for road, (make, _) in roads.items() for seed in SEEDS}
    for seed in SEEDS:
        found[f"the journal lost its end {seed}"] = without_its_seal(seed)
        found[f"halted {seed}"] = but(Script(seed=seed).record(), halted="a file said so")
        found[f"another plan {seed}"] = Script(seed=seed, digest="").record()
        found[f"the fault was never called {seed}"] = but(Script(seed=seed).record(), fault_call=None)
        found[f"the load sees too little {seed}"] = coarse(seed)
        found[f"nothing was broken {seed}"] = exploring(seed)
        found[f"a deploy beside it {seed}"] = beside_a_deploy(seed)
        found[f"a sick generator {seed}"] = sick(seed)
        found[f"a blind instrument {seed}"] = blind(seed)
        found[f"a handful of requests {seed}"] = handful(seed)
        found[f"not looked at while the fault was in {seed}"] = Script(seed=seed, unasked=((1.0 + seed / 10, 7.0),)).record()
        found[f"asleep {seed}"] = Script(seed=seed).record(edit=lambda events: [*events, Suspended(at=events[-1].at, seconds=0.05)])
    return found


def without_its_seal(seed: int) -> Record:
    return but(Script(seed=seed).record(), sealed=False)


def coarse(seed: int) -> Record:
    """It sees outages from 3 s on, and half a second was claimed."""
    record = Script(seed=seed, experiment=but(experiment(), recover_within=0.5)).record()
    assert record.load is not None
    return but(record, load=but(record.load, resolution=3.0))


def exploring(seed: int) -> Record:
    """A file with an empty method, whose hypothesis held."""
    empty = but(experiment(), stock=True, load=None, slo=None, during_fault=(), costs_at_most=None, method=())
    script = Script(seed=seed, experiment=empty, bound=())
    look = RoundSeen(at=script.at(script.heal) - 2, round=99, due=script.at(script.heal) - 3, ok=True, before_rollbacks=True)
    return script.record(edit=lambda events: [*events[:-3], look, *events[-3:]])


def beside_a_deploy(seed: int) -> Record:
    """Every promise was kept, and somebody deployed meanwhile."""
    script = Script(seed=seed)
    return script.record(edit=lambda events: [*events, Contaminated(at=script.at(2.0 + seed), reason="a deploy of shop")])


def sick(seed: int) -> Record:
    """Half a second of a hold of ten, in which the generator was unwell: no promise hangs on it."""
    free = but(experiment(), costs_at_most=None)
    return Script(seed=seed, experiment=free, unhealthy=tuple(3.0 + seed / 10 + slot / 10 for slot in range(5))).record()


def blind(seed: int) -> Record:
    """Every promise was kept, as it would be kept with everything broken: a load, a probe, or one that fails by itself."""
    quiet, loud = Control(kind="quiet", seconds=2.0, intended=200, good=200), Control(kind="loud", seconds=2.0, intended=200, bad=200)
    made = {
        1: (quiet, but(loud, good=200, bad=0)),
        2: (quiet, but(loud, probes=(ProbeControl(name="health", true=9),))),
        3: (but(quiet, good=150, bad=50, onsets=50), loud),
    }
    return but(Script(seed=seed).record(), controls=made[seed])


def handful(seed: int) -> Record:
    """Too few requests before the fault to say anything of them, and no share is claimed."""
    sparse = but(experiment(), load=Load(endpoint="shop", rate=0.8, timeout=1.0), during_fault=(), baseline=10.0, costs_at_most=None)
    return Script(seed=seed, experiment=sparse).record()


def lost_at_the_end(seed: int) -> Record:
    """Back in time, and out of tolerance again after the deadline."""
    script = Script(seed=seed)
    late = script.heal + script.healed_after + script.experiment.recover_within + 0.5
    return Script(seed=seed, out_of_tolerance=((late + seed / 10, 99.0),)).record()


@cache
def proven() -> dict[str, Record]:
    """What is held or deviated, three seeds each."""
    found = {f"{name} {seed}": make(seed) for name, (make, _, _) in JUDGED.items() for seed in SEEDS}
    return found | {f"lost at the end {seed}": lost_at_the_end(seed) for seed in SEEDS}


def again(record: Record) -> Verdict:
    judgement = judged(but(record, judgement=None), final=True).judgement
    assert judgement is not None
    return judgement.verdict


def sound(seed: int) -> Record:
    """A run that kept its promises, with as much trouble as they leave room for."""
    rng = np.random.default_rng(seed)
    weather = []
    if rng.random() < 0.7:  # a brief impact, over in time, within the accepted 10 % of the seconds under fault
        begin = float(rng.uniform(0.0, 2.0))
        outcome = (Outcome.refused, Outcome.reset, Outcome.http_5xx, Outcome.read_timeout)[int(rng.integers(4))]
        weather.append(Weather(begin=begin, end=begin + float(rng.uniform(0.02, 0.3)), outcome=outcome))
    if rng.random() < 0.5:  # some requests late or dropped, fewer than one of a hundred
        begin = float(rng.uniform(1.0, 8.0))
        weather.append(Weather(begin=begin, end=begin + 0.05, outcome=Outcome.dropped))
    gone = float(rng.uniform(0.2, 2.0))
    return Script(
        seed=seed,
        weather=tuple(weather),
        out_of_tolerance=((0.3, 0.3 + gone),) if rng.random() < 0.5 else (),
        proven_after=float(rng.uniform(0.2, 0.9)),
        healed_after=float(rng.uniform(0.1, 0.9)),
        served=() if rng.random() < 0.3 else Script().served,
        silent=((float(rng.uniform(1, 6)),) * 2,) if rng.random() < 0.3 else (),
    ).record()


def told(capsys: pytest.CaptureFixture[str], words: str, *, wrong: int, of: int) -> None:
    """In the output of the tests, whatever is captured."""
    with capsys.disabled():
        print(f"\n{words}; 95 % sure: at most {interval(wrong, of=of)[1] * 100:.1f} % of such runs")


def test_no_false_green(capsys: pytest.CaptureFixture[str]) -> None:
    runs = broken()
    green = [name for name, record in runs.items() if again(record) is Verdict.held]

    told(capsys, f"{len(runs)} broken runs, {len(green)} false greens", wrong=len(green), of=len(runs))
    assert len(runs) >= 100
    assert not green


def test_no_false_red(capsys: pytest.CaptureFixture[str]) -> None:
    held = {name: record for name, record in proven().items() if JUDGED.get(name[:-2], (None, None, ""))[1] is Verdict.held}
    runs = {**held, **{f"made up {seed}": sound(seed) for seed in range(SOUND)}}
    verdicts = {name: again(record) for name, record in runs.items()}
    red = [name for name, verdict in verdicts.items() if verdict is Verdict.deviated]
    unproven = [name for name, verdict in verdicts.items() if verdict is not Verdict.held]

    told(capsys, f"{len(runs)} sound runs, {len(red)} false reds", wrong=len(red), of=len(runs))
    assert len(runs) >= 100
    assert not red
    assert not unproven, [runs[name].judgement for name in unproven[:1]]


@pytest.mark.parametrize("check", conditions.CONDITIONS, ids=lambda check: check.__name__)
def test_no_condition_can_be_left_out(check: conditions.Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, at least one of the broken runs would get another verdict."""
    before = {name: again(record) for name, record in broken().items()}
    monkeypatch.setattr(conditions, "CONDITIONS", tuple(one for one in conditions.CONDITIONS if one is not check))

    turned = [name for name, record in broken().items() if again(record) is not before[name]]

    assert turned, f"{check.__name__} holds nothing back"


@pytest.mark.parametrize(
    "claim",
    [one for one in claims.CLAIMS if one is not claims.steady_state_before],  # what it says, the condition ``baseline`` holds back
    ids=lambda claim: claim.__name__,
)
def test_no_claim_can_be_left_out(claim: claims.Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, at least one run would be green that is not, or lose what was proven of it."""
    runs = broken() | proven()
    before = {name: again(record) for name, record in runs.items()}
    monkeypatch.setattr(claims, "CLAIMS", tuple(one for one in claims.CLAIMS if one is not claim))

    turned = [name for name, record in runs.items() if again(record) is not before[name]]

    assert turned, f"{claim.__name__} says nothing that nothing else says"
