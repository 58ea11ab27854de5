"""What goes over the pipe between the runner and an executor: one JSON line each way. Used by both sides, nobody else."""

from __future__ import annotations

from chaosfw.model.struct import Json, Noun
from chaosfw.ports import Answer, KindCall, ProviderCall


class Request(Noun, frozen=True, kw_only=True):
    """One call. ``ticket`` comes back in the Answer."""

    ticket: int
    call: ProviderCall | KindCall


class Ready(Noun, frozen=True, kw_only=True):
    """First line of the child: it has imported what it was told to."""

    pid: int
    warm: tuple[str, ...] = ()
    cold: dict[str, str] = {}
    """Modules that could not be imported, and why."""


Reply = Answer | Ready
Value = Json
