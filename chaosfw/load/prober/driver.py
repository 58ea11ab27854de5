"""
Starts the prober in a process and a session of its own, and reads what it writes. Implements ``ports.LoadDriver``.

Called by the engine. The child inherits nothing but three pipes and a short environment; it ends when the pipe to it is
closed, which the kernel does when the runner dies.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from chaosfw.errors import DriverError
from chaosfw.load.prober.orders import Orders, Ready
from chaosfw.model.load import SAMPLE, Endpoint, Generator, Load, Seal
from chaosfw.model.struct import encode
from chaosfw.timing import SYSTEM, nanoseconds, seconds

START_WITHIN = 10.0
"""Seconds until the child must be ready."""

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "RES_OPTIONS", "LOCALDOMAIN")


class ProberRun:
    """A prober that is running. ``pgid`` is its process group, which holds nothing else."""

    def __init__(self, child: subprocess.Popen[bytes], *, generator: Generator, out: Path) -> None:
        self._child, self._out = child, out
        self.generator = generator
        self.pgid = child.pid

    def samples(self, since: int) -> tuple[bytes, int]:
        with (self._out / "samples.bin").open("rb") as file:
            file.seek(since)
            data = file.read()
        whole = len(data) - len(data) % SAMPLE.size
        return data[:whole], since + whole

    def alive(self) -> bool:
        return self._child.poll() is None

    def stop(self) -> None:
        """Closing its input is the word; safe twice, and when it is dead already."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.close()
        except BrokenPipeError:
            pass

    def wait(self, timeout: float) -> Seal | None:
        try:
            self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close()
        path = self._out / "seal.json"
        return msgspec.json.decode(path.read_bytes(), type=Seal) if path.exists() else None

    def kill(self) -> tuple[int, ...]:
        """Kills the group and awaits its exit; the ids that were killed."""
        if self._child.poll() is not None:
            self._close()
            return ()
        os.killpg(self.pgid, signal.SIGKILL)
        self._child.wait()
        self._close()
        return (self.pgid,)

    def _close(self) -> None:
        self.stop()
        if self._child.stdout is not None:
            self._child.stdout.close()


class ProberDriver:
    """The built-in generator."""

    name = "prober"

    def start(self, load: Load, *, at: Endpoint, out: Path) -> ProberRun:
        orders = out / "prober.json"
        orders.write_bytes(encode(Orders(load=load, url=at.url, out=str(out.resolve()))))
        with (out / "prober.log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "chaosfw.processes.prober", str(orders.resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
        ready = _ready(child)
        if ready is None:
            child.kill()
            child.communicate()
            tail = (out / "prober.log").read_text(errors="replace")[-2000:].strip()
            raise DriverError(f"the load generator 'prober' did not start: {tail or 'it said nothing'}", hint=f"see {out / 'prober.log'}")
        generator = Generator(name=self.name, version="1", model="open", on=ready.on, pid=ready.pid)
        return ProberRun(child, generator=generator, out=out)


LOAD_DRIVERS = {ProberDriver.name: ProberDriver()}
"""Every load driver of this room, by name."""


def _ready(child: subprocess.Popen[bytes]) -> Ready | None:
    """The child's first line; None when it dies or takes too long."""
    assert child.stdout is not None
    line, deadline = b"", SYSTEM.monotonic_ns() + nanoseconds(START_WITHIN)
    while not line.endswith(b"\n"):
        left = seconds(deadline - SYSTEM.monotonic_ns())
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            return None
        piece = os.read(child.stdout.fileno(), 4096)
        if not piece:
            return None
        line += piece
    return msgspec.json.decode(line, type=Ready)


def _environment() -> dict[str, str]:
    """What the child needs, and nothing that could send its traffic elsewhere."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": str(Path(__file__).resolve().parents[3]), "PYTHONDONTWRITEBYTECODE": "1"}
