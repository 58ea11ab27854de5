"""The loop performs what the machine decides; here the order of the ledger and the call, which a later healer stands on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosfw.engine.loop import Loop, Tools
from chaosfw.engine.machine import Machine
from chaosfw.errors import LedgerDamaged
from chaosfw.model.event import AnyEvent, Halted
from chaosfw.model.fault import Proof, Reverted, UndoRecord, UndoState
from chaosfw.model.load import Endpoint, Generator, Load
from chaosfw.model.struct import Json, to_json
from chaosfw.ports import Answer, KindCall, ProviderCall, Reached
from chaosfw.safety.ledger import LedgerFile
from chaosfw.testing.simulation import plan_of
from chaosfw.timing import SYSTEM


class Instant:
    """ports.Executor and ports.Caller that answer at once and look at the ledger when a call arrives."""

    def __init__(self, ledger: LedgerFile) -> None:
        self.ledger = ledger
        self.states_at_call: list[UndoState] = []

    def submit(self, call: ProviderCall | KindCall, then: Callable[[Answer], None]) -> int:
        value: Json = True
        if isinstance(call, KindCall):
            value = to_json(Proof(holds=True, what="made up"))
        elif not call.probe:
            self.states_at_call += [record.state for record in self.ledger.open()]
        now = SYSTEM.monotonic_ns()
        then(Answer(ticket=1, began=now, ended=now, value=value))
        return 1

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        return to_json(Proof(holds=True, what="healed") if verb == "healed" else Reverted(ending="restored", what="done"))

    def provider(self, call: ProviderCall, *, timeout: float) -> Json:
        raise AssertionError("not asked")

    def kill(self) -> tuple[int, ...]:
        return ()

    def close(self) -> None:
        return


class Lines:
    """ports.Journal and ports.Lock in memory."""

    epoch = 1

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def write(self, event: AnyEvent, *, sync: bool = False) -> None:
        self.events.append(event)

    def seal(self, at: int) -> None:
        return

    def regain(self) -> bool:
        return self.still_mine()

    def still_mine(self) -> bool:
        return True

    def release(self) -> None:
        return


class SlowLoad:
    """ports.LoadDriver and its run: starts only when the test says so, and remembers that it was killed."""

    name = "slow"
    generator = Generator(name="slow", version="1", on=0)

    def __init__(self) -> None:
        self.starting = threading.Event()
        self.may_start = threading.Event()
        self.killed = False

    def start(self, load: Load, *, at: Endpoint, out: Path, seconds: float = 0.0) -> SlowLoad:
        self.starting.set()
        assert self.may_start.wait(10)
        return self

    def kill(self) -> tuple[int, ...]:
        self.killed = True
        return ()


def test_a_load_that_comes_up_after_the_stop_is_ended_with_the_run(tmp_path: Path) -> None:
    """Stopped while the generator starts: nothing of it is left to the next experiment."""
    ledger, slow = LedgerFile(tmp_path), SlowLoad()
    executor, lines = Instant(ledger), Lines()
    tools = Tools(
        clock=SYSTEM,
        journal=lines,
        ledger=ledger,
        lock=lines,
        writer=executor,
        reader=executor,
        healer=lambda: executor,
        exposure=lambda since: Reached(),
        load=slow,  # type: ignore[arg-type]  # only what a run that never gets going needs
        endpoint=Endpoint(name="web", url="http://made-up"),
        window=lambda run: None,  # type: ignore[arg-type,return-value]
    )
    loop = Loop(Machine(plan_of()), tools)
    runner = threading.Thread(target=loop.run)
    runner.start()
    assert slow.starting.wait(10)

    loop.stop("stopped early")
    slow.may_start.set()
    runner.join(10)

    assert not runner.is_alive()
    assert slow.killed


def run(ledger: LedgerFile) -> tuple[Instant, Lines]:
    executor, lines = Instant(ledger), Lines()
    plan = plan_of(load=False, baseline=0.0, lasts=0.1, recover_within=0.1)
    tools = Tools(
        clock=SYSTEM,
        journal=lines,
        ledger=ledger,
        lock=lines,
        writer=executor,
        reader=executor,
        healer=lambda: executor,
        exposure=lambda since: Reached(),
    )
    Loop(Machine(plan), tools).run()
    return executor, lines


def test_the_call_is_made_only_when_the_ledger_says_armed(tmp_path: Path) -> None:
    """A runner that dies between call and proof leaves a record that says: expect that it happened."""
    ledger = LedgerFile(tmp_path)

    executor, _ = run(ledger)

    assert executor.states_at_call == [UndoState.armed]
    assert ledger.open() == ()


def test_a_ledger_that_can_not_say_armed_means_no_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = LedgerFile(tmp_path)
    advance = LedgerFile.advance

    def full(self: LedgerFile, record: UndoRecord) -> None:
        if record.state is UndoState.armed:
            raise LedgerDamaged("no space left")
        advance(self, record)

    monkeypatch.setattr(LedgerFile, "advance", full)
    executor, lines = run(ledger)

    assert executor.states_at_call == []
    assert "the ledger can not be written" in next(event.reason for event in lines.events if isinstance(event, Halted))
    assert ledger.open() == ()
