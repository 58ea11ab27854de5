"""The roads to a false green and to a false red (docs/protocols/verdict.md), each with three seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaosfw.analysis.fold import fold
from chaosfw.analysis.judge import judged
from chaosfw.model.environment import Target
from chaosfw.model.event import AnyEvent, CallEnded, Contaminated, Exposed, HealEnded, LoadEnded, RoundSeen, RunOpened, Suspended, UndoMoved
from chaosfw.model.fault import Bound, UndoState
from chaosfw.model.load import Load, Outcome
from chaosfw.model.record import Record
from chaosfw.model.slo import Objective
from chaosfw.model.struct import but
from chaosfw.model.verdict import Safety, Verdict
from chaosfw.testing.journals import PODS, Script, Weather, bound, changed, experiment, without

SEEDS = pytest.mark.parametrize("seed", [1, 2, 3])
HEAL = Script().heal
held, deviated, inconclusive = Verdict.held, Verdict.deviated, Verdict.inconclusive


def sealed_by(make: Callable[[Script], bytes], script: Script) -> Record:
    """The run with other bytes in samples.bin than the seal names."""
    return judged(fold(script.events(), make(script)), final=True)


def late_heal(seed: int) -> Record:
    """Back 10.5 s after the heal was called, 2.5 s after it was proven; 10 s are allowed."""
    return Script(seed=seed, healed_after=8.0, weather=(Weather(begin=9.8, end=HEAL + 10.5),)).record()


def undo_stuck(seed: int) -> Record:
    def edit(events: list[AnyEvent]) -> list[AnyEvent]:
        return [
            but(one, record=but(one.record, state=UndoState.stuck, ending=None, reason="conflict")) if isinstance(one, UndoMoved) else one
            for one in events
        ]

    return Script(seed=seed).record(edit=edit)


def straddling(seed: int) -> Record:
    """Requests in flight at F_call are cut by the fault: they belong to it, not to the baseline."""
    return Script(
        seed=seed, weather=(Weather(begin=-0.04 - seed / 100, end=0.3, outcome=Outcome.reset, latency=0.07 + seed / 100),)
    ).record()


def few(seed: int, *, bad: bool) -> Record:
    """One bad request of fourteen: 93 % is not "below 97 %" at this size."""
    limit = (Objective(sli="availability", target=0.97),)
    sparse = but(experiment(), load=Load(endpoint="shop", rate=1.4, timeout=1.0), during_fault=limit, baseline=10.0, costs_at_most=None)
    return Script(seed=seed, experiment=sparse, weather=(Weather(begin=3, end=3.7),) if bad else ()).record()


def contaminated_at(seed: int, since: float) -> Record:
    script = Script(seed=seed, weather=(Weather(begin=2, end=6),))
    return script.record(edit=lambda events: [*events, Contaminated(at=script.at(since), reason="a deploy of shop")])


def stated() -> Bound:
    """A fault that hits one of three pods, as its author says: any of them may be the one."""
    return but(bound(), targets=tuple(Target(kind="pod", name=name, namespace="shop") for name in PODS), hits=1)


def stock(*, after: bool | None) -> Callable[[int], Record]:
    def make(seed: int) -> Record:
        plain = but(experiment(), stock=True, load=None, slo=None, during_fault=(), costs_at_most=None)
        script = Script(seed=seed, experiment=plain, out_of_tolerance=((1, 9),))
        look = RoundSeen(at=script.at(HEAL) - 2, round=99, due=script.at(HEAL) - 3, ok=after, before_rollbacks=True)
        return script.record(edit=lambda events: [*events[:-3], look, *events[-3:]])

    return make


GREEN: dict[str, tuple[Callable[[int], Record], str]] = {
    "fault faded in mid-hold": (lambda seed: Script(seed=seed, gone=((3 + seed, 5 + seed),)).record(), "faded"),
    "fault last seen long before the heal": (lambda seed: Script(seed=seed, unseen=((3 + seed, 99),)).record(), "may have faded"),
    "fault never seen": (lambda seed: Script(seed=seed, unseen=((0, 99),)).record(), "never seen"),
    "driver did nothing": (lambda seed: Script(seed=seed, gone=((0, 99),)).record(), "never seen"),
    "the call failed": (lambda seed: Script(seed=seed).record(edit=lambda e: changed(e, CallEnded, ok=False, error="403")), "failed: 403"),
    "nothing can prove it": (lambda seed: Script(seed=seed, bound=(but(bound(), provable=False),)).record(), "nothing can prove"),
    "one of two faults unproven": (
        lambda seed: Script(seed=seed, bound=(bound(), bound("kill web-2", index=1))).record(
            edit=lambda events: [one for one in events if getattr(one, "index", 0) == 0]
        ),
        "kill web-2 was never called",
    ),
    "victims served no traffic": (lambda seed: Script(seed=seed, served=("web-2", "web-3")).record(), "reached"),
    "too few connections to infer exposure": (
        lambda seed: Script(seed=seed, served=(), exposed=tuple(f"web-{n}" for n in range(1, 400))).record(),
        "reached",
    ),
    "a victim that was not ready all the time": (
        lambda seed: Script(seed=seed, served=(), still_ready=("web-2", "web-3")).record(),
        "reached",
    ),
    "endpoints that came and went took the connections": (
        lambda seed: Script(seed=seed, served=(), passing=tuple(f"web-{n}" for n in range(4, 400))).record(),
        "reached",
    ),
    "nobody looked again before the fault": (
        lambda seed: Script(seed=seed, served=()).record(edit=lambda events: without(events, Exposed)),
        "reached",
    ),
    "one of the victims that were named served no traffic": (
        lambda seed: Script(seed=seed, bound=(stated(),), served=("web-1", "web-2")).record(),
        "hit (web-3)",
    ),
    "too few connections to infer exposure of each that was named": (
        lambda seed: Script(seed=seed, bound=(stated(),), served=(), exposed=tuple(f"web-{n}" for n in range(1, 120))).record(),
        "reached",
    ),
    "nobody says what it hits": (
        lambda seed: Script(seed=seed, bound=(but(bound(), targets=(Target(kind="call", name="m.f"),)),)).record(),
        "say what kill web-1 hits, with victims=",
    ),
    "load ended early": (lambda seed: Script(seed=seed, load_until=3.0 * seed).record(), ""),
    "generator died": (lambda seed: Script(seed=seed).record(edit=lambda events: changed(events, LoadEnded, seal=None)), "left no seal"),
    "drops ignored": (lambda seed: Script(seed=seed, weather=(Weather(begin=1, end=9, outcome=Outcome.dropped, share=0.2),)).record(), ""),
    "aborts ignored": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=1, end=9, outcome=Outcome.aborted, share=0.2),)).record(),
        "requests are unknown",
    ),
    "missing ignored": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=1, end=9, missing=True, share=0.2),)).record(),
        "requests are unknown",
    ),
    "closed loop": (lambda seed: Script(seed=seed, model="closed").record(), "closed loop"),
    "recovery timed from a late proof": (late_heal, "whether it was recovered within 10 s hangs on"),
    "hung probe in the baseline": (lambda seed: Script(seed=seed, silent=((-3, -3 + seed / 2),)).record(), "gave no evidence"),
    "hung probe at the end": (lambda seed: Script(seed=seed, silent=((17 + seed, 99),)).record(), ""),
    "probes never asked again": (lambda seed: Script(seed=seed, unasked=((12 + seed, 99),)).record(), ""),
    "truncated samples": (lambda seed: sealed_by(lambda s: s.samples()[: -36 * seed], Script(seed=seed)), "not whole"),
    "half a sample": (lambda seed: sealed_by(lambda s: s.samples()[:-seed], Script(seed=seed)), "not whole"),
    "a sample twice": (lambda seed: sealed_by(lambda s: s.samples()[:-36] + s.samples()[:36], Script(seed=seed)), "share a number"),
    "body never ran": (lambda seed: Script(seed=seed, body="never-ran").record(), "never ran to its end"),
    "body raised": (lambda seed: Script(seed=seed, body="error").record(), "body raised"),
    "healed by others": (lambda seed: Script(seed=seed, ending="by-other").record(), "somebody else"),
    "superseded": (lambda seed: Script(seed=seed, ending="superseded").record(), "ended as superseded"),
    "not put back": (undo_stuck, "was not put back"),
    "way back never recorded": (lambda seed: Script(seed=seed).record(edit=lambda e: without(e, UndoMoved)), "never recorded"),
    "heal unproven": (lambda seed: Script(seed=seed).record(edit=lambda e: changed(e, HealEnded, ok=False)), ""),
    "not watched to the deadline": (lambda seed: Script(seed=seed, watch_for=1.0 + seed).record(), "did not go on to the deadline"),
    "stock: the look after the method gave nothing": (stock(after=None), "gave no evidence"),
}

RED: dict[str, tuple[Callable[[int], Record], str]] = {
    "bad baseline": (
        lambda seed: Script(seed=seed, out_of_tolerance=((-4, -2),), weather=(Weather(begin=2, end=8),)).record(),
        "not normal before the fault",
    ),
    "objective missed in the baseline already": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=-5, end=20, share=0.19),)).record(),
        "before the fault",
    ),
    "its own DNS": (lambda seed: Script(seed=seed, weather=(Weather(begin=2, end=8, outcome=Outcome.dns),)).record(), "unwell"),
    "generator stall": (lambda seed: Script(seed=seed, weather=(Weather(begin=2, end=8, late=0.2),)).record(), "unwell"),
    "suspended": (
        lambda seed: Script(seed=seed).record(edit=lambda events: [*events, Suspended(at=Script().at(3 + seed), seconds=3600.0)]),
        "slept",
    ),
    "contaminated before the evidence": (lambda seed: contaminated_at(seed, 2.0 + seed / 10), "a deploy of shop"),
    "faded before the evidence": (
        lambda seed: Script(seed=seed, gone=((2.0, 99),), weather=(Weather(begin=4, end=9),)).record(),
        "faded",
    ),
    "our own heal failed": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=9.6, end=99),)).record(edit=lambda e: changed(e, HealEnded, ok=False)),
        "",
    ),
    "one bad of a small N": (lambda seed: few(seed, bad=True), "14 requests while the fault was in"),
    "a probe's own exception": (lambda seed: Script(seed=seed, silent=((-4, -2),)).record(), "gave no evidence"),
}

JUDGED: dict[str, tuple[Callable[[int], Record], Verdict, str]] = {
    "good": (lambda seed: Script(seed=seed).record(), held, "Held: shop kept serving (0 of 2,"),
    "each victim that was named served": (lambda seed: Script(seed=seed, bound=(stated(),)).record(), held, "Held"),
    "inferred exposure": (lambda seed: Script(seed=seed, served=()).record(), held, "Held"),
    "accepted degradation": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=1, end=9, share=0.08),)).record(),
        held,
        "stayed within what was accepted",
    ),
    "impact that ends in time": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=9.5, end=HEAL + 2 + seed),)).record(),
        held,
        "it recovered in",
    ),
    "diluted by other phases": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=1, end=8, share=0.2),)).record(),
        deviated,
        "Deviated: availability was",
    ),
    "not recovered": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=9.9, end=99),)).record(),
        deviated,
        "not recovered within 10 s",
    ),
    "relapse over the deadline": (
        lambda seed: Script(seed=seed, weather=(Weather(begin=9.5, end=10), Weather(begin=HEAL + 6 + seed, end=HEAL + 11))).record(),
        deviated,
        "not recovered within 10 s",
    ),
    "the hypothesis did not come back": (
        lambda seed: Script(seed=seed, out_of_tolerance=((seed, 99),)).record(),
        deviated,
        "hypothesis left its steady state",
    ),
    "too dear": (
        lambda seed: Script(
            seed=seed,
            experiment=but(experiment(), costs_at_most=0.00001),
            weather=(Weather(begin=1, end=8, share=0.08),),
        ).record(),
        deviated,
        "the run cost",
    ),
    "assert": (lambda seed: Script(seed=seed, body="failed").record(), deviated, "an assert failed"),
    "straddling requests": (straddling, held, "Held"),
    "contaminated after the evidence": (lambda seed: contaminated_at(seed, 6.5 + seed), deviated, "availability was"),
    "faded after the evidence": (
        lambda seed: Script(seed=seed, gone=((8.5, 99),), weather=(Weather(begin=2, end=6),)).record(),
        deviated,
        "availability was",
    ),
    "throughout": (
        lambda seed: Script(seed=seed, experiment=but(experiment(), throughout=True), out_of_tolerance=((seed, seed + 2),)).record(),
        deviated,
        "the steady state was lost while the fault was in",
    ),
    "recorded, not judged": (lambda seed: Script(seed=seed, out_of_tolerance=((seed, seed + 2),)).record(), held, "Held"),
    "not mitigated": (
        lambda seed: Script(seed=seed, experiment=but(experiment(), mitigate_within=4.0), out_of_tolerance=((1, 4 + seed),)).record(),
        deviated,
        "not mitigated within 4 s",
    ),
    "mitigated": (
        lambda seed: Script(seed=seed, experiment=but(experiment(), mitigate_within=6.0), out_of_tolerance=((0.4, 2 + seed),)).record(),
        held,
        "it mitigated in",
    ),
    "stock held": (stock(after=True), held, "no traffic measured"),
    "stock deviated": (stock(after=False), deviated, "did not hold after the method"),
}


@SEEDS
@pytest.mark.parametrize("road", GREEN)
def test_no_false_green(road: str, seed: int) -> None:
    make, words = GREEN[road]
    judgement = make(seed).judgement

    assert judgement.verdict is inconclusive, judgement.sentence
    assert words in judgement.sentence


@SEEDS
@pytest.mark.parametrize("road", RED)
def test_no_false_red(road: str, seed: int) -> None:
    make, words = RED[road]
    judgement = make(seed).judgement

    assert judgement.verdict is inconclusive, judgement.sentence
    assert words in judgement.sentence


@SEEDS
@pytest.mark.parametrize("case", JUDGED)
def test_what_is_proven_is_said(case: str, seed: int) -> None:
    make, verdict, words = JUDGED[case]
    judgement = make(seed).judgement

    assert judgement.verdict is verdict, judgement.sentence
    assert words in judgement.sentence


def test_a_would_be_deviation_is_listed() -> None:
    judgement = RED["bad baseline"][0](1).judgement

    assert any("availability was" in one for one in judgement.would_be)


def test_no_claims_is_not_held() -> None:
    nothing = but(experiment(), steady_state=None, load=None, slo=None, during_fault=(), costs_at_most=None)

    assert "claims nothing" in Script(experiment=nothing).record().judgement.sentence


def test_a_suppressed_guard_is_named_in_the_sentence() -> None:
    record = Script().record(edit=lambda events: changed(events, RunOpened, suppressed=("hours",)))

    assert record.judgement.sentence.endswith("switched off by hand: hours")


@pytest.mark.parametrize("name", RED)
def test_it_is_named_whatever_the_verdict(name: str) -> None:
    """An inconclusive run is repeated by somebody who has to know."""
    record = RED[name][0](1)
    again = judged(but(record, suppressed=("hours: now",)), final=True)

    assert again.judgement.sentence.endswith("; switched off by hand: hours: now")


def test_what_may_be_inferred_is_about_the_victims_only() -> None:
    """Another endpoint that came or went makes the victim's share smaller, and no more than that."""
    record = Script(served=(), still_ready=("web-1", "web-2"), passing=("web-4",)).record()

    assert (record.exposure.how, record.exposure.needed) == ("inferred", 25)


def test_inferred_exposure_is_labelled() -> None:
    record = Script(served=()).record()

    assert record.exposure.how == "inferred"
    assert any("inferred" in one.reason for one in record.judgement.conditions if one.slug == "exposed")


@pytest.mark.parametrize(
    ("residue", "safety"), [((), Safety.clean), (("node/n1 spec.unschedulable",), Safety.residue), (None, Safety.unknown)]
)
def test_safety_never_rewrites_the_verdict(residue: tuple[str, ...] | None, safety: Safety) -> None:
    judgement = Script(residue=residue).record().judgement

    assert (judgement.verdict, judgement.safety) == (held, safety)


@SEEDS
def test_a_run_cut_at_any_event_is_never_held(seed: int) -> None:
    script = Script(seed=seed, experiment=but(experiment(), probe_every=1.0))
    events, samples = script.events(), script.samples()

    for length in range(len(events)):
        record = judged(fold(events[:length], samples), final=True)
        assert record.judgement.verdict is not held, length
