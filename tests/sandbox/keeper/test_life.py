"""The life of a sandbox as processes: who keeps it, what ends it, and that nothing of it survives."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosfw.errors import SandboxError
from chaosfw.sandbox.keeper.home import base
from chaosfw.sandbox.public import Sandbox, SandboxSpec, down, env, join, running, start, status, up
from chaosfw.timing import SYSTEM, nanoseconds

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": "web", "ports": [{"containerPort": 8000}]}]},
}
USER = """
import sys
from pathlib import Path
from chaosfw.sandbox.public import SandboxSpec, start
sandbox = start(SandboxSpec(nodes=1))
print(sandbox.directory, flush=True)
sys.stdin.read()
"""


def until(condition: Callable[[], Any], *, within: float = 10.0) -> None:
    deadline = SYSTEM.monotonic_ns() + nanoseconds(within)
    while not condition():
        assert SYSTEM.monotonic_ns() < deadline, "it did not happen"
        SYSTEM.sleep(0.005)


def is_running(pid: int) -> bool:
    """A zombie that its parent has not reaped yet is dead all the same."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def with_pod(sandbox: Sandbox) -> list[int]:
    """All its processes, one pod included."""
    sandbox.apply([POD])
    until(lambda: any(pid.name == "pod" for pid in sandbox.processes()))
    return [pid.pid for pid in sandbox.processes()]


def nothing_left(directory: Path, pids: list[int]) -> bool:
    return not directory.exists() and not any(map(is_running, pids)) and not _locks_held()


def _locks_held() -> list[str]:
    held = []
    for path in (base() / "networks").glob("*.lock"):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                held.append(path.name)
    return held


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime directory of its own, so that other sandboxes of this user are none of the test's business."""
    home = tmp_path_factory.mktemp("r")
    home.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))


def test_closing_the_last_lease_stops_everything_at_once() -> None:
    sandbox = start(SandboxSpec(nodes=1))
    pids = with_pod(sandbox)
    began = SYSTEM.monotonic_ns()

    sandbox.close()

    assert SYSTEM.monotonic_ns() - began < nanoseconds(0.5)
    assert nothing_left(sandbox.directory, pids)


def test_a_killed_user_leaves_nothing() -> None:
    """SIGKILL: no handler, no atexit; the kernel closes the lease."""
    with subprocess.Popen([sys.executable, "-c", USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        directory = Path(user.stdout.readline().strip())
        pids = [pid for pids in status(directory)["processes"].values() for pid in pids]

        user.kill()

        until(lambda: nothing_left(directory, pids), within=1.0)


def test_it_lives_as_long_as_somebody_holds_a_lease() -> None:
    first = start(SandboxSpec(nodes=1))
    second = join(first.directory)
    first.close()
    assert second.processes()

    pids = [pid.pid for pid in second.processes()]
    second.close()

    assert nothing_left(first.directory, pids)


def test_a_child_that_inherits_a_lease_holds_it() -> None:
    """How a watchdog keeps the sandbox while it heals."""
    sandbox = start(SandboxSpec(nodes=1))
    extra = sandbox.lease()
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[extra.fileno()], stdout=subprocess.DEVNULL
    ) as child:
        extra.let_go()
        sandbox.close()
        assert status(sandbox.directory)["leases"] == 1

        assert child.stdin is not None
        child.stdin.close()
        child.wait()
    until(lambda: not sandbox.directory.exists())


def test_a_pinned_one_stays_until_down() -> None:
    directory = up(SandboxSpec(nodes=1))
    try:
        told = status(directory)
    finally:
        down(directory)

    assert (told["leases"], told["pinned"]) == (0, True)
    assert "token" not in told
    assert nothing_left(directory, [pid for pids in told["processes"].values() for pid in pids])
    with pytest.raises(SandboxError, match="no sandbox runs"):
        join(directory)


def test_a_terminated_keeper_cleans_up() -> None:
    sandbox = start(SandboxSpec(nodes=1))
    pids = with_pod(sandbox)
    (keeper,) = [pid.pid for pid in sandbox.processes() if pid.name == "keeper"]

    os.kill(keeper, signal.SIGTERM)

    until(lambda: nothing_left(sandbox.directory, pids), within=2.0)
    with pytest.raises(SandboxError, match="told to stop by SIGTERM"):
        sandbox.processes()
    sandbox.close()


def test_a_user_killed_while_starting_leaves_nothing() -> None:
    """At any moment of the start: before the keeper has settled in, and after."""
    for patience in (0.05, 0.2, 0.5, 0.8):
        with subprocess.Popen([sys.executable, "-c", USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
            SYSTEM.sleep(patience)  # not for synchronisation: the moment is the point
            user.kill()
        until(lambda: not _keepers_of_this_home() and not list(base().glob("sandbox-*")) and not _locks_held(), within=3.0)


def _keepers_of_this_home() -> list[int]:
    """Processes of the sandbox that live in this test's runtime directory."""
    mark = f"XDG_RUNTIME_DIR={os.environ['XDG_RUNTIME_DIR']}\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if b"chaosfw.sandbox" in (path / "cmdline").read_bytes() and mark in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue  # gone while we looked
    return found


@pytest.mark.parametrize("name", ["control", "dataplane", "runtime", "keeper"])
def test_the_death_of_one_process_ends_all(name: str) -> None:
    """Half a cluster is no cluster; the reason reaches whoever holds a lease."""
    sandbox = start(SandboxSpec(nodes=1))
    pids = with_pod(sandbox)
    (victim,) = [pid.pid for pid in sandbox.processes() if pid.name == name]

    os.kill(victim, signal.SIGKILL)

    until(lambda: nothing_left(sandbox.directory, pids), within=2.0)
    expected = "the sandbox is gone" if name == "keeper" else f"the sandbox's {name} process was killed by SIGKILL"
    with pytest.raises(SandboxError, match=expected):
        sandbox.processes()
    sandbox.close()


def test_two_side_by_side_do_not_meet() -> None:
    with start(SandboxSpec(nodes=1)) as one, start(SandboxSpec(nodes=1)) as two:
        assert set(running()) == {one.directory, two.directory}
        with_pod(one)
        assert one.directory != two.directory
        assert one.server.split(".")[1] != two.server.split(".")[1]
        assert not any(pid.name == "pod" for pid in two.processes())
        pids = [pid.pid for pid in one.processes()]

        one.close()

        assert running() == (two.directory,)
        assert not one.directory.exists()
        assert not any(map(is_running, pids))
        assert env(two.directory)["CHAOSFW_SANDBOX"] == str(two.directory)


def test_what_it_writes_is_for_this_user_only() -> None:
    with start(SandboxSpec(nodes=1)) as sandbox:
        assert sandbox.directory.stat().st_mode & 0o777 == 0o700
        for name in ("kubeconfig", "sandbox.json", "server.pem"):
            assert (sandbox.directory / name).stat().st_mode & 0o077 == 0


def test_a_start_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: UPPER}\n")

    with pytest.raises(SandboxError, match=r"wrong\.yaml: ConfigMap UPPER: .*lower case"):
        start(SandboxSpec(nodes=1, manifests=(wrong,)))

    assert not list(base().glob("sandbox-*"))


def test_a_directory_without_a_keeper_is_swept_at_the_next_start() -> None:
    left = base() / "sandbox-dead"
    left.mkdir()
    (left / "lock").touch()

    with start(SandboxSpec(nodes=1)):
        assert not left.exists()


def test_the_users_process_gets_no_child_and_no_thread() -> None:
    before = len(os.listdir("/proc/self/task"))

    with start(SandboxSpec(nodes=1)):
        assert not Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        assert len(os.listdir("/proc/self/task")) == before


def test_nothing_of_it_listens_beyond_loopback() -> None:
    with start(SandboxSpec(nodes=1)) as sandbox:
        with_pod(sandbox)
        host = sandbox.server.removeprefix("https://").split(":")[0]
        assert socket.inet_aton(host)[0] == 127
        for pid in sandbox.processes():
            assert _listens_on(pid.pid) <= {127}


def _listens_on(pid: int) -> set[int]:
    """The first octets of what a process listens on."""
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(fd))
        except FileNotFoundError:
            continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1][6:8], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
