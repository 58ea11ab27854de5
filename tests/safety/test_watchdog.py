"""What the watchdog does after a death, with a scripted environment: how long it tries, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaosfw.errors import DriverError
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import Proof, Reverted, Undo
from chaosfw.model.struct import Json, to_json
from chaosfw.ports import ProviderCall
from chaosfw.safety.ledger import LedgerFile
from chaosfw.safety.watchdog import Note, Orders, after_death, notes
from chaosfw.testing.clock import FakeClock


class Away:
    """ports.Caller of an environment that answers from an instant on."""

    def __init__(self, clock: FakeClock, *, until: float, why: str = "EnvironmentTrouble: no route to host") -> None:
        self._clock = clock
        self._until = clock.monotonic_ns() + int(until * 1e9)
        self._why = why

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        if self._clock.monotonic_ns() < self._until:
            raise DriverError(self._why)
        answers: dict[str, Json] = {"snapshot": {}, "healed": to_json(Proof(holds=True, what="seen"))}
        return answers.get(verb, to_json(Reverted(ending="restored", what="done")))

    def provider(self, call: ProviderCall, *, timeout: float) -> Json:
        raise AssertionError("healing calls kinds only")


def died(tmp_path: Path, caller: Away, clock: FakeClock, *, is_gone: Callable[[], bool] = lambda: False) -> Note:
    ledger = LedgerFile(tmp_path)
    ledger.prepare([Undo(id="a", run="run-1", fault="x/1", environment="e", subject=Target(kind="node", name="n"))], epoch=1)
    ledger.snapshot("run-1", {})
    orders = Orders(runner=1, runner_started="", state=str(tmp_path), environment=Environment(name="e", kind="kubernetes"), runs="run")
    return after_death(
        orders=orders,
        ledger=ledger,
        caller=caller,
        clock=clock,
        kill_marked=lambda token: (),
        why="the runner ended",
        since=clock.monotonic_ns(),
        is_gone=is_gone,
    )


def test_an_environment_that_is_away_for_an_hour_is_healed_when_it_comes_back(tmp_path: Path) -> None:
    clock = FakeClock()

    note = died(tmp_path, Away(clock, until=3600.0), clock)

    assert (note.left_open, note.residue, note.runs) == (0, (), ("run-1",))
    assert note.took > 3600.0
    assert [(record.state, record.ending) for record in note.records] == [("closed", "restored")]
    assert LedgerFile(tmp_path).open() == ()


def test_an_environment_that_is_gone_for_good_is_not_waited_for(tmp_path: Path) -> None:
    clock = FakeClock()

    note = died(tmp_path, Away(clock, until=3600.0), clock, is_gone=lambda: True)

    assert (note.left_open, note.residue) == (1, None)


def test_what_no_waiting_can_mend_is_left_open_at_once(tmp_path: Path) -> None:
    clock = FakeClock()

    note = died(tmp_path, Away(clock, until=3600.0, why="UsageError: no such kind"), clock)

    assert note.left_open == 1
    assert note.took < 60.0


def test_the_note_waits_for_the_next_run(tmp_path: Path) -> None:
    clock = FakeClock()
    note = died(tmp_path, Away(clock, until=0.0), clock)

    ((path, found),) = notes(tmp_path)

    assert (path.name, found) == ("healed-1.json", note)
    assert str(found).endswith("(the runner ended): the watchdog put 1 of 1 objects back in 0 s")
