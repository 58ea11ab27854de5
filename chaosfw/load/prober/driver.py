"""
Starts the prober in a process of its own. Implements ``ports.LoadDriver``; called by the engine.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from urllib.parse import urlsplit

from chaosfw.load.child import ChildRun, start
from chaosfw.load.orders import Orders
from chaosfw.load.prober.secure import context
from chaosfw.model.arrivals import highest
from chaosfw.model.load import Endpoint, Load, Tls
from chaosfw.model.struct import but

MOST_EACH = {"http/1.1": 2000.0, "http/2": 800.0}
"""
Requests a second that one process sends without being late, by protocol: of HTTP/1.1 with room to spare (``benchmarks/prober.py``); of
HTTP/2 between 500 and 1,000, of which half were less than 1.5 ms late at Node's server with other work beside.
"""

SCHEMES = ("http", "https", "tcp")


class ProberDriver:
    """The built-in generator. ``root``: what the paths of certificates count from."""

    name = "prober"

    def __init__(self, root: Path = Path()) -> None:
        self._root = root.resolve()

    def check(self, load: Load, *, at: Endpoint, seconds: float, claims: bool) -> tuple[tuple[str, str], ...]:
        found = []
        scheme = urlsplit(at.url).scheme
        if scheme not in SCHEMES:
            found.append(
                (f"endpoint {at.name!r} is {at.url}: the prober knows {', '.join(SCHEMES)}", "or a script: cf.locust(…), cf.k6(…)")
            )
        if scheme == "tcp" and (load.requests or load.auth or load.path != "/" or load.expected_status):
            found.append((f"endpoint {at.name!r} is bare TCP: it has no paths, statuses or headers", "body= is sent, expect= awaited"))
        if scheme == "tcp" and load.protocol != "http/1.1":
            found.append(
                (f"endpoint {at.name!r} is bare TCP: protocol={load.protocol!r} is not for it", "an endpoint http://… or https://…")
            )
        if scheme != "tcp" and load.expect:
            found.append((f"expect={load.expect!r} is about bare TCP, endpoint {at.name!r} is {at.url}", "status= says what counts as ok"))
        if load.auth is not None and not os.environ.get(load.auth.variable, "").strip():
            found.append((f"the load's secret is not there: {load.auth.variable} is not set", f"export {load.auth.variable}=…"))
        if load.tls is not None:
            try:
                context(self._placed(load.tls))
            except OSError as trouble:
                found.append((f"the load's tls= is no use: {_named(self._placed(load.tls))}: {trouble}", "PEM files were expected"))
        return tuple(found)

    def start(self, load: Load, *, at: Endpoint, out: Path, seconds: float = 0.0) -> ChildRun:
        if load.tls is not None:
            load = but(load, tls=self._placed(load.tls))
        secret = {load.auth.variable: os.environ.get(load.auth.variable, "")} if load.auth is not None else {}
        return start(self.name, Orders(load=load, url=at.url, out=str(out.resolve())), env=secret)

    def _placed(self, tls: Tls) -> Tls:
        """With paths that hold wherever the child runs."""
        paths = {name: getattr(tls, name) for name in ("ca", "certificate", "key")}
        return but(tls, **{name: str(self._root / path) for name, path in paths.items() if path})


def processes(load: Load) -> int:
    """How many send: as written, or as many as the highest rate needs, but no more than there are cores."""
    return load.processes or min(len(os.sched_getaffinity(0)), max(1, math.ceil(highest(load) / MOST_EACH[load.protocol])))


def _named(tls: Tls) -> str:
    return ", ".join(path for path in (tls.ca, tls.certificate, tls.key) if path) or "no files"
