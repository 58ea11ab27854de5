"""
The order to start a process, as the kubelet writes it and the runtime reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """``id`` names the process in every later message. A process of its own session; its output goes to the file ``log``, a line each."""

    id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    log: str
    bind: str
    """Where binds to 0.0.0.0 go in Python programs: the pod's back address."""
    streams: tuple[str, str, str] | None = None
    """Paths that become stdin, stdout and stderr, and no log: FIFOs whose other ends are open, or three times the same terminal."""


def order_to_json(order: Order) -> dict[str, Any]:
    return asdict(order)


def order_from_json(data: Mapping[str, Any]) -> Order:
    fields = {name: data[name] for name in ("id", "env", "cwd", "log", "bind")}
    return Order(argv=tuple(data["argv"]), streams=tuple(data["streams"]) if data.get("streams") else None, **fields)
