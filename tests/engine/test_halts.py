"""Halt conditions: asked on a clock of their own, tripped once, and a condition that can not be seen is no permission to go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chaosfw.engine.halts import BLIND, Halts
from chaosfw.model.activity import Probe, PythonProvider
from chaosfw.model.tolerance import Exactly
from chaosfw.timing import nanoseconds

Answer = Callable[[bool | None, str], None]
SAFE = Probe(name="safe", provider=PythonProvider(module="made.up", func="safe"), tolerance=Exactly(value=True))


class Asked:
    """Who was asked and has not answered yet, and what tripped."""

    def __init__(self) -> None:
        self.open: list[Answer] = []
        self.tripped: list[str] = []
        self.halts = Halts(probes=(SAFE,), ask=lambda probe, answer: self.open.append(answer), trip=self.tripped.append)

    def look(self, seconds: float) -> None:
        self.halts.look(nanoseconds(seconds))


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_a_condition_within_its_tolerance_is_asked_again_and_again(asked: Asked) -> None:
    for number in range(4):
        asked.look(number * 1.0)
        asked.open.pop()(True, "")

    assert not asked.tripped
    assert not asked.open


def test_a_condition_out_of_tolerance_trips_once_with_its_words(asked: Asked) -> None:
    asked.look(1.0)
    asked.open.pop()(False, "it is 3")
    asked.look(2.0)

    assert asked.tripped == ["halt condition 'safe': it is 3"]
    assert not asked.open


def test_one_look_without_evidence_is_none_and_several_in_a_row_trip(asked: Asked) -> None:
    for number in range(BLIND - 1):
        asked.look(number * 1.0)
        asked.open.pop()(None, "refused")
    asked.look(10.0)
    asked.open.pop()(True, "")
    assert not asked.tripped

    for number in range(BLIND):
        asked.look(20.0 + number)
        asked.open.pop()(None, "refused")

    assert asked.tripped == ["halt condition 'safe' can not be seen: refused"]


def test_a_condition_that_hangs_is_not_asked_twice_and_trips(asked: Asked) -> None:
    for number in range(20):
        asked.look(number * 0.5)

    assert len(asked.open) == 1
    assert asked.tripped == ["halt condition 'safe' can not be seen: no answer within 1 s"]


def test_looks_are_half_a_second_apart(asked: Asked) -> None:
    asked.look(1.0)
    asked.open.pop()(True, "")
    asked.look(1.2)

    assert not asked.open


def test_two_conditions_of_one_name_are_both_asked() -> None:
    """One of the experiment and one of the environment may be named alike."""
    asked: list[Answer] = []

    Halts(probes=(SAFE, SAFE), ask=lambda probe, answer: asked.append(answer), trip=lambda why: None).look(nanoseconds(1.0))

    assert len(asked) == 2
