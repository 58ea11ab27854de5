"""Faults of whole zones."""

from __future__ import annotations

from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.struct import Json
from chaosfw.quantities import duration

__all__ = ["BACKENDS", "fail"]

BACKENDS = ("drain", "power", "network")
"""
How a zone can be failed. ``drain`` announces the loss of capacity to every pod. ``power`` and ``network`` announce nothing: machines are
off, or run on and are heard of no more; both in a sandbox only.
"""
_STATES = {"power": "off", "network": "cut"}


def fail(zone: str, *, backend: str = "drain", delete_emptydir_data: bool = False, timeout: str | float = 60.0, name: str = "") -> Action:
    """
    Takes every node of a zone (``topology.kubernetes.io/zone``) out: with ``drain`` all cordoned first, then drained side by side; with
    ``power`` or ``network`` all machines at once, and nobody is told.

    One undo record a node. Raises UsageError for an unknown ``backend``, and for ``delete_emptydir_data`` with another one than ``drain``.
    """
    if not zone:
        raise UsageError("zone.fail needs the name of a zone", hint="take the fixture chaos_zone for one test a declared zone")
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {backend!r} for zone.fail", hint="available: " + ", ".join(BACKENDS))
    limit = duration(timeout, what="zone.fail: timeout")
    if backend in _STATES:
        if delete_emptydir_data:
            raise UsageError(f"zone.fail: delete_emptydir_data is of the backend drain, not of {backend}")
        stop = PythonProvider(module="chaosfw.activities.kubernetes", func="stop_machines", arguments={"state": _STATES[backend]})
        return Action(name=name or f"{backend} of {zone} lost", provider=stop, select={"zone": zone, "share": 1.0}, timeout=limit)
    arguments: dict[str, Json] = {"zone": zone, "timeout": limit}
    if delete_emptydir_data:
        arguments["delete_emptydir_data"] = True
    provider = PythonProvider(module="chaosfw.activities.kubernetes", func="drain_zone", arguments=arguments)
    return Action(name=name or f"lose {zone}", provider=provider, select={"zone": zone}, timeout=limit + 5.0)
