"""A method's pauses and background mean what stock ``chaos run`` makes of them: the same file, both ways."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import chaoslib.activity
import pytest
from chaoslib.experiment import run_experiment

from chaosfw.drivers.toolkit.calls import call
from chaosfw.engine.loop import Loop, Tools
from chaosfw.engine.machine import Machine
from chaosfw.model.environment import Environment
from chaosfw.model.event import AnyEvent, Phase, PhaseBegan, ProbeSeen
from chaosfw.model.experiment import Experiment
from chaosfw.model.fault import Bound, Proof
from chaosfw.model.plan import Plan
from chaosfw.model.struct import to_json
from chaosfw.ports import Answer, KindCall, ProviderCall
from chaosfw.safety.ledger import LedgerFile
from chaosfw.testing.simulation import World, simulate
from chaosfw.timing import SYSTEM
from tests.definitions.conftest import Read, whole

Activity = dict[str, Any]


def program(name: str, script: str = "exit 0", **changes: Any) -> Activity:
    provider = {"type": "process", "path": "sh", "arguments": ["-c", script], "timeout": 20}
    return {"type": "probe", "name": name, "provider": provider, **changes}


def file(*method: Activity, **changes: Any) -> dict[str, Any]:
    """A file that begins with an action, because we inject into nothing that nothing would break."""
    return whole(method=[program("break", type="action"), *method], steady_state_hypothesis=None, **changes)


def plan(experiment: Experiment) -> Plan:
    bound = tuple(Bound(action=action, fault="made.up/1", self_heals=True) for action in experiment.actions)
    return Plan(experiment=experiment, environment=Environment(name="e", kind="sandbox"), seed=1, bound=bound, intent="i", digest="d")


class Clock:
    """Time for chaoslib that passes only when it pauses."""

    now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


Starts = list[tuple[str, float]]
"""Names of probes and when they start, in seconds after the action that every file begins with."""


def stock_starts(content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Starts:
    clock, started = Clock(), []
    real = chaoslib.activity.run_activity

    def run_activity(activity: Any, configuration: Any, secrets: Any) -> Any:
        started.append((activity["name"], clock.now))
        return real(activity, configuration, secrets)

    monkeypatch.setattr(chaoslib.activity, "time", SimpleNamespace(sleep=clock.sleep))
    monkeypatch.setattr(chaoslib.activity, "run_activity", run_activity)
    run_experiment(copy.deepcopy(content))
    return [(name, at) for name, at in started if name != "break"]


def our_starts(experiment: Experiment) -> Starts:
    out = simulate(plan(experiment), World(call_takes=0.0, proof_takes=0.0, probe_takes=0.0))
    inject = next(event.at for event in out.events if isinstance(event, PhaseBegan) and event.phase is Phase.inject)
    return [(event.probe.partition(" #")[0], (event.due - inject) / 1e9) for event in out.events if isinstance(event, ProbeSeen)]


METHODS: dict[str, tuple[Activity, ...]] = {
    "none": (program("a"), program("b")),
    "before": (program("a", pauses={"before": 3}), program("b")),
    "after": (program("a", pauses={"after": 2.5}), program("b")),
    "both": (program("a", pauses={"before": 1, "after": 2}), program("b", pauses={"before": 4})),
    "zero": (program("a", pauses={"before": 0, "after": None}), program("b")),
    "configured": (program("a", pauses={"before": "${wait}", "after": "${typed}"}), program("b")),
    "referred to": (program("a", pauses={"before": 1, "after": 1}), {"ref": "a"}, program("b")),
    "of an action": (program("act", type="action", pauses={"before": 2, "after": 3}), program("b")),
}


@pytest.mark.parametrize("name", METHODS)
def test_each_probe_starts_when_stock_chaos_toolkit_starts_it(read: Read, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    typed = {"type": "env", "key": "NOBODY_SETS_THIS", "default": "3", "env_var_type": "int"}
    content = file(*METHODS[name], configuration={"wait": 1.5, "typed": typed})

    stock, ours = stock_starts(content, monkeypatch), our_starts(read(content))

    stock = [(one, at) for one, at in stock if one != "act"]
    assert ours == [(one, pytest.approx(at, abs=0.01)) for one, at in stock]
    assert ours[-1][0] == "b"


# -- in the background: real programs that can only go on when both of two run --------------------------------------------


def meeting(*, background: bool, pauses: dict[str, float] | None = None) -> dict[str, Any]:
    """The first probe waits for the second: only a method that goes on comes to its end."""
    behind = program("behind", "cat ready", background=background, **({"pauses": pauses} if pauses else {}))
    behind["provider"]["timeout"] = 20 if background else 1
    return file(behind, program("before", "echo seen > ready"))


def stock_journal(content: dict[str, Any], folder: Path) -> dict[str, str]:
    """Standard output of each probe, by its name, as stock ``chaos run`` journals it; the status where there is none."""
    os.mkfifo(folder / "ready")
    (folder / "it.json").write_text(json.dumps(content))
    chaos = str(Path(sys.executable).with_name("chaos"))
    subprocess.run([chaos, "--no-version-check", "run", "it.json"], cwd=folder, capture_output=True, timeout=60, check=False)
    journal = json.loads((folder / "journal.json").read_text())
    return {run["activity"]["name"]: (run["output"] or {}).get("stdout", run["status"]).strip() for run in journal["run"]}


class Threads:
    """ports.Executor: each call in a thread of its own, through chaoslib."""

    def submit(self, request: ProviderCall | KindCall, then: Callable[[Answer], None]) -> int:
        threading.Thread(target=self._answer, args=(request, then), daemon=True).start()
        return 1

    def _answer(self, request: ProviderCall | KindCall, then: Callable[[Answer], None]) -> None:
        began, value, error = SYSTEM.monotonic_ns(), None, ""
        if isinstance(request, KindCall):
            value = to_json(Proof(holds=True, what="made up"))
        else:
            try:
                value = call(request)
            except Exception as trouble:
                error = str(trouble)
        then(Answer(ticket=1, began=began, ended=SYSTEM.monotonic_ns(), value=value, error=error))

    def kind(self, kind: str, verb: str, data: Any, *, timeout: float) -> Any:
        raise AssertionError("there is nothing to put back")

    def provider(self, request: ProviderCall, *, timeout: float) -> Any:
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


def our_journal(experiment: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[AnyEvent]:
    os.mkfifo(folder / "ready")
    monkeypatch.chdir(folder)
    executor, lines = Threads(), Lines()
    tools = Tools(
        clock=SYSTEM,
        journal=lines,
        ledger=LedgerFile(folder / "ledger"),
        lock=lines,
        writer=executor,
        reader=executor,
        healer=lambda: executor,
        exposure=lambda since: ({}, ""),
    )
    Loop(Machine(plan(experiment)), tools).run()
    return lines.events


@pytest.mark.parametrize("pauses", [None, {"before": 0.05}, {"before": 0.05, "after": 0.05}])
def test_a_probe_in_the_background_is_started_and_the_method_goes_on(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: dict[str, float] | None
) -> None:
    """Both record its answer, and both wait for it before what comes after the method."""
    content = meeting(background=True, pauses=pauses)
    for folder in ("stock", "ours"):
        (tmp_path / folder).mkdir()

    stock = stock_journal(content, tmp_path / "stock")
    events = our_journal(read(content), tmp_path / "ours", monkeypatch)

    seen = {event.probe: event for event in events if isinstance(event, ProbeSeen)}
    assert stock["behind"] == "seen"
    assert seen["behind"].value["stdout"].strip() == "seen"
    assert all(event.alone for event in seen.values())
    hold = next(index for index, event in enumerate(events) if isinstance(event, PhaseBegan) and event.phase is Phase.hold)
    assert max(events.index(event) for event in seen.values()) < hold


def test_without_a_background_both_wait_in_vain(read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the probe that waits is given up at its time-out, and then nobody reads the pipe."""
    content = meeting(background=False)
    content["method"][2]["provider"]["timeout"] = 1
    for folder in ("stock", "ours"):
        (tmp_path / folder).mkdir()

    stock = stock_journal(content, tmp_path / "stock")
    events = our_journal(read(content), tmp_path / "ours", monkeypatch)

    assert stock["behind"] == "failed"
    (behind,) = [event for event in events if isinstance(event, ProbeSeen) and event.probe == "behind"]
    assert (behind.ok, behind.value) == (None, None)
