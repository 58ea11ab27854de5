"""
Positive and negative controls of one experiment (``--chaos-controls``), before anything is touched: its load and its probes for a while
with nothing broken, and then at a server of ours that refuses everything.

Called by :mod:`chaosfw.assembly.chaos`. The system itself is only read. What the controls say is judged by ``analysis.conditions``: load
that fails by itself, or an instrument that finds a broken system well, proves nothing, whatever it says later.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from chaosfw.analysis.outages import in_onset
from chaosfw.analysis.samples import BAD, GOOD, grades, series
from chaosfw.assembly.pulse import SampleWindow
from chaosfw.engine.loop import asked, is_within
from chaosfw.errors import ChaosfwError
from chaosfw.model.activity import HttpProvider, LoadProvider, Probe, ProcessProvider, PythonProvider
from chaosfw.model.controls import Control, ProbeControl
from chaosfw.model.experiment import Experiment
from chaosfw.model.load import Endpoint
from chaosfw.model.struct import Json, but
from chaosfw.ports import Caller, LoadDriver, LoadRun
from chaosfw.timing import Clock, nanoseconds, seconds

LOUD = 2.0
"""Seconds that the broken server is asked."""
FEWEST = 30
"""Requests that a control needs, at the load's own rate."""
LONGEST = 30.0

REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\nConnection: close\r\n\r\nbroken\n"


class Controls:
    """Of one experiment, with what it is going to be measured by."""

    def __init__(
        self, experiment: Experiment, *, driver: LoadDriver | None, endpoint: Endpoint | None, out: Path, caller: Caller, clock: Clock
    ) -> None:
        self._experiment, self._driver, self._endpoint = experiment, driver, endpoint
        self._out, self._caller, self._clock = out, caller, clock
        steady = experiment.steady_state
        self._probes = steady.probes if steady is not None else ()

    def quiet(self) -> Control:
        return self._made("quiet", self._endpoint, self._probes, lasts=self._long(self._experiment.lasts))

    def loud(self) -> Control:
        with _refusing() as broken, _closed() as nothing:
            endpoint = self._endpoint and but(self._endpoint, url=_at(self._endpoint.url, broken, nothing))
            probes = [_redirected(probe, broken=broken, nothing=nothing, at=self._endpoint) for probe in self._probes]
            return self._made("loud", endpoint, probes, lasts=self._long(LOUD))

    def _long(self, wanted: float) -> float:
        rate = self._experiment.load.rate if self._experiment.load is not None else 0.0
        return min(LONGEST, max(wanted, LOUD, FEWEST / rate if rate else 0.0))

    def _made(self, kind: Literal["quiet", "loud"], endpoint: Endpoint | None, probes: Sequence[Probe], *, lasts: float) -> Control:
        out = self._out / f"control-{kind}"
        out.mkdir()
        run: LoadRun | None = None
        try:
            if self._driver is not None and self._experiment.load is not None and endpoint is not None:
                run = self._driver.start(self._experiment.load, at=endpoint, out=out, seconds=lasts)
            found = self._asked(probes, run, lasts=lasts)
            counted = self._counted(run) if run is not None else (0, 0, 0, 0)
        except ChaosfwError as trouble:
            return Control(kind=kind, seconds=lasts, trouble=trouble.message)
        finally:
            if run is not None:
                run.kill()
        pairs = zip(found, probes, self._probes, strict=True)
        told = tuple(but(one, redirected=kind == "quiet" or _is_elsewhere(probe, own)) for one, probe, own in pairs)
        intended, good, bad, onsets = counted
        return Control(kind=kind, seconds=lasts, intended=intended, good=good, bad=bad, onsets=onsets, probes=told)

    def _asked(self, probes: Sequence[Probe], run: LoadRun | None, *, lasts: float) -> list[ProbeControl]:
        """Every probe in turn, again and again until the time is up; each at least once."""
        load = self._experiment.load
        window = SampleWindow(run, load) if run is not None and load is not None else None
        counts = [{True: 0, False: 0, None: 0} for _ in probes]
        until = max(self._clock.monotonic_ns(), run.generator.on if run is not None else 0) + nanoseconds(lasts)
        while self._clock.monotonic_ns() < until or not any(sum(one.values()) for one in counts):
            began = self._clock.monotonic_ns()
            for probe, count in zip(probes, counts, strict=True):
                count[self._ask(probe, window)] += 1
            rest = min(nanoseconds(self._experiment.probe_every) - (self._clock.monotonic_ns() - began), until - self._clock.monotonic_ns())
            if rest > 0:
                self._clock.sleep(seconds(rest))
            if not probes:
                break
        self._clock.sleep(max(0.0, seconds(until - self._clock.monotonic_ns())))
        return [
            ProbeControl(name=probe.name, true=count[True], false=count[False], none=count[None])
            for probe, count in zip(probes, counts, strict=True)
        ]

    def _ask(self, probe: Probe, window: SampleWindow | None) -> bool | None:
        if isinstance(probe.provider, LoadProvider):
            found = window.sli(probe.provider, now=self._clock.monotonic_ns()) if window is not None else None
            if found is None:
                return None
            worst, best = (is_within(probe, value) for value in found)
            return worst if worst == best else None
        try:
            return is_within(probe, self._caller.provider(asked(probe), timeout=probe.timeout))
        except ChaosfwError:
            return None

    def _counted(self, run: LoadRun) -> tuple[int, int, int, int]:
        """Intended, good, bad, and bad ones of an outage."""
        load = self._experiment.load
        assert load is not None
        run.stop()
        seal = run.wait(load.ends_within)
        if seal is None:
            raise ChaosfwError("its load left no seal")
        data, _ = run.samples(0)
        column = series(data, load=load, generator=run.generator, off=seal.off, seal=seal)
        grade = grades(column, limit=None)
        good, bad = (int(np.count_nonzero(grade == which)) for which in (GOOD, BAD))
        return len(grade), good, bad, len(in_onset(grade == BAD))


def _redirected(probe: Probe, *, broken: str, nothing: str, at: Endpoint | None) -> Probe:
    """At the broken server instead, where the probe says whom it asks."""
    provider = probe.provider
    if isinstance(provider, HttpProvider):
        return but(probe, provider=but(provider, url=_at(str(provider.url), broken, nothing)))
    if isinstance(provider, PythonProvider | ProcessProvider) and at is not None:
        host = nothing if getattr(provider, "func", "") == "tcp_accepts" else broken
        return but(probe, provider=but(provider, arguments=_replaced(provider.arguments, at.url, host)))
    return probe


def _is_elsewhere(probe: Probe, own: Probe) -> bool:
    """Whether it asks the broken server: it was pointed there, or it reads the load, which is there."""
    return probe != own or isinstance(probe.provider, LoadProvider)


def _replaced(value: Json, url: str, host: str) -> Json:
    """Wherever the endpoint's URL stands."""
    own = urlsplit(url)
    if isinstance(value, dict):
        return {key: _replaced(one, url, host) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(one, url, host) for one in value]
    if isinstance(value, str) and own.netloc:
        return value.replace(own.netloc, host)
    return value


def _at(url: str, broken: str, nothing: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=nothing if parts.scheme == "tcp" else broken))


@contextmanager
def _closed() -> Iterator[str]:
    """An address that is taken and refuses: nobody else can come to listen there meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@contextmanager
def _refusing() -> Iterator[str]:
    """A server that answers 503 to everybody who says something."""

    def answer(peer: socket.socket) -> None:
        with peer:
            try:
                peer.settimeout(5.0)
                if peer.recv(65536):
                    peer.sendall(REFUSAL)
                    peer.shutdown(socket.SHUT_WR)
                    peer.recv(65536)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=serve, name="controls", daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()
