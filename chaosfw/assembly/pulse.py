"""The last seconds of a load that runs: ports.LoadWindow over the samples on disk. Used for probes of the load and for progress lines."""

from __future__ import annotations

from chaosfw.load.window import bounds, look
from chaosfw.model.activity import LoadProvider
from chaosfw.model.arrivals import highest
from chaosfw.model.load import SAMPLE, Load
from chaosfw.ports import LoadRun, Pulse

PATIENCE = 0.1
"""Seconds that the youngest requests are given to end before they count as unknown."""
KEPT = 12.0
"""Seconds of samples that are kept in memory."""
UNPLANNED = 2000
"""Requests a second that are kept of a load whose rate nobody planned."""
SHOWN = 2.0
"""Seconds that a progress line looks back."""


class SampleWindow:
    """Reads what is new since the last look, and forgets what is too old to matter."""

    def __init__(self, run: LoadRun, load: Load) -> None:
        self._run = run
        self._load = load
        self._cursor = 0
        self._data = b""

    def sli(self, provider: LoadProvider, *, now: int) -> tuple[float, float] | None:
        seen = look(self._read(), load=self._load, generator=self._run.generator, now=now, window=provider.window, patience=PATIENCE)
        return bounds(seen, provider=provider)

    def pulse(self, *, now: int) -> Pulse:
        seen = look(self._read(), load=self._load, generator=self._run.generator, now=now, window=SHOWN, patience=PATIENCE)
        return Pulse(rate=seen.rate, bad=seen.failed, p95=seen.quantile(0.95))

    def _read(self) -> bytes:
        fresh, self._cursor = self._run.samples(self._cursor)
        keep = int(max(highest(self._load), UNPLANNED) * KEPT) * SAMPLE.size
        self._data = (self._data + fresh)[-keep:]
        return self._data
