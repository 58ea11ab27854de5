"""Real locustfiles against a real server: what becomes of each request, and whose turn it was."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from chaosfw.analysis.samples import series
from chaosfw.errors import DriverError
from chaosfw.load.child import ChildRun
from chaosfw.load.locust.driver import LocustDriver, spawn_rate, users
from chaosfw.load.locust.outcomes import outcome_of
from chaosfw.model.load import Endpoint, Load, Outcome, Script
from tests.load.conftest import GRACE, Server, closed_port, ended, rows, wait_for

SEQUENCE = """
from locust import {kind} as Kind, SequentialTaskSet, task, constant


class Steps(SequentialTaskSet):
    pass


def step(path):
    @task
    def go(self):
        self.client.get(path, allow_redirects=False)
    return go


for number, path in enumerate({paths!r}):
    setattr(Steps, f"step_{{number}}", step(path))
    Steps.tasks = [*Steps.tasks, getattr(Steps, f"step_{{number}}")]


class Walker(Kind):
    wait_time = constant(0.01)
    tasks = [Steps]
"""

PATHS = {
    "/ok": (Outcome.ok, 200),
    "/404": (Outcome.http_4xx, 404),
    "/500": (Outcome.http_5xx, 500),
    "/reset": (Outcome.reset, 0),
    "/hang": (Outcome.read_timeout, 0),
    "/chunked": (Outcome.ok, 200),
    "/garbage": (Outcome.reset, 0),
}

SIMPLE = """
from locust import HttpUser, task, constant


class User(HttpUser):
    wait_time = constant(0.01)

    @task
    def one(self):
        self.client.get("{path}")
"""


def start(out: Path, text: str, *, url: str, rate: float = 0.0, timeout: float = 0.5, **script: object) -> ChildRun:
    (out / "locustfile.py").write_text(text)
    load = Load(endpoint="shop", rate=rate, timeout=timeout, driver="locust", script=Script(file="locustfile.py", **script))  # type: ignore[arg-type]  # a test's own words
    return LocustDriver(out).start(load, at=Endpoint(name="shop", url=url), out=out)


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_each_request_is_a_sample_with_what_became_of_it(server: Server, tmp_path: Path, kind: str) -> None:
    run = start(tmp_path, SEQUENCE.format(kind=kind, paths=list(PATHS)), url=server.url, users=1)
    try:
        wait_for(run, 2 * len(PATHS))
        seal = ended(run)
    finally:
        run.kill()

    found = rows(run)[: len(PATHS)]
    assert [(Outcome(row.outcome), row.status) for row in found] == list(PATHS.values())
    assert found[list(PATHS).index("/hang")].end - found[list(PATHS).index("/hang")].sent >= 0.5e9
    assert seal.count == len(rows(run))
    assert seal.ended == ""
    assert seal.markers == ("web-1",)


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_a_refused_connection_is_refused(tmp_path: Path, kind: str) -> None:
    run = start(tmp_path, SEQUENCE.format(kind=kind, paths=["/ok"]), url=f"http://127.0.0.1:{closed_port()}", users=1)
    try:
        wait_for(run, 5)
        ended(run)
    finally:
        run.kill()

    assert {Outcome(row.outcome) for row in rows(run)} == {Outcome.refused}
    assert all(row.sent > 0 and row.end > row.sent for row in rows(run))


def test_what_the_server_saw_is_what_was_recorded(server: Server, tmp_path: Path) -> None:
    run = start(tmp_path, SIMPLE.format(path="/ok"), url=server.url, users=4, spawn_rate=4.0)
    try:
        wait_for(run, 100)
        seal = ended(run)
    finally:
        run.kill()

    assert seal.count == len(server.lines())
    column = series(run.samples(0)[0], load=Load(endpoint="shop", rate=0.0), generator=run.generator, off=seal.off, seal=seal)
    assert column.broken == ""
    assert (run.generator.model, run.generator.schedule) == ("closed", "listed")


TAGGED = """
from locust import HttpUser, constant, tag, task


class First(HttpUser):
    wait_time = constant(0.01)

    @tag("fine")
    @task
    def fine(self):
        self.client.get("/ok")

    @tag("bad")
    @task
    def bad(self):
        self.client.get("/404")


class Second(HttpUser):
    @task
    def other(self):
        self.client.get("/500")
"""


@pytest.mark.parametrize(("script", "path"), [({"tags": ("bad",)}, "/404"), ({"exclude_tags": ("bad",)}, "/ok")])
def test_only_the_classes_and_tasks_that_were_named_run(server: Server, tmp_path: Path, script: dict[str, object], path: str) -> None:
    run = start(tmp_path, TAGGED, url=server.url, users=2, spawn_rate=2.0, classes=("First",), **script)
    try:
        wait_for(run, 10)
        ended(run)
    finally:
        run.kill()

    assert {asked for _, asked in server.lines()} == {path}


def test_tasks_on_a_schedule_are_due_at_their_time(server: Server, tmp_path: Path) -> None:
    run = start(tmp_path, SIMPLE.format(path="/ok"), url=server.url, rate=100.0)
    try:
        wait_for(run, 100)
        ended(run)
    finally:
        run.kill()

    due = sorted(row.n for row in rows(run))
    assert run.generator.model == "open"
    assert [round((at - run.generator.on) / 1e7) for at in due] == list(range(len(due)))
    assert all(row.sent >= row.n for row in rows(run))


KILLED = """
import gevent
from types import SimpleNamespace
from chaosfw.load.locust.pacing import Pacing
from chaosfw.timing import SYSTEM

told = []
recording = SimpleNamespace(over=lambda arrival: told.append(("over", arrival.due)), drop=lambda due: told.append(("drop", due)))
pacing = Pacing(recording, rate=1.0, clock=SYSTEM)
waiting = gevent.spawn(pacing._take, SimpleNamespace(_state="running"))
gevent.sleep(0)
waiting.kill(block=False)
pacing._give(7)
waiting.join()
pacing._give(8)
print(told)
"""


COUNTED = (
    SIMPLE
    + """

from locust import events


@events.quitting.add_listener
def told(environment, **_):
    print("Locust counted", environment.stats.total.num_requests, environment.stats.total.num_failures)
"""
)


@pytest.mark.parametrize(("path", "bad"), [("/ok", False), ("/500", True)])
def test_whoever_looks_at_locusts_own_figures_at_the_end_finds_every_request(server: Server, tmp_path: Path, path: str, bad: bool) -> None:
    """They are written a pulse later than Locust would."""
    run = start(tmp_path, COUNTED.format(path=path), url=server.url, users=4, spawn_rate=4.0)
    try:
        wait_for(run, 50)
        seal = ended(run)
    finally:
        run.kill()

    assert f"Locust counted {seal.count} {seal.count if bad else 0}\n" in (tmp_path / "locust.log").read_text()
    assert any(words.startswith(f"Locust's own summary: {seal.count:,} requests") for words in seal.said)


STRANGE = """
import logging, pathlib, sys
import gevent.monkey; gevent.monkey.patch_all()
from locust.event import Events
from chaosfw.load.book import Book
from chaosfw.load.locust.recording import Recording
from chaosfw.model.load import Load
from chaosfw.timing import SYSTEM

logging.basicConfig(format="%(levelname)s %(message)s")
book, events = Book(pathlib.Path(sys.argv[1])), Events()
recording = Recording(Load(endpoint="shop", rate=0.0), book=book, clock=SYSTEM)
recording.instead_of(events)  # nothing there is Locust's
events.request.add_listener(recording.request)
for response_time in (1.0, "soon", None, 2.0):
    events.request.fire(request_type="MINE", name="x", response_time=response_time, response_length=3, response=None, exception=None)
events.request.fire(request_type="MINE", name="x", response_time=1.0, response_length=None, exception=ValueError("no"))
recording.catch_up()
print(book.count)
"""


def test_what_a_files_own_client_tells_stops_no_recording(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STRANGE, str(tmp_path / "book")], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "4\n"
    assert done.stderr.count("ERROR a request that Locust told of can not be written down: ('MINE', 'x'") == 1


BEFORE = """
import pathlib, sys
import gevent.monkey; gevent.monkey.patch_all()
import gevent
from chaosfw.load.book import Book
from chaosfw.load.locust.recording import Arrival, Recording
from chaosfw.model.load import SAMPLE, Load
from chaosfw.timing import SYSTEM

file = pathlib.Path(sys.argv[1])
book = Book(file)
recording = Recording(Load(endpoint="shop", rate=10.0), book=book, clock=SYSTEM)
recording.request(response_time=1.0, name="on_start")
recording.arrivals[gevent.getcurrent()] = Arrival(due=5)
recording.request(response_time=1.0, name="the arrival")
recording.request(response_time=1.0, name="the one after it")
book.close()
print([due == 5 for due, *_ in SAMPLE.iter_unpack(file.read_bytes())])
"""


def test_a_request_before_a_turn_does_not_take_it(tmp_path: Path) -> None:
    """It is written down by whoever comes next, whose turn it may be."""
    done = subprocess.run([sys.executable, "-c", BEFORE, str(tmp_path / "book")], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[False, True, False]\n"


def test_a_turn_that_was_given_to_a_user_who_is_killed_at_that_moment_is_not_forgotten() -> None:
    """At the end of a load Locust kills who waits; a hole in the schedule would be a request that nobody missed."""
    told = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=True).stdout

    assert told == "[('over', 7), ('drop', 8)]\n"


def test_arrivals_without_a_free_user_are_dropped_and_not_forgotten(server: Server, tmp_path: Path) -> None:
    """Two users, and answers that never come: each waits half a second, and a hundred arrivals a second go on."""
    run = start(tmp_path, SIMPLE.format(path="/hang"), url=server.url, rate=100.0, users=2)
    try:
        wait_for(run, 100)
        ended(run)
    finally:
        run.kill()

    found = Counter(Outcome(row.outcome) for row in rows(run))
    due = sorted({round((row.n - run.generator.on) / 1e7) for row in rows(run)})
    assert set(found) == {Outcome.dropped, Outcome.read_timeout}
    assert found[Outcome.dropped] > 10 * found[Outcome.read_timeout]
    assert due == list(range(due[-1] + 1))


def test_a_task_that_asks_for_nothing_leaves_its_arrival_unknown(tmp_path: Path, server: Server) -> None:
    lazy = "from locust import User, task\n\n\nclass Lazy(User):\n    @task\n    def nothing(self):\n        pass\n"
    run = start(tmp_path, lazy, url=server.url, rate=50.0)
    try:
        wait_for(run, 20)
        ended(run)
    finally:
        run.kill()

    assert {Outcome(row.outcome) for row in rows(run)} == {Outcome.aborted}


@pytest.mark.parametrize("kind", ["HttpUser", "FastHttpUser"])
def test_a_request_that_is_cut_at_the_end_is_unknown_and_not_forgotten(tmp_path: Path, server: Server, kind: str) -> None:
    """The file lets it wait for a minute, and we were told half a second."""
    slow = "class User(HttpUser):\n    network_timeout = 60.0" if kind == "FastHttpUser" else "class User(HttpUser):"
    ask = 'self.client.get("/hang")' if kind == "FastHttpUser" else 'self.client.get("/hang", timeout=60)'
    text = SIMPLE.format(path="/ok").replace("class User(HttpUser):", slow).replace("HttpUser", kind)
    late = f'        if __import__("os").path.exists("now"):\n            {ask}\n'
    run = start(tmp_path, text + late, url=server.url, users=2)
    try:
        (tmp_path / "now").touch()  # what was sent before all users were there is warm-up
        while ("/hang" not in [path for _, path in server.lines()]) and run.alive():
            pass
        seal = ended(run)
    finally:
        run.kill()

    cut = [row for row in rows(run) if row.outcome == Outcome.aborted and run.generator.on <= row.n < seal.off]
    assert 1 <= len(cut) <= 2  # the other user may have asked after the stop, which nobody counts


def test_exceptions_of_the_file_are_told(tmp_path: Path, server: Server) -> None:
    broken = SIMPLE.format(path="/ok") + '        raise ValueError("no such shoe")\n'
    run = start(tmp_path, broken, url=server.url, users=1)
    try:
        wait_for(run, 5)
        seal = ended(run)
    finally:
        run.kill()

    assert any("times the locustfile raised ValueError: no such shoe" in words for words in seal.said)


SHAPE = """

from locust import LoadTestShape


class Short(LoadTestShape):
    def tick(self):
        return (2, 2) if self.get_run_time() < 1 else None
"""


def test_a_schedule_goes_on_when_the_files_shape_would_end(tmp_path: Path, server: Server) -> None:
    run = start(tmp_path, SIMPLE.format(path="/ok") + SHAPE, url=server.url, rate=100.0)
    try:
        wait_for(run, 250)
        assert ended(run).ended == ""
    finally:
        run.kill()


def test_a_shape_that_ends_says_so(tmp_path: Path, server: Server) -> None:
    run = start(tmp_path, SIMPLE.format(path="/ok") + SHAPE, url=server.url)
    try:
        seal = run.wait(GRACE)
    finally:
        run.kill()

    assert seal is not None
    assert seal.ended == "Locust ended with exit code 0"
    assert seal.count > 0


def test_a_class_that_retries_is_named(tmp_path: Path, server: Server) -> None:
    text = SIMPLE.format(path="/ok").replace("HttpUser", "FastHttpUser").replace("constant(0.01)", "constant(0.01)\n    max_retries = 2")
    run = start(tmp_path, text, url=server.url, users=1)
    run.kill()

    assert run.generator.blind == ("User retries up to 2 times by itself: failed attempts are hidden in a longer answer",)


@pytest.mark.parametrize(
    ("text", "words"),
    [("import no_such_thing\n", "No module named 'no_such_thing'"), ("x = 1\n", "No User class found"), ("def (:\n", "SyntaxError")],
)
def test_a_file_that_can_not_run_shows_why(tmp_path: Path, server: Server, text: str, words: str) -> None:
    with pytest.raises(DriverError, match="'locust' did not start") as caught:
        start(tmp_path, text, url=server.url, users=1)
    assert words in caught.value.message


def test_it_ends_with_whoever_started_it(tmp_path: Path, server: Server) -> None:
    """Its standard input ends: users finish, the seal is written, the process goes."""
    run = start(tmp_path, SIMPLE.format(path="/ok"), url=server.url, users=2)
    handle = os.pidfd_open(run.generator.pid)
    try:
        run.stop()
        assert select.select([handle], [], [], GRACE)[0]
    finally:
        os.close(handle)
        run.kill()
    assert (tmp_path / "seal.json").exists()


def test_ctrl_c_is_not_for_it(tmp_path: Path, server: Server) -> None:
    run = start(tmp_path, SIMPLE.format(path="/ok"), url=server.url, users=1)
    try:
        os.killpg(run.pgid, signal.SIGINT)
        wait_for(run, len(rows(run)) + 20)
        assert ended(run).ended == ""
    finally:
        run.kill()


def test_a_file_that_is_not_there_is_said_before_anything_starts(tmp_path: Path) -> None:
    load = Load(endpoint="shop", rate=0.0, driver="locust", script=Script(file="locustfile.py"))

    found = LocustDriver(tmp_path).check(load, at=Endpoint(name="shop", url="http://127.0.0.1:9"), seconds=10.0, claims=False)

    assert found == (("the locustfile 'locustfile.py' is not there", f"paths count from {tmp_path}"),)


def test_users_suffice_for_what_can_wait_at_once() -> None:
    planned = Load(endpoint="shop", rate=100.0, timeout=2.0, driver="locust", script=Script(file="l.py"))
    written = Load(endpoint="shop", rate=0.0, driver="locust", script=Script(file="l.py", users=7, spawn_rate=3.0))

    assert (users(planned), spawn_rate(planned)) == (237, 237.0)
    assert (users(written), spawn_rate(written)) == (7, 3.0)
    assert users(Load(endpoint="shop", rate=0.0, driver="locust", script=Script(file="l.py"))) == 0


def _wrapped(inner: BaseException) -> BaseException:
    outer = RuntimeError("retries exceeded", inner)
    outer.__cause__ = None
    return outer


class ReadTimeout(Exception):
    """As requests names it."""


@pytest.mark.parametrize(
    ("exception", "status", "outcome"),
    [
        (None, 200, Outcome.ok),
        (None, 500, Outcome.ok),  # the file itself called it a success
        (RuntimeError("bad"), 500, Outcome.http_5xx),
        (RuntimeError("bad"), 404, Outcome.http_4xx),
        (RuntimeError("wrong words"), 200, Outcome.assertion),
        (_wrapped(ConnectionRefusedError(errno.ECONNREFUSED, "no")), 0, Outcome.refused),
        (_wrapped(ConnectionResetError(errno.ECONNRESET, "no")), 0, Outcome.reset),
        (_wrapped(TimeoutError("timed out")), 0, Outcome.read_timeout),
        (_wrapped(ReadTimeout("x")), 0, Outcome.read_timeout),
        (_wrapped(socket.gaierror(-2, "no name")), 0, Outcome.dns),
        (_wrapped(ssl.SSLCertVerificationError("no")), 0, Outcome.tls),
        (_wrapped(OSError(errno.EMFILE, "too many")), 0, Outcome.dropped),
        (RuntimeError("whatever"), 0, Outcome.reset),
    ],
)
def test_what_an_exception_means(exception: BaseException | None, status: int, outcome: Outcome) -> None:
    assert outcome_of(exception, status=status) is outcome
