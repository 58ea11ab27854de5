"""
Load as data: what is sent where, how fast, for how long; and the one sample that every generator must produce.

Open model: request ``n`` is *due* at its intended instant whether or not earlier ones came back (docs/protocols/measuring.md). A script
of the user's may be closed: its users wait for answers, so that a slow system is asked less. What may be concluded from either is
``analysis``'s business.
"""

from __future__ import annotations

import enum
import struct
from typing import Literal

from chaosfw.model.struct import Noun

GOES = 5.0
PODS_GO = 75.0
"""Seconds that a generator may take to end when its requests are through: here, and in the pods of a cluster."""


class Script(Noun, frozen=True, kw_only=True):
    """A file of the user's that says what is sent: a locustfile, or a k6 script. Zero and empty: the file says, or the tool's default."""

    file: str
    """Path; a relative one counts from pytest's rootdir."""
    users: int = 0
    """Users of Locust, VUs of k6, at once."""
    spawn_rate: float = 0.0
    """Locust: users started a second."""
    tags: tuple[str, ...] = ()
    """Locust: only tasks with one of these tags."""
    exclude_tags: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    """Locust: only these User classes."""
    listen: str = ""
    """Locust: ``host:port`` where workers that others start may join; empty: workers are started here."""
    pods: int = 0
    """k6: so many pods of a TestRun of k6-operator share the load; 0: it runs where pytest runs."""
    namespace: str = ""
    """k6: where that TestRun is made."""
    image: str = ""
    """k6: of those pods; empty: the operator's own."""
    node_selector: dict[str, str] = {}
    """k6: labels of the nodes that those pods may run on; empty: any node."""
    env: dict[str, str] = {}
    """Variables for the file, beside ``TARGET``, which is where the endpoint is reached."""
    sha256: str = ""
    """Of the file as it was when the run was planned. What it imports is not in it."""


class Runner(Noun, frozen=True, kw_only=True):
    """One pod of a load that runs in a cluster. ``code``: how its tool ended; None: it runs, or has not begun."""

    name: str
    node: str = ""
    running: bool = False
    code: int | None = None


class Stage(Noun, frozen=True, kw_only=True):
    """The rate goes in a straight line to ``rate`` requests a second within ``seconds``; 0: at once."""

    rate: float
    seconds: float = 0.0


class Request(Noun, frozen=True, kw_only=True):
    """One kind of request. ``weight``: so many of them come for each of weight 1, evenly spread."""

    path: str = "/"
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    expected_status: tuple[int, ...] = ()
    """Statuses that count as ok; empty: every status below 400."""
    weight: int = 1

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


class Auth(Noun, frozen=True, kw_only=True):
    """
    How the load says who it is. The secret is in the environment variable ``variable`` of whoever runs it, and is read when the load is
    started: no file of ours ever holds it.
    """

    kind: Literal["bearer", "basic", "header"]
    variable: str
    user: str = ""
    header: str = "Authorization"


class Tls(Noun, frozen=True, kw_only=True):
    """What an ``https`` endpoint is asked to prove, and what we show. Paths; a relative one counts from pytest's rootdir."""

    ca: str = ""
    """Certificates that are trusted; empty: those of the system."""
    certificate: str = ""
    """Our own, for servers that ask for one, with its key in ``key`` or in the same file."""
    key: str = ""
    server_name: str = ""
    """What the server's certificate has to be for, where that is not the URL's host."""
    verify: bool = True


class Load(Noun, frozen=True, kw_only=True):
    """
    ``rate`` requests a second at ``endpoint`` (a name that the environment resolves). ``timeout`` seconds ends a request. With a
    ``script`` it is arrivals a second, and 0 where the file alone says how much is sent.
    """

    endpoint: str
    path: str = "/"
    rate: float = 50.0
    method: str = "GET"
    headers: dict[str, str] = {}
    body: str = ""
    timeout: float = 5.0
    connection: Literal["new", "keep-alive"] = "new"
    protocol: Literal["http/1.1", "http/2"] = "http/1.1"
    expected_status: tuple[int, ...] = ()
    """Statuses that count as ok; empty: every status below 400."""
    marker: str = "x-chaosfw-pod"
    """Response header that names the instance which answered; the proof that victims served traffic."""
    driver: Literal["prober", "locust", "k6"] = "prober"
    script: Script | None = None
    stages: tuple[Stage, ...] = ()
    """After ``rate``, one after the other from the load's beginning; the last one's rate stays."""
    requests: tuple[Request, ...] = ()
    """Several kinds, by weight, instead of the one that ``path``, ``method``, ``body`` and ``expected_status`` describe."""
    auth: Auth | None = None
    tls: Tls | None = None
    expect: str = ""
    """``tcp``: what the answer has to contain."""
    processes: int = 0
    """Of the generator, or workers of Locust; 0: as many as the rate needs."""

    missing: Literal["refuse", "skip"] = "refuse"
    """What becomes of the experiment where the tool is not installed. Skipped, it has not run."""

    @property
    def kinds(self) -> tuple[Request, ...]:
        """What is sent, at least one."""
        alone = Request(path=self.path, method=self.method, body=self.body, expected_status=self.expected_status)
        return self.requests or (alone,)

    @property
    def open(self) -> bool:
        """Whether requests are due on a schedule that we set. A k6 script may have one of its own; its generator says so."""
        return self.rate > 0

    @property
    def ends_within(self) -> float:
        """Seconds from the word to stop until the generator has ended: its requests drain for one time-out, and pods are removed then."""
        return self.timeout + (PODS_GO if self.script is not None and self.script.pods else GOES)


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
(index into the markers of the seal, 65535: none), outcome, flags (1: connection reused, or nobody knows), reserved, bytes received.

``n`` is the request's number where the generator's schedule is ``planned``, and where it is ``listed`` the instant itself at which the
request was due (ns of CLOCK_MONOTONIC).
"""

NO_MARKER = 65535

NUMBER = "X-Chaosfw-Request"
"""Request header with the request's number, so that it can be found in the logs of whatever it passed."""


class Generator(Noun, frozen=True, kw_only=True):
    """What generated a load: for the record."""

    name: str
    version: str
    model: Literal["open", "closed"] = "open"
    schedule: Literal["planned", "listed"] = "planned"
    """Whether what was due follows from the plan alone, or is listed by the generator: in a closed loop, when it was sent."""
    on: int
    """Intended instant of request 0, ns CLOCK_MONOTONIC; request n is due at on + n / rate. Listed: what was due before is warm-up."""
    pid: int = 0
    blind: tuple[str, ...] = ()
    """What this generator can not see or would hide, in words, for the report."""


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
    ended: str = ""
    """Why the generator stopped without being told to; empty when it was told."""
    lost: int = 0
    """Signs that requests waited longer than the load's time-out, so that some may never have been told of: nothing is proven then."""
    said: tuple[str, ...] = ()
    """What the tool itself says of the run (thresholds, checks, its own summary): shown, never judged by."""
