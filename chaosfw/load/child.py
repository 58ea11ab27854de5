"""
A generator that runs in a process and a session of its own, whichever tool it is: how it is started, read, stopped and killed.

Used by the load drivers. The child inherits nothing but three pipes and an environment that it is given; it ends when the pipe to it is
closed, which the kernel does when the runner dies. It says in one line that it is ready, and leaves ``samples.bin`` and ``seal.json``.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from chaosfw.errors import DriverError
from chaosfw.load.orders import Orders, Ready
from chaosfw.model.load import SAMPLE, Generator, Seal
from chaosfw.model.struct import encode
from chaosfw.timing import SYSTEM, nanoseconds, seconds

START_WITHIN = 10.0
"""Seconds until a child must be ready, unless its driver knows that it needs longer."""

TAIL = 2000
"""Characters of the child's output that an error shows."""

_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "RES_OPTIONS", "LOCALDOMAIN")


class ChildRun:
    """A generator that is running. ``pgid`` is its process group, which holds it and what it started."""

    def __init__(self, child: subprocess.Popen[bytes], *, generator: Generator, out: Path, gone: Callable[[], None] = lambda: None) -> None:
        """``gone`` is called when it has ended, however it ended: removes what it can leave elsewhere."""
        self._child, self._out, self._gone = child, out, gone
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
        self._gone()


def start(
    name: str,
    orders: Orders,
    *,
    within: float = START_WITHIN,
    env: Mapping[str, str] | None = None,
    cwd: str = "/",
    bytecode: bool = False,
    gone: Callable[[], None] = lambda: None,
) -> ChildRun:
    """
    Starts ``python -m chaosfw.processes.<name>`` with ``orders`` and awaits its word. ``env``: beside the short list that every generator
    gets. Raises DriverError with the tail of its output when it does not come up ``within`` seconds.
    """
    out = Path(orders.out)
    told, log = out / f"{name}.json", out / f"{name}.log"
    told.write_bytes(encode(orders))
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", f"chaosfw.processes.{name}", str(told.resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            cwd=cwd,
            env=_environment(bytecode=bytecode) | dict(env or {}),
        )
    run = ChildRun(child, generator=Generator(name=name, version="", on=0), out=out, gone=gone)
    ready = _ready(child, within=within)
    if ready is None:
        run.kill()
        tail = log.read_text(errors="replace")[-TAIL:].strip()
        raise DriverError(f"the load generator {name!r} did not start: {tail or 'it said nothing'}", hint=f"see {log}")
    run.generator = ready.generator
    return run


def _ready(child: subprocess.Popen[bytes], *, within: float) -> Ready | None:
    """The child's first line; None when it dies or takes too long."""
    assert child.stdout is not None
    line, deadline = b"", SYSTEM.monotonic_ns() + nanoseconds(within)
    while not line.endswith(b"\n"):
        left = seconds(deadline - SYSTEM.monotonic_ns())
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            return None
        piece = os.read(child.stdout.fileno(), 4096)
        if not piece:
            return None
        line += piece
    return msgspec.json.decode(line, type=Ready)


def _environment(*, bytecode: bool) -> dict[str, str]:
    """What a child needs, and nothing that could send its traffic elsewhere."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    return kept if bytecode else kept | {"PYTHONDONTWRITEBYTECODE": "1"}
