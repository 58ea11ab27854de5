"""The executor's child: real processes, real chaoslib, and a fence that leaves nothing."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosfw.errors import DriverError
from chaosfw.executor.child import ExecutorChild, PatientCaller, _carries, start
from chaosfw.executor.nursery import Nursery
from chaosfw.model.activity import ProcessProvider, PythonProvider
from chaosfw.ports import Answer, ProviderCall
from chaosfw.safety.fence import start_time
from chaosfw.timing import SYSTEM


@pytest.fixture(params=["spawned", "forked"])
def child(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ExecutorChild]:
    """Both kinds of executor keep the same promises: one in a process of its own making, one forked by a nursery."""
    here = str(Path(__file__).parent)
    env = {"PYTHONPATH": os.pathsep.join([here, os.getcwd()])}
    if request.param == "spawned":
        executor = start(clock=SYSTEM, env=env, log=tmp_path / "log", role="test")
        executor.wait_ready()
        yield executor
        executor.close()
        return
    nursery = Nursery(clock=SYSTEM, env=env, warm=("stand_in_driver",), log=tmp_path / "nursery")
    executor = nursery.spawn(role="test", log=tmp_path / "log")
    yield executor
    executor.close()
    nursery.close()


def test_a_nursery_forks_a_new_executor_after_each_fence(tmp_path: Path) -> None:
    nursery = Nursery(
        clock=SYSTEM, env={"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.getcwd()])}, warm=(), log=tmp_path / "n"
    )
    for _ in range(3):
        executor = nursery.spawn(role="test", log=tmp_path / "log")
        assert PatientCaller(executor).provider(python("double", value=2), timeout=10) == 4
        executor.kill()
    nursery.close()


def test_a_nursery_that_can_not_start_tells_its_last_words(tmp_path: Path) -> None:
    nursery = Nursery(clock=SYSTEM, env={"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}, warm=(), log=tmp_path / "n")

    with pytest.raises(DriverError, match="did not start"):
        nursery.wait_ready()
    nursery.close()


def python(func: str, **arguments: object) -> ProviderCall:
    return ProviderCall(name=func, provider=PythonProvider(module="stand_in_driver", func=func, arguments=arguments))


def test_a_python_provider_is_called_through_chaoslib(child: ExecutorChild) -> None:
    assert PatientCaller(child).provider(python("double", value=21), timeout=10) == 42


def test_what_a_driver_prints_does_not_disturb_the_answers(child: ExecutorChild) -> None:
    assert PatientCaller(child).provider(python("chatter"), timeout=10) == "said"


def test_a_driver_that_raises_is_told_in_its_own_words(child: ExecutorChild) -> None:
    with pytest.raises(DriverError, match="the database is on fire"):
        PatientCaller(child).provider(python("fail"), timeout=10)


def test_a_driver_that_exits_the_process_does_not_pass_for_silence(child: ExecutorChild) -> None:
    with pytest.raises(DriverError, match="SystemExit"):
        PatientCaller(child).provider(python("leave"), timeout=10)


def test_a_module_that_is_not_there_is_named(child: ExecutorChild) -> None:
    call = ProviderCall(name="x", provider=PythonProvider(module="no.such.module", func="f"))

    with pytest.raises(DriverError, match=r"no\.such\.module|No module named"):
        PatientCaller(child).provider(call, timeout=10)


def test_calls_run_side_by_side(child: ExecutorChild) -> None:
    """A hanging call does not keep another from its answer."""
    answers: queue.Queue[Answer] = queue.Queue()
    child.submit(python("hang"), answers.put)
    child.submit(python("double", value=1), answers.put)

    assert answers.get(timeout=10).value == 2


def test_the_fence_kills_the_child_and_all_that_it_started(child: ExecutorChild, tmp_path: Path) -> None:
    """Grandchildren in sessions of their own too; whoever waited gets an error."""
    answers: queue.Queue[Answer] = queue.Queue()
    note = tmp_path / "pid"
    PatientCaller(child).provider(python("daemonise", note=str(note)), timeout=10)
    grandchild = int(note.read_text())
    child.submit(python("hang"), answers.put)
    assert start_time(grandchild)

    killed = child.kill()

    assert {child.pid, grandchild} <= set(killed)
    assert not start_time(grandchild)
    assert "ExecutorGone" in answers.get(timeout=10).error
    assert not child.is_alive()


def test_a_killed_child_answers_later_calls_with_an_error(child: ExecutorChild) -> None:
    child.kill()

    with pytest.raises(DriverError, match="ExecutorGone"):
        PatientCaller(child).provider(python("double", value=1), timeout=10)


def test_an_executor_whose_runner_dies_goes_with_what_it_started(tmp_path: Path) -> None:
    """End of file on its pipe is enough: no atexit, no finalizer."""
    note = tmp_path / "pids"
    runner = os.fork()
    if runner == 0:
        try:
            executor = start(clock=SYSTEM, env={"PYTHONPATH": os.getcwd()}, log=tmp_path / "log", role="orphan")
            executor.wait_ready()
            note.write_text(str(executor.pid))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(runner, 0)
    pid = int(note.read_text())

    until = SYSTEM.monotonic_ns() + 10_000_000_000
    while start_time(pid) and SYSTEM.monotonic_ns() < until:
        SYSTEM.sleep(0.01)
    assert not start_time(pid)


def test_a_secret_never_comes_back(child: ExecutorChild) -> None:
    """Redacted by value, wherever it appears."""
    call = ProviderCall(
        name="leak",
        provider=PythonProvider(module="stand_in_driver", func="leak", secrets=("shop",)),
        secrets={"shop": {"password": "hunter2-very-secret"}},
    )

    assert PatientCaller(child).provider(call, timeout=10) == "the password is •••"


def test_a_process_provider_runs_a_program(child: ExecutorChild) -> None:
    call = ProviderCall(name="true", provider=ProcessProvider(path="sh", arguments=["-c", "echo out; exit 3"]))

    value = PatientCaller(child).provider(call, timeout=10)
    assert (value["status"], value["stdout"].strip()) == (3, "out")


def test_a_caller_goes_on_with_another_executor_when_its_own_died(tmp_path: Path) -> None:
    """Only the call that was under way is lost: a healer must not give up because its hands were cut off."""

    def another() -> ExecutorChild:
        path = os.pathsep.join([str(Path(__file__).parent), os.getcwd()])
        return start(clock=SYSTEM, env={"PYTHONPATH": path}, log=tmp_path / "log", role="healer")

    caller = PatientCaller(another(), renew=another)
    try:
        first = caller.executor
        first.kill()

        assert caller.provider(python("double", value=3), timeout=10) == 6
        assert caller.executor is not first
    finally:
        caller.executor.close()


@pytest.mark.parametrize(
    ("environment", "state", "memory", "carries"),
    [
        (b"A=b\0CHAOSFW_EXECUTOR=x\0", "S", 4096, True),
        (b"A=b\0", "S", 4096, False),
        (b"", "R", 4096, None),  # in the middle of its exec: asked again
        (b"", "S", 0, False),  # a thread of the kernel
        (b"", "Z", 0, False),
    ],
)
def test_a_process_that_is_being_started_is_looked_at_again(
    tmp_path: Path, environment: bytes, state: str, memory: int, carries: bool | None
) -> None:
    """Its environment can not be read for a moment: a fence that took that for a no would let it live."""
    (tmp_path / "environ").write_bytes(environment)
    (tmp_path / "stat").write_text(f"17 (a name) {state} " + "0 " * 19 + f"{memory} 0")

    assert _carries(tmp_path, b"CHAOSFW_EXECUTOR=x") is carries
