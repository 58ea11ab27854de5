"""The stand-in server, in a process of its own, for every generator's tests."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from chaosfw.load.child import ChildRun
from chaosfw.model.load import SAMPLE, Seal

STAND_IN = Path(__file__).with_name("stand_in.py")
GRACE = 30.0
"""Seconds after which a test gives up; never what is measured."""

K6 = {version: Path(f"~/.cache/chaosfw/bin/k6-{version}").expanduser() for version in ("1.8.1", "2.0.0", "1.8.1-chaosfw", "2.0.0-chaosfw")}
"""Built by ``scripts/k6``: as they are, and with our output in them."""


class Row(NamedTuple):
    n: int
    sent: int
    end: int
    status: int
    marker: int
    outcome: int
    flags: int
    reserved: int
    received: int


class Server(NamedTuple):
    url: str
    log: Path

    def lines(self) -> list[tuple[str, str]]:
        return [tuple(line.split(" ")) for line in self.log.read_text().splitlines()]  # type: ignore[misc]


@pytest.fixture(scope="module")
def _stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("stand-in") / "log"
    log.touch()
    with subprocess.Popen([sys.executable, str(STAND_IN), str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        yield Server(url=f"http://127.0.0.1:{int(child.stdout.readline())}", log=log)
        assert child.stdin is not None
        child.stdin.close()


@pytest.fixture
def server(_stand_in: Server) -> Server:
    _stand_in.log.write_text("")
    return _stand_in


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def closed_pair() -> int:
    """A port that nobody has, and the one after it; below those that the kernel gives to whoever connects."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports in a hundred tries")


def rows(run: ChildRun) -> list[Row]:
    return [Row(*row) for row in SAMPLE.iter_unpack(run.samples(0)[0])]


def wait_for(run: ChildRun, count: int) -> None:
    """Until so many samples are on disk: a generator writes them at its own pace."""
    while len(run.samples(0)[0]) < count * SAMPLE.size:
        assert run.alive()


def ended(run: ChildRun) -> Seal:
    """Told to stop, drained and sealed."""
    run.stop()
    seal = run.wait(GRACE)
    assert seal is not None
    return seal
