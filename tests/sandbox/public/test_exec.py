"""Commands in containers, by stock clients, on either control plane."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosfw.sandbox.public import Sandbox
from chaosfw.timing import SYSTEM

Ask = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def ask(shop: Sandbox, kubectl: str) -> Ask:
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}

    def run(*arguments: str, given: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([kubectl, "-n", "shop", *arguments], env=environment, input=given, capture_output=True, timeout=60)

    return run


def test_a_command_has_its_two_outputs_and_its_exit_code(ask: Ask) -> None:
    done = ask("exec", "deploy/myapp", "--", "sh", "-c", "echo said; echo complained >&2; exit 3")

    assert done.returncode == 3
    assert done.stdout == b"said\n"
    assert done.stderr == b"complained\ncommand terminated with exit code 3\n"


def test_it_runs_in_the_containers_environment(ask: Ask) -> None:
    pod = ask("get", "pods", "-o", "name").stdout.split()[0].decode()
    done = ask("exec", pod, "--", "sh", "-c", "echo $POD_NAME")

    assert done.stdout.decode().strip() == pod.removeprefix("pod/")


def test_a_large_input_comes_back_whole(ask: Ask) -> None:
    """More than any pipe or window holds: who does not read holds the writer up, and nothing is lost."""
    data = os.urandom(3_000_000)
    done = ask("exec", "-i", "deploy/myapp", "--", "cat", given=data)

    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_a_command_that_says_more_than_is_read_waits(shop: Sandbox, kubectl: str) -> None:
    """Twenty megabytes, of which nobody reads the rest until the first of them were looked at: all of it comes."""
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}
    words = [kubectl, "-n", "shop", "exec", "deploy/myapp", "--", "head", "-c", "20000000", "/dev/zero"]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        first = child.stdout.read(1)
        rest = child.stdout.read()

    assert len(first) + len(rest) == 20_000_000
    assert child.returncode == 0


def test_files_are_copied_in_and_out(ask: Ask, tmp_path: Path) -> None:
    pod = ask("get", "pods", "-o", "jsonpath={.items[0].metadata.name}").stdout.decode()
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    there, back = ask("cp", str(tmp_path / "a"), f"{pod}:{tmp_path}/b"), ask("cp", f"{pod}:{tmp_path}/b", str(tmp_path / "c"))

    assert (there.returncode, back.returncode) == (0, 0), there.stderr + back.stderr
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_terminal_is_one(shop: Sandbox, kubectl: str) -> None:
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"], "TERM": "dumb"}
    ours, theirs = pty.openpty()
    words = [kubectl, "-n", "shop", "exec", "-it", "deploy/myapp", "--", "sh", "-c", "test -t 0 && test -t 1 && echo a terminal; exit 4"]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as child:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:
            pass  # the other end of a terminal is gone
        code = child.wait(60)
    os.close(ours)

    assert code == 4
    assert b"a terminal\r\n" in said


PYTHON = """
import sys
from kubernetes import client, config
from kubernetes.stream import stream

api = client.CoreV1Api(config.new_client_from_config(sys.argv[1]))
pod = api.list_namespaced_pod("shop").items[0].metadata.name
words = ["sh", "-c", "read line; echo got $line; exit 5"]
wanted = {"stdin": True, "stdout": True, "stderr": True, "tty": False, "_preload_content": False}
socket = stream(api.connect_get_namespaced_pod_exec, pod, "shop", command=words, **wanted)
socket.write_stdin("hello\\n")
socket.run_forever(timeout=60)
print(socket.read_stdout().strip(), socket.returncode)
"""


def test_the_python_client_is_told_how_it_ended(shop: Sandbox) -> None:
    done = subprocess.run([sys.executable, "-c", PYTHON, str(shop.kubeconfig)], capture_output=True, text=True, timeout=60)

    assert done.stdout == "got hello 5\n", done.stderr


def test_who_goes_away_leaves_nothing_running(shop: Sandbox, kubectl: str, tmp_path: Path) -> None:
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}
    words = [kubectl, "-n", "shop", "exec", "deploy/myapp", "--", "sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 1000"]
    with subprocess.Popen(words, env=environment) as child:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            SYSTEM.sleep(0.01)
        pid = int((tmp_path / "pid").read_text())
        child.kill()
    while Path(f"/proc/{pid}").exists():
        SYSTEM.sleep(0.01)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("exec", "deploy/myapp", "-c", "nobody", "--", "true"), "nobody"),
        (("exec", "no-such-pod", "--", "true"), "not found"),
    ],
)
def test_what_is_not_there_is_told(ask: Ask, arguments: tuple[str, ...], word: str) -> None:
    done = ask(*arguments)

    assert done.returncode == 1
    assert word in done.stderr.decode()
