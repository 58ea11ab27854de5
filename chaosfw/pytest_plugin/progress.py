"""
Live lines of a run: one line a phase, rewritten while it lasts, with rate, errors, p95, hypothesis and time left.

Nothing where nobody looks on (not a terminal). Told by the loop; reads nothing but the events and the load's pulse.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from chaosfw.engine.loop import Loop
from chaosfw.load.k6.pods import PODS_WITHIN
from chaosfw.model.event import AnyEvent, Halted, PhaseBegan, Proved, RoundSeen, RunOpened
from chaosfw.model.event import Phase as P
from chaosfw.model.experiment import Experiment
from chaosfw.ports import Pulse

LONG = 5.0
"""Seconds of silence after which somebody who looks on wonders."""
WORDS = {True: "normal", False: "NOT normal", None: "unknown"}


class Progress:
    """ports.Watcher for pytest's terminal."""

    def __init__(self, config: pytest.Config, *, title: str) -> None:
        self._reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._title = title
        self._shown = bool(self._reporter is not None and self._reporter.isatty)
        self._pulse: Callable[[], Pulse | None] = lambda: None
        self._phase: P | None = None
        self._since = 0
        self._lasts = 0.0
        self._normal: bool | None = True
        self._note = ""
        self._experiment: Experiment | None = None

    def follow(self, loop: Loop) -> None:
        self._pulse = loop.pulse

    def saw(self, event: AnyEvent) -> None:
        if not self._shown:
            return
        match event:
            case RunOpened(plan=plan):
                self._experiment = plan.experiment
                self._write(f"\n{plan.experiment.title}", end="\n")
                if awaited := _awaited(plan.experiment):
                    self._write(f"  {awaited}"[:150], end="\n")
            case PhaseBegan(at=at, phase=phase):
                self._end_line()
                self._phase, self._since, self._note = phase, at, ""
                self._lasts = self._expected(phase)
                self._line(at)
            case RoundSeen(at=at, ok=ok):
                self._normal = ok
                self._line(at)
            case Proved(at=at, proof=proof) if self._phase is P.inject:
                self._note = proof.what
                self._line(at)
            case Halted(at=at, reason=reason):
                self._note = f"halted: {reason}"
                self._line(at)
            case _:
                return

    def _expected(self, phase: P) -> float:
        one = self._experiment
        if one is None:
            return 0.0
        return {P.baseline: one.baseline, P.hold: one.lasts, P.recover: one.recover_within + one.stable_for}.get(phase, 0.0)

    def _line(self, at: int) -> None:
        if self._phase is None or self._phase in (P.preflight, P.judge, P.audit):
            return
        passed = (at - self._since) / 1e9
        left = f"{max(0.0, self._lasts - passed):4.0f} s left" if self._lasts else f"{passed:4.1f} s"
        pulse = self._pulse()
        load = f"  {pulse.rate:5.0f}/s  {pulse.bad:4d} bad  p95 {_milliseconds(pulse.p95)}" if pulse is not None else ""
        note = self._note or (_drains(self._experiment) if self._phase is P.recover else "")
        self._write(f"\r\x1b[K  {self._phase.value:<9}{left}{load}  {WORDS[self._normal]}  {note}"[:150], end="")

    def _end_line(self) -> None:
        if self._phase is not None and self._phase not in (P.preflight, P.judge, P.audit):
            self._write("", end="\n")

    def _write(self, text: str, *, end: str) -> None:
        with self._capture.global_and_fixture_disabled() if self._capture is not None else nullcontext():
            self._reporter._tw._file.write(text + end)
            self._reporter._tw._file.flush()


def _awaited(experiment: Experiment) -> str:
    """Whom a load waits for before it can begin, where that can take minutes."""
    load = experiment.load
    if load is None or load.script is None:
        return ""
    if load.script.pods:
        return f"waiting for {load.script.pods} pods of k6 in {load.script.namespace}, for at most {PODS_WITHIN:.0f} s"
    return f"waiting for {load.processes} workers to join at {load.script.listen}" if load.script.listen else ""


def _drains(experiment: Experiment | None) -> str:
    load = experiment.load if experiment is not None else None
    return f"then up to {load.timeout:g} s for requests in flight" if load is not None and load.timeout > LONG else ""


def _milliseconds(seconds: float | None) -> str:
    return "   —  " if seconds is None or seconds != seconds or seconds == float("inf") else f"{seconds * 1000:4.0f} ms"
