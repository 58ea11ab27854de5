"""
Load as data: what is sent where, how fast, for how long; and the one sample that every generator must produce.

Open model: request ``n`` is *due* at its intended instant whether or not earlier ones came back (docs/protocols/measuring.md).
"""

from __future__ import annotations

import enum
import struct
from typing import Literal

from chaosfw.model.struct import Noun


class Load(Noun, frozen=True, kw_only=True):
    """``rate`` requests a second at ``endpoint`` (a name that the environment resolves). ``timeout`` seconds ends a request."""

    endpoint: str
    path: str = "/"
    rate: float = 50.0
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    timeout: float = 5.0
    connection: Literal["new", "keep-alive"] = "new"
    expected_status: tuple[int, ...] = ()
    """Statuses that count as ok; empty: every status below 400."""
    marker: str = "x-chaosfw-pod"
    """Response header that names the instance which answered; the proof that victims served traffic."""
    driver: str = "prober"


class Endpoint(Noun, frozen=True, kw_only=True):
    """Where a service is reached from here."""

    name: str
    url: str
    service: str = ""
    """``namespace/name`` of the Service that leads to the load's instances; empty where nobody said which it is."""


class Outcome(enum.IntEnum):
    """How one request ended."""

    ok = 0
    http_4xx = 1
    http_5xx = 2
    refused = 3
    reset = 4
    connect_timeout = 5
    read_timeout = 6
    dns = 7
    """The generator could not look the name up: its own trouble, so unknown."""
    tls = 8
    assertion = 9
    aborted = 10
    """Cut by us (load stopped): neither good nor bad, but unknown."""
    dropped = 11
    """Due, and not sent: the generator was not able to. Unknown."""


SAMPLE = struct.Struct("<qqqHHBBHI")
"""
One record of ``samples.bin``, 36 bytes: n, sent, end (ns of CLOCK_MONOTONIC; 0 for dropped), HTTP status (0: none), marker
(index into the markers of the seal, 65535: none), outcome, flags (1: connection reused), reserved, bytes received.
"""

NO_MARKER = 65535


class Generator(Noun, frozen=True, kw_only=True):
    """What generated a load: for the record."""

    name: str
    version: str
    model: Literal["open", "closed"] = "open"
    on: int
    """Intended instant of request 0, ns CLOCK_MONOTONIC; request n is due at on + n / rate."""
    pid: int = 0


class Health(Noun, frozen=True, kw_only=True):
    """Generator health over one 100 ms slot. Unhealthy slots taint the samples that were due in them."""

    at: int
    """Start of the slot, ns CLOCK_MONOTONIC."""
    lateness_max: float
    """Largest delay between due and sent, in seconds."""
    dropped: int = 0
    cpu: float = 0.0
    """Share of one core used by the generator, 0 to 1."""
    unresolved: int = 0
    """Requests for which there was no address, because the look-up of the endpoint's name had failed."""


class Seal(Noun, frozen=True, kw_only=True):
    """Written last: what must be in ``samples.bin`` for it to be whole."""

    count: int
    sha256: str
    off: int
    """Instant after which nothing was due any more, ns CLOCK_MONOTONIC."""
    due: int
    """How many requests were due until then."""
    markers: tuple[str, ...] = ()
    lateness: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """p50, p99, max over all requests, in seconds."""
    unhealthy: tuple[Health, ...] = ()
    suspended: bool = False
    lookups: int = 0
    """How often the generator looked the endpoint's name up; an address literal is never looked up."""
    lookups_failed: int = 0
    exhausted: int = 0
    """Requests dropped because this machine had no descriptor, port or buffer for them."""
