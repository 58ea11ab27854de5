"""The SLI of the last seconds."""

from __future__ import annotations

import math

from chaosfw.load.window import bounds, look
from chaosfw.model.activity import LoadProvider
from chaosfw.model.load import NO_MARKER, SAMPLE, Generator, Load, Outcome

ON = 1_000_000_000
SECOND = 1_000_000_000
LOAD = Load(endpoint="shop", rate=10.0)
PROBER = Generator(name="prober", version="1", on=ON)


def sample(n: int, *, outcome: Outcome = Outcome.ok, took: float = 0.01) -> bytes:
    due = ON + n * SECOND // 10
    return SAMPLE.pack(n, due, due + int(took * SECOND), 200, NO_MARKER, outcome, 0, 0, 0)


def test_only_what_was_due_in_the_window_counts() -> None:
    data = b"".join(sample(n, outcome=Outcome.refused if n < 50 else Outcome.ok) for n in range(100))

    seen = look(data, load=LOAD, generator=PROBER, now=ON + 10 * SECOND, window=5.0)

    assert (seen.intended, seen.ok, seen.failed) == (50, 50, 0)
    assert seen.low == seen.high == 1.0


def test_what_has_no_sample_is_unknown() -> None:
    data = b"".join(sample(n) for n in range(0, 50, 2))

    seen = look(data, load=LOAD, generator=PROBER, now=ON + 5 * SECOND, window=5.0)

    assert (seen.low, seen.high, seen.unknown) == (0.5, 1.0, 25)


def test_a_name_that_the_generator_could_not_look_up_is_unknown_too() -> None:
    data = b"".join(sample(n, outcome=Outcome.dns if n % 2 else Outcome.ok) for n in range(50))

    seen = look(data, load=LOAD, generator=PROBER, now=ON + 5 * SECOND, window=5.0)

    assert (seen.low, seen.high, seen.failed, seen.unknown) == (0.5, 1.0, 0, 25)
    assert seen.errors == (("dns", 25),)


def test_a_failure_is_slower_than_everything() -> None:
    data = b"".join(sample(n, outcome=Outcome.reset if n % 10 == 0 else Outcome.ok) for n in range(50))

    seen = look(data, load=LOAD, generator=PROBER, now=ON + 5 * SECOND, window=5.0)

    assert seen.quantile(0.5) == 0.01
    assert seen.quantile(0.95) == math.inf
    assert seen.errors == (("reset", 5),)


def test_without_requests_there_is_no_figure() -> None:
    seen = look(b"", load=LOAD, generator=PROBER, now=ON, window=5.0)

    assert (seen.low, seen.high, seen.quantile(0.5)) == (None, None, None)


def test_a_probe_of_the_load_reads_bounds() -> None:
    data = b"".join(sample(n) for n in range(0, 50, 2))
    seen = look(data, load=LOAD, generator=PROBER, now=ON + 5 * SECOND, window=5.0)

    assert bounds(seen, provider=LoadProvider(sli="availability")) == (0.5, 1.0)
    assert bounds(seen, provider=LoadProvider(sli="latency", quantile=0.9)) == (math.inf, 0.01)
    assert bounds(look(b"", load=LOAD, generator=PROBER, now=ON, window=5.0), provider=LoadProvider(sli="availability")) is None


def test_half_a_record_at_the_end_is_left_for_later() -> None:
    data = sample(0) + sample(1)[:20]

    assert look(data, load=LOAD, generator=PROBER, now=ON + SECOND, window=1.0).ok == 1
