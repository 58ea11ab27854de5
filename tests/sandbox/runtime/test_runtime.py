"""The runtime as a real process: what it starts, what it reports, and that nothing outlives it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaosfw.errors import SandboxError
from chaosfw.sandbox.runtime.door import RuntimeDoor
from chaosfw.sandbox.runtime.orders import Order

BACK = "127.15.64.2"


@dataclass
class Bench:
    door: RuntimeDoor
    keeper: socket.socket
    process: subprocess.Popen[bytes]
    directory: Path

    def order(self, name: str, *argv: str, **env: str) -> Order:
        return Order(
            id=name,
            argv=argv,
            env={"PATH": os.environ["PATH"], **env},
            cwd=str(self.directory),
            log=str(self.directory / f"{name}.log"),
            bind=BACK,
        )

    def log(self, name: str) -> list[str]:
        return [line.partition(" ")[2] for line in (self.directory / f"{name}.log").read_text().splitlines()]

    async def said(self, name: str, text: str) -> None:
        """Until the process has written a line that contains ``text``."""
        path = self.directory / f"{name}.log"
        while not (path.exists() and text in path.read_text()):
            await asyncio.sleep(0.002)


@asynccontextmanager
async def runtime(directory: Path) -> AsyncIterator[Bench]:
    ours, orders = socket.socketpair()
    keeper, keeper_end = socket.socketpair()
    (directory / "home").mkdir()
    with orders, keeper_end, keeper:
        command = [sys.executable, "-m", "chaosfw.sandbox.runtime", str(orders.fileno()), str(keeper_end.fileno()), str(directory / "home")]
        process = subprocess.Popen(command, pass_fds=[orders.fileno(), keeper_end.fileno()])
        orders.close()
        keeper_end.close()
        assert json.loads(keeper.recv(100)) == {"ready": True}
        bench = Bench(await RuntimeDoor.over(ours), keeper, process, directory)
        try:
            yield bench
        finally:
            await bench.door.close()
            keeper.close()
            process.wait(timeout=5)


def run(test: Callable[[Path], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    def sync(tmp_path: Path) -> None:
        asyncio.run(asyncio.wait_for(test(tmp_path), timeout=20))

    sync.__name__, sync.__doc__ = test.__name__, test.__doc__
    return sync


def is_running(pid: int) -> bool:
    """A zombie that nobody reaps is dead all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def gone(*pids: int) -> None:
    while any(map(is_running, pids)):
        await asyncio.sleep(0.002)


@run
async def test_exits_are_reported_with_their_code_and_signal(tmp_path: Path) -> None:
    """128 + n for a signal, as container runtimes say it."""
    async with runtime(tmp_path) as bench:
        three = await bench.door.start(bench.order("three", "sh", "-c", "echo out; echo err >&2; printf unfinished; exit 3"))
        assert (await three.wait()).code == 3
        assert bench.log("three") == ["out", "err", "unfinished"]

        killed = await bench.door.start(bench.order("killed", "sleep", "100"))
        killed.signal(signal.SIGKILL)
        ended = await killed.wait()
        assert (ended.code, ended.signal) == (137, 9)


@run
async def test_a_command_that_is_not_there_ends_with_127(tmp_path: Path) -> None:
    async with runtime(tmp_path) as bench:
        process = await bench.door.start(bench.order("lost", "no-such-command"))

        assert (await process.wait()).code == 127
        assert bench.log("lost") == ["exec no-such-command: No such file or directory"]


@run
async def test_what_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    async with runtime(tmp_path) as bench:
        order = Order(id="x", argv=("true",), env={}, cwd="/", log=str(tmp_path / "no" / "such" / "log"), bind=BACK)

        with pytest.raises(SandboxError, match="cannot start x"):
            await bench.door.start(order)


@run
async def test_python_programs_that_bind_everything_bind_their_pod(tmp_path: Path) -> None:
    """Two pods with 0.0.0.0:8000 live side by side."""
    (tmp_path / "web.py").write_text(
        "import os, socket\n"
        "s = socket.create_server(('0.0.0.0', 8000))\n"
        "low = socket.create_server(('', 80))\n"
        "print('bound', s.getsockname(), low.getsockname(), os.environ['WHO'], flush=True)\n"
        "s.accept()\n"
    )
    async with runtime(tmp_path) as bench:
        one = await bench.door.start(bench.order("one", "python", "web.py", WHO="one"))
        other = Order(
            id="two", argv=("python", "-m", "web"), env={"WHO": "two"}, cwd=str(tmp_path), log=str(tmp_path / "two.log"), bind="127.15.64.3"
        )
        two = await bench.door.start(other)
        await bench.said("one", "bound")
        await bench.said("two", "bound")

        assert bench.log("one") == [f"bound ('{BACK}', 8000) ('{BACK}', 20080) one"]
        assert bench.log("two") == ["bound ('127.15.64.3', 8000) ('127.15.64.3', 20080) two"]
        one.signal(signal.SIGTERM)
        two.signal(signal.SIGTERM)
        assert (await one.wait()).signal == signal.SIGTERM


@run
async def test_a_python_program_ends_as_python_ends(tmp_path: Path) -> None:
    (tmp_path / "stop.py").write_text("import sys\nprint(sys.argv[1:], __name__)\nsys.exit('no more')\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    async with runtime(tmp_path) as bench:
        stop = await bench.door.start(bench.order("stop", "python", "-m", "stop", "--port", "1"))
        assert (await stop.wait()).code == 1
        assert bench.log("stop") == ["['--port', '1'] __main__", "no more"]

        broken = await bench.door.start(bench.order("broken", "python", "broken.py"))
        assert (await broken.wait()).code == 1
        assert bench.log("broken")[-1] == "ZeroDivisionError: division by zero"


@run
async def test_a_process_takes_its_children_with_it(tmp_path: Path) -> None:
    """Those of its group, and one that went to a session of its own."""
    async with runtime(tmp_path) as bench:
        script = "sleep 100 & echo pid $!; setsid sleep 101 & sleep 0.05; echo pid $!; exit 0"
        process = await bench.door.start(bench.order("parent", "sh", "-c", script))
        await process.wait()
        pids = [int(line.split()[1]) for line in bench.log("parent")]

        assert len(pids) == 2
        await gone(*pids)


@run
async def test_everything_dies_when_the_keeper_does(tmp_path: Path) -> None:
    """End of file from the keeper: pods, their children, the runtime and the sandbox's directory."""
    async with runtime(tmp_path) as bench:
        process = await bench.door.start(bench.order("pod", "sh", "-c", "trap '' TERM; sleep 100 & echo child $!; wait"))
        await bench.said("pod", "child")
        child = int(bench.log("pod")[0].split()[1])

        bench.keeper.close()

        assert (await process.wait()).signal == signal.SIGKILL
        assert bench.process.wait(timeout=5) == 0
        assert not is_running(child)
        assert not (tmp_path / "home").exists()


@run
async def test_pods_die_with_a_killed_runtime(tmp_path: Path) -> None:
    async with runtime(tmp_path) as bench:
        process = await bench.door.start(bench.order("pod", "sleep", "100"))
        pid = process.pid

        bench.process.kill()

        assert (await process.wait()).signal == signal.SIGKILL
        await gone(pid)
