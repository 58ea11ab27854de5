"""One load sent by several processes: nothing is lost, nothing comes twice, and the death of one is told."""

from __future__ import annotations

import os
import signal
from array import array
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from chaosfw.analysis.samples import series
from chaosfw.load.book import Book
from chaosfw.load.frames import Frames
from chaosfw.load.prober.driver import ProberDriver, processes
from chaosfw.load.prober.parts import Part
from chaosfw.model.arrivals import Arrivals
from chaosfw.model.load import NO_MARKER, SAMPLE, Endpoint, Load, Outcome, Request, Stage
from tests.load.conftest import GRACE, Row, Server, ended, rows, wait_for


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("amount", [2, 3])
@pytest.mark.parametrize("connection", ["new", "keep-alive"])
def test_every_number_is_sent_once(server: Server, tmp_path: Path, amount: int, connection: str) -> None:
    load = Load(endpoint="shop", path="/ok", rate=400.0, timeout=1.0, processes=amount, connection=connection)  # type: ignore[arg-type]
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 300)
    assert len(children(run.generator.pid)) == amount
    seal = ended(run)
    found = rows(run)
    column = series(run.samples(0)[0], load=load, generator=run.generator, off=seal.off, seal=seal)

    assert sorted(row.n for row in found) == list(range(seal.due))
    assert seal.due == Arrivals(load).until(seal.off - run.generator.on)
    assert {Outcome(row.outcome) for row in found} == {Outcome.ok}
    assert column.broken == ""
    assert len(server.lines()) == seal.due
    assert seal.markers == ("web-1",)
    assert {row.marker for row in found} == {0}
    assert seal.lateness[2] > 0
    assert not seal.ended


def test_stages_and_kinds_are_shared_by_number(server: Server, tmp_path: Path) -> None:
    kinds = (Request(path="/ok", weight=3), Request(path="/404", expected_status=(404,)))
    load = Load(endpoint="shop", rate=50.0, timeout=1.0, processes=2, requests=kinds, stages=(Stage(rate=400.0, seconds=1.0),))
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 300)
    seal = ended(run)
    paths = Counter(path for _, path in server.lines())

    assert sorted(row.n for row in rows(run)) == list(range(seal.due))
    assert {Outcome(row.outcome).name for row in rows(run)} == {"ok"}
    assert abs(paths["/ok"] - 3 * paths["/404"]) <= 4
    assert series(run.samples(0)[0], load=load, generator=run.generator, off=seal.off, seal=seal).broken == ""


def test_the_death_of_one_ends_the_load_and_is_told(server: Server, tmp_path: Path) -> None:
    load = Load(endpoint="shop", path="/ok", rate=200.0, timeout=0.5, processes=2)
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 50)
    os.kill(children(run.generator.pid)[1], signal.SIGKILL)
    while run.alive():
        pass
    seal = run.wait(GRACE)

    assert seal is not None
    assert seal.ended == "process 2 of 2 of the prober died (signal 9)"
    assert seal.due < Arrivals(load).until(seal.off - run.generator.on)


def test_the_parts_go_when_the_keeper_is_killed(server: Server, tmp_path: Path) -> None:
    load = Load(endpoint="shop", path="/ok", rate=200.0, timeout=0.5, processes=2)
    run = ProberDriver().start(load, at=Endpoint(name="shop", url=server.url), out=tmp_path)
    wait_for(run, 20)
    parts = children(run.generator.pid)
    os.kill(run.generator.pid, signal.SIGKILL)  # the keeper alone, not its group
    while any(_lives(pid) for pid in parts):
        pass

    assert run.wait(GRACE) is None


def test_as_many_as_the_rate_needs_and_no_more_than_there_are_cores() -> None:
    cores = len(os.sched_getaffinity(0))

    assert processes(Load(endpoint="shop", rate=1000.0)) == 1
    assert processes(Load(endpoint="shop", rate=100.0, stages=(Stage(rate=3000.0, seconds=5.0),))) == min(2, cores)
    assert processes(Load(endpoint="shop", rate=1e6)) == cores
    assert processes(Load(endpoint="shop", rate=10.0, processes=5)) == 5


def test_markers_of_each_part_get_the_books_numbers(tmp_path: Path) -> None:
    """Part a saw x then y, part b saw y then x: the book has one number for each."""
    book = Book(tmp_path / "samples.bin")
    for names in (b"xy", b"yx"):
        out, into = os.pipe()
        frames = Frames(partial(_all_of, into))
        for number, name in enumerate(names):
            frames.write(number, sent=1, end=2, outcome=Outcome.ok, status=200, marker=bytes([name]), reused=False, received=0)
        frames.write(9, sent=1, end=2, outcome=Outcome.reset, status=0, marker=None, reused=False, received=0)
        frames.late(5)
        frames.flush()
        os.close(into)
        part = Part(pid=0, pipe=out, word=-1, book=book)
        while part.read():
            pass
        os.close(out)
    book.close()
    found = [Row(*row) for row in SAMPLE.iter_unpack((tmp_path / "samples.bin").read_bytes())]

    assert book.markers == ("x", "y")
    assert [row.marker for row in found] == [0, 1, NO_MARKER, 1, 0, NO_MARKER]
    assert book.lateness() == (5e-9, 5e-9, 5e-9)
    assert array("q", [1]).itemsize == 8  # what lateness is sent as


def _all_of(descriptor: int, data: bytes) -> None:
    assert os.write(descriptor, data) == len(data)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
