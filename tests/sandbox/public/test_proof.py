"""
The whole chain with other people's tools: stock ``chaos run`` and stock chaosk8s kill a pod, and a prober in a process of its own sees
through the service what clients see, and that it recovers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaosfw.sandbox.public import Sandbox, env
from chaosfw.timing import SYSTEM

PROBER = """
import http.client, json, sys, time
host, port, out = sys.argv[1], int(sys.argv[2]), open(sys.argv[3], "w", buffering=1)
while True:
    began, pod, outcome = time.monotonic_ns(), "", ""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        pod, outcome = response.headers["X-Chaosfw-Pod"], str(response.status)
    except OSError as error:
        outcome = type(error).__name__
    connection.close()
    out.write(json.dumps([began, outcome, pod]) + "\\n")
    time.sleep(0.005)
"""


@contextmanager
def probing(url: str, out: Path) -> Iterator[None]:
    host, port = url.removeprefix("http://").split(":")
    with subprocess.Popen([sys.executable, "-c", PROBER, host, port, str(out)]) as process:
        try:
            yield
        finally:
            process.terminate()


def samples(out: Path) -> list[tuple[int, str, str]]:
    return [tuple(json.loads(line)) for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]


def until(condition: Callable[[], Any]) -> None:
    """Looks again and again; the test runner's patience is the deadline."""
    while not condition():
        SYSTEM.sleep(0.01)


def experiment(**arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "chaosk8s.pod.actions", "func": "terminate_pods", "arguments": {"ns": "shop", **arguments}}
    return {
        "title": "The shop loses a pod",
        "description": "Kill one of three.",
        "contributions": {"availability": "high"},
        "steady-state-hypothesis": {
            "title": "three pods run",
            "probes": [
                {
                    "type": "probe",
                    "name": "three",
                    "tolerance": 3,
                    "provider": {
                        "type": "python",
                        "module": "chaosk8s.pod.probes",
                        "func": "count_pods",
                        "arguments": {"ns": "shop", "label_selector": "app=myapp", "phase": "Running"},
                    },
                }
            ],
        },
        "method": [{"type": "action", "name": "kill", "provider": provider}],
        "rollbacks": [],
    }


def chaos_run(shop: Sandbox, definition: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The stock command, pointed at the sandbox by nothing but its kubeconfig; answers the journal."""
    chaos = Path(sys.executable).with_name("chaos")
    if not chaos.exists():
        pytest.skip("the chaos command is not installed beside this Python")
    (folder / "experiment.json").write_text(json.dumps(definition))
    environment = {**os.environ, **env(shop.directory)}
    command = [str(chaos), "--no-version-check", "run", "--hypothesis-strategy", "before-method-only", "experiment.json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    journal: dict[str, Any] = json.loads((folder / "journal.json").read_text())
    return journal


def test_stock_chaos_kills_a_pod_and_the_service_recovers(settled: Sandbox, tmp_path: Path) -> None:
    """Without grace: the kill breaks something at most for a moment, the pod never answers again, another takes its place."""
    out = tmp_path / "samples"
    with probing(settled.endpoint("shop/myapp"), out):
        until(lambda: out.exists() and len({pod for _, _, pod in samples(out) if pod}) == 3)
        before = {pod for _, _, pod in samples(out)}

        journal = chaos_run(settled, experiment(label_selector="app=myapp", qty=1, grace_period=0), tmp_path)
        settled.settle()
        mark = len(samples(out))
        until(lambda: len({pod for _, _, pod in samples(out)[mark:] if pod}) == 3)
        seen = samples(out)

    assert journal["status"] == "completed"
    assert [run["status"] for run in journal["run"]] == ["succeeded"]
    after = {pod for _, _, pod in seen[mark:]}
    assert len(before & after) == 2
    assert {outcome for _, outcome, _ in seen[mark:]} == {"200"}
    outcomes = {outcome for _, outcome, _ in seen}
    assert outcomes <= {"200", "ConnectionResetError", "RemoteDisconnected", "ConnectionRefusedError"}


def test_a_graceful_kill_loses_nothing(settled: Sandbox, tmp_path: Path) -> None:
    """With its drain, a well-made app serves on until nobody is sent to it any more."""
    out = tmp_path / "samples"
    with probing(settled.endpoint("shop/myapp"), out):
        until(lambda: out.exists() and len({pod for _, _, pod in samples(out) if pod}) == 3)
        before = {pod for _, _, pod in samples(out)}

        chaos_run(settled, experiment(label_selector="app=myapp", qty=1), tmp_path)
        settled.settle()
        mark = len(samples(out))
        until(lambda: len({pod for _, _, pod in samples(out)[mark:]}) == 3)
        seen = samples(out)

    assert len(before & {pod for _, _, pod in seen[mark:]}) == 2
    assert [sample for sample in seen if sample[1] != "200"] == []


def test_a_killed_process_is_started_again_and_serves(settled: Sandbox, tmp_path: Path) -> None:
    """Nobody tells the API: the kubelet notices, restarts the container in its pod, and the data plane finds it again."""
    pods, running = {pid.pid for pid in settled.processes() if pid.name == "pod"}, len(settled.processes())
    victim = min(pods)
    out = tmp_path / "samples"
    with probing(settled.endpoint("shop/myapp"), out):
        until(lambda: out.exists() and len({pod for _, _, pod in samples(out) if pod}) == 3)
        before = {pod for _, _, pod in samples(out) if pod}

        os.kill(victim, 9)
        until(lambda: victim not in {pid.pid for pid in settled.processes()} and len(settled.processes()) == running)
        settled.settle()
        mark = len(samples(out))
        until(lambda: len({pod for _, _, pod in samples(out)[mark:] if pod}) == 3)
        seen = samples(out)

    assert {pod for _, _, pod in seen[mark:]} == before
    assert {outcome for _, outcome, _ in seen[mark:]} == {"200"}


def test_real_kubectl_sees_it_all(settled: Sandbox, kubectl: str) -> None:
    environment = {"KUBECONFIG": str(settled.kubeconfig), "HOME": str(settled.directory), "PATH": os.environ["PATH"]}

    def ask(*arguments: str) -> str:
        done = subprocess.run([kubectl, *arguments], env=environment, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert ask("get", "pods", "-n", "shop").count("1/1") == 3
    pod = ask("get", "pods", "-n", "shop", "-o", "name").split()[0]
    assert "serving myapp" in ask("logs", "-n", "shop", pod)
    assert "Started" in ask("describe", "-n", "shop", pod)
    assert ask("get", "nodes").count(" Ready ") == 3
