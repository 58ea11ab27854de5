"""
Which pod carried which connection, and when: the evidence that a pod was really in use.

Filled by :mod:`.link`, read through the control socket. Bounded: the oldest closed connections are forgotten, the open ones never.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Final

from chaosfw.sandbox.dataplane.table import Backend

_KEPT: Final = 200_000


@dataclass(slots=True)
class Carried:
    """One connection. ``closed_ns`` is 0 while it is open."""

    backend: Backend
    opened_ns: int
    closed_ns: int = 0


class Exposure:
    def __init__(self) -> None:
        self._open: dict[int, Carried] = {}
        self._closed: deque[Carried] = deque(maxlen=_KEPT)
        self._total: Counter[str] = Counter()

    def opened(self, backend: Backend, *, at_ns: int) -> Carried:
        carried = Carried(backend, at_ns)
        self._open[id(carried)] = carried
        self._total[backend.uid] += 1
        return carried

    def closed(self, carried: Carried, *, at_ns: int) -> None:
        if self._open.pop(id(carried), None) is not None:
            carried.closed_ns = at_ns
            self._closed.append(carried)

    def count(self, kind: str) -> None:
        """Connections that no pod carried: ``refused``, ``reset``, ``unreachable``."""
        self._total[kind] += 1

    def totals(self) -> dict[str, int]:
        return dict(self._total)

    def since(self, ns: int) -> list[dict[str, Any]]:
        """Per pod: connections that were open at some moment since ``ns``, and how many of them were new."""
        rows: dict[str, dict[str, Any]] = {}
        for carried in self._alive_since(ns):
            row = rows.setdefault(carried.backend.uid, _row(carried.backend))
            row["connections"] += 1
            row["new"] += carried.opened_ns >= ns
            row["open"] += carried.closed_ns == 0
            row["first_ns"] = min(row["first_ns"] or carried.opened_ns, carried.opened_ns)
            row["last_ns"] = max(row["last_ns"], carried.opened_ns)
        return list(rows.values())

    def _alive_since(self, ns: int) -> list[Carried]:
        recent = list(self._open.values())
        for carried in reversed(self._closed):
            if carried.closed_ns < ns:
                break
            recent.append(carried)
        return recent


def _row(backend: Backend) -> dict[str, Any]:
    place = backend.place
    named = {
        "name": place.pod,
        "namespace": place.namespace,
        "uid": backend.uid,
        "node": place.node,
        "zone": place.zone,
        "service": place.service,
    }
    return named | {"connections": 0, "new": 0, "open": 0, "first_ns": 0, "last_ns": 0}
