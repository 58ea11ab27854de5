"""
chaosfw: chaos engineering as pytest.

``import chaosfw as cf`` gives everything that an experiment is written with. Names are loaded when they are first used, the
only lazy import of the house, so that an installed chaosfw costs a stranger's pytest run next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for type checkers and editors: the same names, without the price
    from chaosfw.assembly.chaos import Chaos, Outcome
    from chaosfw.authoring.experiments import Experiment, experiment, limits
    from chaosfw.authoring.loads import SLO, Load, Request, basic, bearer, burn, header, k6, locust, ramp, tls
    from chaosfw.authoring.probes import Hypothesis, availability, endpoint, http, latency, probe, process, tcp
    from chaosfw.authoring.tolerances import above, at_least, at_most, below, between, exactly, matches, one_of
    from chaosfw.definitions.slo_files import slo_from
    from chaosfw.errors import ChaosfwError, Refused, UsageError
    from chaosfw.faults.toolkit import toolkit

__version__ = "0.1.0"

_HOME = {
    "Chaos": "chaosfw.assembly.chaos",
    "ChaosfwError": "chaosfw.errors",
    "Experiment": "chaosfw.authoring.experiments",
    "Hypothesis": "chaosfw.authoring.probes",
    "Load": "chaosfw.authoring.loads",
    "Outcome": "chaosfw.assembly.chaos",
    "Refused": "chaosfw.errors",
    "Request": "chaosfw.authoring.loads",
    "SLO": "chaosfw.authoring.loads",
    "UsageError": "chaosfw.errors",
    "above": "chaosfw.authoring.tolerances",
    "at_least": "chaosfw.authoring.tolerances",
    "at_most": "chaosfw.authoring.tolerances",
    "availability": "chaosfw.authoring.probes",
    "basic": "chaosfw.authoring.loads",
    "bearer": "chaosfw.authoring.loads",
    "below": "chaosfw.authoring.tolerances",
    "between": "chaosfw.authoring.tolerances",
    "burn": "chaosfw.authoring.loads",
    "endpoint": "chaosfw.authoring.probes",
    "exactly": "chaosfw.authoring.tolerances",
    "experiment": "chaosfw.authoring.experiments",
    "header": "chaosfw.authoring.loads",
    "http": "chaosfw.authoring.probes",
    "k6": "chaosfw.authoring.loads",
    "latency": "chaosfw.authoring.probes",
    "limits": "chaosfw.authoring.experiments",
    "locust": "chaosfw.authoring.loads",
    "matches": "chaosfw.authoring.tolerances",
    "one_of": "chaosfw.authoring.tolerances",
    "probe": "chaosfw.authoring.probes",
    "process": "chaosfw.authoring.probes",
    "ramp": "chaosfw.authoring.loads",
    "slo_from": "chaosfw.definitions.slo_files",
    "tcp": "chaosfw.authoring.probes",
    "tls": "chaosfw.authoring.loads",
    "toolkit": "chaosfw.faults.toolkit",
}

__all__ = [
    "SLO",
    "Chaos",
    "ChaosfwError",
    "Experiment",
    "Hypothesis",
    "Load",
    "Outcome",
    "Refused",
    "Request",
    "UsageError",
    "above",
    "at_least",
    "at_most",
    "availability",
    "basic",
    "bearer",
    "below",
    "between",
    "burn",
    "endpoint",
    "exactly",
    "experiment",
    "header",
    "http",
    "k6",
    "latency",
    "limits",
    "locust",
    "matches",
    "one_of",
    "probe",
    "process",
    "ramp",
    "slo_from",
    "tcp",
    "tls",
    "toolkit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"chaosfw has no {name!r}; it has: {', '.join(sorted(_HOME))}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
