"""Two runs beside each other: the same, different or undecided, by windows."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from chaosfw.analysis.comparing import FEWEST, Difference, compare
from chaosfw.model.event import Phase
from chaosfw.model.record import PhaseSpan, Record, Second, Span
from chaosfw.reporting.comparison import lines

STEP = 100_000_000


def record(windows: list[tuple[int, int, float | None]], *, baseline: int = 30) -> Record:
    """``windows``: good, bad and p95 of each tenth of a second; the first ``baseline`` of them are before the fault."""
    axis = tuple(
        Second(at=number * STEP, width=0.1, good=good, bad=bad, p50=p95, p95=p95) for number, (good, bad, p95) in enumerate(windows)
    )
    edges = [0, baseline * STEP, len(windows) * STEP]
    phases = tuple(
        PhaseSpan(phase=phase, span=Span(first=first, last=last))
        for phase, (first, last) in zip((Phase.baseline, Phase.hold), pairwise(edges), strict=True)
    )
    return Record(run="r", title="It survives", slug="01-it", plan=None, phases=phases, axis=axis)


def noisy(p95: float, *, seed: int, bad: float = 0.0, count: int = 90) -> list[tuple[int, int, float | None]]:
    chance = random.Random(seed)
    return [(20, int(chance.random() < bad), p95 * chance.uniform(0.95, 1.05)) for _ in range(count)]


def found(a: Record, b: Record) -> dict[tuple[str, str], Difference]:
    return {(one.phase.value, one.figure): one for one in compare(a, b, availability=0.001, latency=0.1)}


def test_two_alike_are_the_same() -> None:
    differences = found(record(noisy(0.01, seed=1)), record(noisy(0.01, seed=2)))

    assert {one.truth for one in differences.values()} == {"same"}
    assert not any(one.is_worse for one in differences.values())


def test_what_is_slower_while_the_fault_is_in_is_told_there_and_only_there() -> None:
    a, b = noisy(0.01, seed=1), noisy(0.01, seed=2)[:30] + noisy(0.02, seed=3)[30:]

    differences = found(record(a), record(b))

    assert {where for where, one in differences.items() if one.is_worse} == {("hold", "p95")}
    assert differences["hold", "p95"].change == pytest.approx(1.0, abs=0.05)
    back = found(record(b), record(a))
    assert back["hold", "p95"].truth == "different"
    assert not back["hold", "p95"].is_worse, "faster is different, not worse"


def test_what_loses_requests_is_worse() -> None:
    differences = found(record(noisy(0.01, seed=1)), record(noisy(0.01, seed=2, bad=0.5)))

    assert differences["hold", "availability"].is_worse
    assert differences["hold", "availability"].change == pytest.approx(-0.024, abs=0.008)


def test_a_difference_about_as_large_as_what_matters_is_undecided() -> None:
    differences = found(record(noisy(0.01, seed=1)), record(noisy(0.011, seed=2)))

    assert differences["baseline", "p95"].truth == "undecided"


def test_too_few_windows_say_nothing() -> None:
    short = record(noisy(0.01, seed=1, count=30 + FEWEST - 1))

    differences = found(short, short)

    assert differences["hold", "p95"].change is None
    assert differences["hold", "p95"].truth == "undecided"
    assert differences["baseline", "p95"].truth == "same"


def test_windows_of_failed_requests_have_no_ratio() -> None:
    down = [(0, 20, None) for _ in range(90)]

    differences = found(record(noisy(0.01, seed=1)), record(down))

    assert differences["hold", "p95"].truth == "undecided"
    assert differences["hold", "availability"].is_worse


def test_the_same_two_runs_give_the_same_answer() -> None:
    a, b = record(noisy(0.01, seed=1)), record(noisy(0.0105, seed=2))

    assert compare(a, b, availability=0.001, latency=0.1) == compare(a, b, availability=0.001, latency=0.1)


def test_an_interval_of_windows_that_resemble_their_neighbours_covers() -> None:
    """The same process twice, its p95 drifting slowly: at most a tenth of such pairs may be called different by anything at all."""

    def drifting(seed: int) -> Record:
        chance, level = random.Random(seed), 0.01
        windows: list[tuple[int, int, float | None]] = []
        for _ in range(120):
            level += 0.3 * (0.01 - level) + chance.gauss(0, 0.0005)
            windows.append((20, 0, level))
        return record(windows)

    wrong = sum(
        one.truth == "different"
        for seed in range(30)
        for one in compare(drifting(seed), drifting(1000 + seed), availability=0.001, latency=0.02)
        if one.phase is Phase.hold and one.figure == "p95"
    )

    assert wrong <= 3


def test_a_terminal_shows_both_and_what_is_beside_what() -> None:
    a, b = record(noisy(0.01, seed=1)), record(noisy(0.02, seed=2))

    text = "\n".join(lines(a, b, compare(a, b, availability=0.001, latency=0.1), test="t.py::test_it"))

    assert text.startswith("It survives   t.py::test_it\n")
    assert "availability before the fault" in text
    assert ": the same within 0.1 points" in text
    assert ": DIFFERENT by more than 10 %" in text
