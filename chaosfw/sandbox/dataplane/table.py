"""
What the data plane is told: routes and faults as data, with their JSON form.

Written by the control process (:mod:`chaosfw.sandbox.routes`), read by :mod:`.proxy`. The whole table is sent each time; the data plane
finds what changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from chaosfw.sandbox.addresses import HostPort


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Who is at one end of a link, as far as a fault may select it. Empty means unknown or not applicable."""

    node: str = ""
    zone: str = ""
    namespace: str = ""
    service: str = ""
    pod: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    at: HostPort
    uid: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One listener: a service port as one source sees it. Without backends there is no listener, and clients are refused."""

    at: HostPort
    source: Place
    backends: tuple[Backend, ...]


FaultKind = Literal["delay", "reset", "refuse", "stall", "silence"]
FAULT_KINDS: tuple[FaultKind, ...] = ("delay", "reset", "refuse", "stall", "silence")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFault:
    """
    Something wrong between two places. A selector names fields of :class:`Place`; an empty one selects all.

    ``delay`` adds ``seconds`` to each chunk both ways. ``reset`` cuts open connections and new ones with RST. ``refuse`` leaves open ones
    alone and lets no new one through. ``stall`` stops the bytes of open and new connections until the fault is gone. ``silence`` is a lost
    power supply: a stall, and where every backend of a front is silent, its SYNs are dropped too, so that a connect times out. Where some
    backends still answer, a connection drawn to a silent one is accepted and then hears nothing: a proxy draws only after the handshake.
    """

    kind: FaultKind
    source: Mapping[str, str] = field(default_factory=dict)
    destination: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def hits(self, source: Place, destination: Place) -> bool:
        return _selects(self.source, source) and _selects(self.destination, destination)


def _selects(selector: Mapping[str, str], place: Place) -> bool:
    return all(getattr(place, name) == value for name, value in selector.items())


def route_to_json(route: Route) -> dict[str, Any]:
    return asdict(route)


def route_from_json(data: Mapping[str, Any]) -> Route:
    return Route(
        at=HostPort(*data["at"]),
        source=Place(**data["source"]),
        backends=tuple(Backend(at=HostPort(*b["at"]), uid=b["uid"], place=Place(**b["place"])) for b in data["backends"]),
    )


def fault_to_json(fault: LinkFault) -> dict[str, Any]:
    return {"kind": fault.kind, "source": dict(fault.source), "destination": dict(fault.destination), "seconds": fault.seconds}


def fault_from_json(data: Mapping[str, Any]) -> LinkFault:
    unknown = {*data.get("source", ()), *data.get("destination", ())} - set(Place.__dataclass_fields__)
    if unknown:
        raise ValueError(f"a link is selected by {', '.join(Place.__dataclass_fields__)}, not by {', '.join(sorted(unknown))}")
    if data["kind"] not in FAULT_KINDS:
        raise ValueError(f"unknown link fault {data['kind']!r}; available: {', '.join(FAULT_KINDS)}")
    return LinkFault(
        kind=data["kind"],
        source=dict(data.get("source", {})),
        destination=dict(data.get("destination", {})),
        seconds=float(data.get("seconds", 0.0)),
    )
