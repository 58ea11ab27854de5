"""
Halt conditions as an environment's settings name them, each made a probe that says when it is safe to go on: a PromQL expression
that must be empty, a URL that must answer 200, a file that must not be there.

Used by ``chaos`` when an experiment is prepared. They are asked in the executor, as every probe is.
"""

from __future__ import annotations

from chaosfw.model.activity import HttpProvider, Probe, PythonProvider
from chaosfw.model.tolerance import Exactly
from chaosfw.settings import EnvironmentSettings

ACTIVITIES = "chaosfw.activities.net"
TIMEOUT = 2.0
"""Seconds that one look may take."""


def conditions(chosen: EnvironmentSettings) -> tuple[Probe, ...]:
    """One probe a line of ``halt``, named by the line."""
    return tuple(_condition(text, chosen.prometheus) for text in chosen.halt)


def _condition(text: str, prometheus: str) -> Probe:
    if text.startswith(("http://", "https://")):
        return Probe(name=text, provider=HttpProvider(url=text, timeout=TIMEOUT), tolerance=Exactly(value=200), timeout=TIMEOUT)
    if text.startswith("file:"):
        provider = PythonProvider(module=ACTIVITIES, func="file_is_absent", arguments={"path": text.removeprefix("file:")})
    else:
        arguments = {"server": prometheus, "expression": text, "timeout": TIMEOUT}
        provider = PythonProvider(module=ACTIVITIES, func="promql_is_empty", arguments=arguments)
    return Probe(name=text, provider=provider, tolerance=Exactly(value=True), timeout=TIMEOUT)
