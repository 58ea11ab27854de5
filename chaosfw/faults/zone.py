"""Faults of whole zones."""

from __future__ import annotations

from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.struct import Json
from chaosfw.quantities import duration

__all__ = ["BACKENDS", "fail"]

BACKENDS = ("drain",)
"""How a zone can be failed. ``drain`` announces the loss of capacity to every pod; power loss would not."""


def fail(zone: str, *, backend: str = "drain", delete_emptydir_data: bool = False, timeout: str | float = 60.0, name: str = "") -> Action:
    """
    Takes every node of a zone (``topology.kubernetes.io/zone``) out: all cordoned first, then drained side by side.

    One undo record a node. Raises UsageError for an unknown ``backend``.
    """
    if not zone:
        raise UsageError("zone.fail needs the name of a zone", hint="take the fixture chaos_zone for one test a declared zone")
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r} for zone.fail", hint="available: " + ", ".join(BACKENDS))
    limit = duration(timeout, what="zone.fail: timeout")
    arguments: dict[str, Json] = {"zone": zone, "timeout": limit}
    if delete_emptydir_data:
        arguments["delete_emptydir_data"] = True
    provider = PythonProvider(module="chaosfw.activities.kubernetes", func="drain_zone", arguments=arguments)
    return Action(name=name or f"lose {zone}", provider=provider, select={"zone": zone}, timeout=limit + 5.0)
