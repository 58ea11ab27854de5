"""
Random calls are answered as by the API server that Kubernetes ships, but for what :file:`deviations.txt` lists with its reason.

A fixed part of what ``python -m tests.sandbox.apiserver.differential`` asks; that prints how far apart differences are. Once against the
answers that are kept, for which nothing else is needed, and once against the real one, which has to answer still what was kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.apiserver.differential import SEQUENCES, Asked, Player, Recorder, Server, alone, both, differences, example

FILE = Path(__file__).with_name("deviations.txt")


def deviations() -> dict[str, str]:
    rows = [line.partition("|") for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    return {signature.strip(): reason.strip() for signature, _, reason in rows}


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Server, Server]]:
    with both() as pair:
        yield pair


def test_random_calls_have_the_answers_that_were_kept() -> None:
    with alone() as ours:
        hold_equal(ours, Player())


def test_random_calls_have_equal_answers_and_the_real_one_answers_as_it_did(servers: tuple[Server, Server]) -> None:
    ours, theirs = servers
    recorder, kept = Recorder(theirs), Player()

    hold_equal(ours, recorder)

    pairs = [pair for seed, tape in recorder.tapes.items() for pair in zip(tape, kept.tapes[seed], strict=False)]
    moved = [next(differences(one, other)) for one, other in pairs if one != other]
    assert not moved, "what is kept is not what it says now: python -m tests.sandbox.apiserver.differential record"


def hold_equal(ours: Asked, theirs: Asked) -> None:
    known, calls, new = deviations(), 0, []
    for seed in range(SEQUENCES):
        steps, found = example(seed, ours=ours, theirs=theirs)
        calls += steps
        if found is not None and found.signature not in known:
            told = [f"{path}: ours {one!r}, theirs {other!r}" for path, one, other in found.found]
            new.append("\n".join([f"{found.signature}   (sequence {seed})", *map(str, found.before[-3:]), str(found.call), *told]))
    assert not new, "\n\n".join(new)
    assert calls > SEQUENCES * 15


def test_every_deviation_has_its_reason_and_there_are_no_more_than_there_were() -> None:
    known = deviations()
    assert all(len(reason) > 10 for reason in known.values())
    assert len(known) <= 10


def test_a_difference_is_found(servers: tuple[Server, Server]) -> None:
    """The comparison itself: an answer of ours that is changed on the way differs."""
    ours, theirs = servers

    class Liar(Server):
        def ask(self, call):  # type: ignore[no-untyped-def]  # as its base
            answer = ours.ask(call)
            return {**answer, "code": 418} if call.name == "get" else answer

    liar = Liar.__new__(Liar)
    found = [example(seed, ours=liar, theirs=theirs)[1] for seed in range(9000, 9004)]
    assert any(one is not None and one.found[0][0] == ".code" for one in found)
