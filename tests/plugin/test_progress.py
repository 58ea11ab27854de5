"""What a terminal shows of a run while somebody waits."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from chaosfw.model.environment import Environment
from chaosfw.model.event import Phase, PhaseBegan, RunOpened
from chaosfw.model.experiment import Experiment
from chaosfw.model.load import Load, Script
from chaosfw.model.plan import Plan
from chaosfw.pytest_plugin.progress import Progress


def shown(load: Load | None, *phases: Phase) -> list[str]:
    file = io.StringIO()
    reporter = SimpleNamespace(isatty=True, _tw=SimpleNamespace(_file=file))
    plugins: dict[str, Any] = {"terminalreporter": reporter}
    config: Any = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get))
    progress = Progress(config, title="t")
    place = Environment(name="e", kind="sandbox")
    plan = Plan(experiment=Experiment(title="x", load=load), environment=place, seed=1, intent="i", digest="d")
    progress.saw(RunOpened(at=0, schema=1, run="r", plan=plan, wall=0, boottime=0, boot_id="b"))
    for at, phase in enumerate(phases):
        progress.saw(PhaseBegan(at=at, phase=phase))
    return [line.rpartition("\r")[2].removeprefix("\x1b[K").strip() for line in file.getvalue().split("\n")]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (Script(file="l.js", pods=3, namespace="load"), "waiting for 3 pods of k6 in load, for at most 180 s"),
        (Script(file="l.py", listen="0.0.0.0:5557"), "waiting for 2 workers to join at 0.0.0.0:5557"),
        (Script(file="l.py"), ""),
    ],
)
def test_whom_a_load_waits_for_is_said(script: Script, words: str) -> None:
    load = Load(endpoint="shop", rate=0.0, script=script, processes=2)
    lines = shown(load, Phase.baseline)
    assert [line for line in lines if line.startswith("waiting")] == ([words] if words else [])
    assert lines[-1].startswith("baseline")


def test_a_long_drain_is_announced() -> None:
    (line,) = [one for one in shown(Load(endpoint="shop", rate=0.0, timeout=60.0), Phase.recover) if one.startswith("recover")]
    assert line.endswith("then up to 60 s for requests in flight")
    (line,) = [one for one in shown(Load(endpoint="shop", rate=1.0, timeout=1.0), Phase.recover) if one.startswith("recover")]
    assert line.endswith("normal")


def test_without_a_load_there_is_nothing_to_wait_for() -> None:
    assert not any("waiting" in line or "in flight" in line for line in shown(None, Phase.baseline, Phase.recover))
