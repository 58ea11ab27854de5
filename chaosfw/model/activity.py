"""
Activities: what reads the system (probes) and what changes it (actions), each a call through a provider.

The same data whether it was written in Python, read from a Chaos Toolkit file or is going to be exported to one. Provider
modules are strings: nothing here imports a driver.
"""

from __future__ import annotations

from typing import Literal

from chaosfw.model.struct import Json, Noun
from chaosfw.model.tolerance import Tolerance


class PythonProvider(Noun, frozen=True, kw_only=True):
    """``module.func(**arguments)``, called by chaoslib in the executor. ``{"$endpoint": name, "path": p}`` in arguments becomes a URL."""

    module: str
    func: str
    arguments: dict[str, Json] = {}
    secrets: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """Only for display: what the arguments select, in words."""

    @property
    def name(self) -> str:
        return f"{self.module}.{self.func}"


class HttpProvider(Noun, frozen=True, kw_only=True):
    """One HTTP request by chaoslib. ``timeout`` in seconds. ``url`` may be ``{"$endpoint": name, "path": p}``."""

    url: Json
    method: str = "GET"
    headers: dict[str, str] = {}
    arguments: Json = None
    timeout: float = 1.0
    verify_tls: bool = True

    @property
    def name(self) -> str:
        return f"{self.method} {self.url}"


class ProcessProvider(Noun, frozen=True, kw_only=True):
    """One program run by chaoslib; its exit code, stdout and stderr are the value. ``timeout`` in seconds."""

    path: str
    arguments: Json = None
    timeout: float = 30.0

    @property
    def name(self) -> str:
        return self.path


class LoadProvider(Noun, frozen=True, kw_only=True):
    """Reads the run's own load instead of the system: an SLI over the last ``window`` seconds of samples."""

    sli: Literal["availability", "latency"]
    quantile: float = 0.0
    """For latency: the share of requests, 0.95 for p95."""
    window: float = 5.0
    endpoint: str = ""

    @property
    def name(self) -> str:
        return f"load.{self.sli}"


Provider = PythonProvider | HttpProvider | ProcessProvider | LoadProvider


class Probe(Noun, frozen=True, kw_only=True):
    """
    Reads the system. ``timeout`` in seconds: no answer by then is *no evidence*, which is not the same as a bad value.

    ``background`` and the pauses are for probes of a method: one in the background keeps its pauses to itself, and the method does not
    end before it has answered and paused.
    """

    name: str
    provider: Provider
    tolerance: Tolerance | None = None
    background: bool = False
    pause_before: float = 0.0
    pause_after: float = 0.0
    timeout: float = 1.0
    secrets: dict[str, Json] = {}
    configuration: dict[str, Json] = {}


class Victims(Noun, frozen=True, kw_only=True):
    """
    What an action hits, as its author says where no FaultKind finds out: pods of a ``workload``, or by ``selector`` and ``namespace``;
    or instances by their ``names``, as the load's marker gives them.
    """

    workload: dict[str, Json] = {}
    selector: str = ""
    namespace: str = ""
    count: int | None = None
    """So many of the pods, whichever; None: all of them."""
    names: tuple[str, ...] = ()


class Action(Noun, frozen=True, kw_only=True):
    """
    Changes the system. Every action that breaks something needs a way back: a FaultKind that knows it (found by provider),
    ``rollbacks``, or ``self_heals``. ``proof`` must be True while the fault is in, where no FaultKind can prove it.
    """

    name: str
    provider: Provider
    rollbacks: tuple[Action, ...] = ()
    self_heals: bool = False
    background: bool = False
    pause_before: float = 0.0
    pause_after: float = 0.0
    timeout: float = 60.0
    proof: Probe | None = None
    select: dict[str, Json] = {}
    """What a FaultKind binds to names at preflight: ``{"workload": …, "count": 1}`` and the like. Empty for plain calls."""
    victims: Victims | None = None
    """For plain calls: what they hit, for guards and exposure. None: nobody says, and nothing can show that the load reached it."""
    secrets: dict[str, Json] = {}
    configuration: dict[str, Json] = {}


Step = Action | Probe


class Hypothesis(Noun, frozen=True, kw_only=True):
    """Named probes with tolerances that describe normal."""

    title: str
    probes: tuple[Probe, ...]
