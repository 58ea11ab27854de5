"""
The runner's side of the watchdog: starts it, waits for READY, gives signs of life, and notices when it dies.

Own session, standard streams on files or nothing: a closed terminal does not take it along.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from chaosfw.errors import EnvironmentTrouble
from chaosfw.model.struct import encode
from chaosfw.safety.watchdog import BEAT, BYE, Orders

READY = b"READY\n"
STARTING = 30.0


class Companion:
    """A watchdog that runs. It outlives this process on purpose."""

    def __init__(self, process: subprocess.Popen[bytes], *, beats: int, life: int, log: Path) -> None:
        self._process = process
        self._beats = beats
        self._life = life
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        """Raises EnvironmentTrouble when it does not come up: no fault without somebody to heal after us."""
        ready, _, _ = select.select([self._life], [], [], STARTING)
        if not ready or os.read(self._life, len(READY)) != READY:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
            raise EnvironmentTrouble("the watchdog did not start: nothing would heal after us", hint=tail)

    def beat(self) -> None:
        """A sign of life; a watchdog that is gone is noticed by ``is_alive``."""
        try:
            os.write(self._beats, BEAT)
        except (BrokenPipeError, BlockingIOError):
            pass

    def is_alive(self) -> bool:
        """False once its end of the pipe is closed: then the runner halts and heals itself."""
        ready, _, _ = select.select([self._life], [], [], 0)
        return not ready

    def dismiss(self, *, wait: float = 10.0) -> bool:
        """
        End of the session: waits ``wait`` seconds for it to be gone, and says whether it is. With records open it stays, and heals when
        this process ends: whoever knows of one need not wait.
        """
        try:
            os.write(self._beats, BYE)
        except BrokenPipeError:
            pass  # it is gone already
        for descriptor in (self._beats, self._life):
            os.close(descriptor)
        try:
            self._process.wait(timeout=wait)
        except subprocess.TimeoutExpired:
            return False  # it has work to do: that is what it is for
        return True


def start(orders: Orders, *, log: Path, env: Mapping[str, str]) -> Companion:
    """Starts it; ``wait_ready`` tells when it watches."""
    beats_read, beats_write = os.pipe()
    life_read, life_write = os.pipe()
    os.set_blocking(beats_write, False)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "chaosfw.processes.watchdog", str(beats_read), str(life_write)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[beats_read, life_write],
            start_new_session=True,
            env={**os.environ, **env},
        )
    os.close(beats_read)
    os.close(life_write)
    assert process.stdin is not None
    process.stdin.write(encode(orders))
    process.stdin.close()
    return Companion(process, beats=beats_write, life=life_read, log=log)
