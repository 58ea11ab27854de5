"""Nodes whose machines die, freeze or are cut off: what the cluster makes of it, what clients see, the way back. On either plane."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from benchmarks.lost_node import BACK, LOST, Witness, web
from chaosfw.errors import SandboxError
from chaosfw.sandbox.public import VARIABLE, LinkFault, Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES
from chaosfw.timing import SYSTEM
from tests.sandbox.public.conftest import SLOW

Object = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
IN_ZONE_A = ("node-1", "node-2", "node-3", "node-4")


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def cluster(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Four nodes in one zone, one in another, and a small app whose pods leave a lost node after a second."""
    zones = ("zone-a", "zone-a", "zone-a", "zone-a", "zone-b")
    with start(SandboxSpec(nodes=5, zones=zones, control_plane=request.param), timeout=SLOW) as sandbox:
        sandbox.apply(web(toleration=1))
        yield sandbox


@pytest.fixture
def whole(cluster: Sandbox) -> Iterator[Sandbox]:
    """At rest, with a pod on node-2, whatever the last test did."""
    cluster.settle(timeout=SLOW)
    if not pods_on(cluster, "node-2"):
        move_one(cluster, "node-2")
    yield cluster
    for name, state in cluster.machines().items():
        if state != "on":
            cluster.machine(name, "on")
    until(lambda: all(ready(node) == "True" and not taints(node) for node in nodes(cluster).values()))


def move_one(sandbox: Sandbox, node: str) -> None:
    """A pod onto that node, by closing all others for a moment."""
    others = [name for name in sandbox.nodes if name != node]
    for name in others:
        cordon(sandbox, name, wanted=True)
    victim = pods(sandbox)[0]["metadata"]["name"]
    sandbox._api.call("DELETE", f"{PODS}/{victim}", {"gracePeriodSeconds": 0})
    until(lambda: [pod for pod in pods_on(sandbox, node) if is_ready(pod)])
    for name in others:
        cordon(sandbox, name, wanted=False)
    until(lambda: not any(taints(one) for one in nodes(sandbox).values()))
    sandbox.settle(timeout=SLOW)


def cordon(sandbox: Sandbox, node: str, *, wanted: bool) -> None:
    body = {"spec": {"unschedulable": wanted or None}}
    sandbox._api.call("PATCH", f"/api/v1/nodes/{node}", body, content_type="application/merge-patch+json")


def until(condition: Callable[[], Any]) -> None:
    """Looks again and again; the test runner's patience is the deadline."""
    while not condition():
        SYSTEM.sleep(0.01)


def pods(sandbox: Sandbox) -> list[Object]:
    found: list[Object] = sandbox._api.get(PODS)["items"]
    return found


def pods_on(sandbox: Sandbox, node: str) -> list[Object]:
    return [pod for pod in pods(sandbox) if pod["spec"].get("nodeName") == node and "deletionTimestamp" not in pod["metadata"]]


def nodes(sandbox: Sandbox) -> dict[str, Object]:
    return {node["metadata"]["name"]: node for node in sandbox._api.get("/api/v1/nodes")["items"]}


def ready(node: Object) -> str:
    return next(str(one["status"]) for one in node["status"]["conditions"] if one["type"] == "Ready")


def is_ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions") or ())


def taints(node: Object) -> set[tuple[str, str]]:
    return {(taint["key"].split("/")[1], taint["effect"]) for taint in node["spec"].get("taints") or ()}


def status(pod: Object) -> Object:
    found: Object = pod["status"]["containerStatuses"][0]
    return found


def reached(sandbox: Sandbox, node: str) -> socket.socket:
    """An open connection to the app, which that node's pod carries, and which has been answered on."""
    names = {pod["metadata"]["name"] for pod in pods_on(sandbox, node)}
    host, port = sandbox.endpoint("web").removeprefix("http://").split(":")
    while True:
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        if any(name.encode() in connection.recv(4096) for name in names):
            return connection
        connection.close()


def hears_nothing(connection: socket.socket, *, wait: float = 0.1) -> bool:
    connection.settimeout(wait)
    try:
        return bool(connection.recv(1)) and False
    except TimeoutError:
        return True


def test_a_machine_without_power_is_found_out_by_its_silence(whole: Sandbox) -> None:
    """The order of things, as the source of Kubernetes has it; the times are measured beside each other in benchmarks/lost_node.py."""
    with closing(Witness(whole)) as witness, reached(whole, "node-2") as connection:
        whole.machine("node-2", "off")
        at = witness.until(LOST)

        known, unready, out, executed, ending = (at[LOST[index]] for index in (0, 2, 3, 4, 5))
        assert unready <= out <= executed <= ending <= min(at[LOST[6]], at[LOST[7]])
        assert known <= executed
        assert hears_nothing(connection), "a machine without power sends neither FIN nor RST"
        [victim] = [pod for pod in pods(whole) if pod["metadata"]["uid"] in witness.victims]
        assert status(victim)["ready"], "nobody but its kubelet says how its containers are"
        assert [one["reason"] for one in victim["status"]["conditions"] if one["type"] == "DisruptionTarget"] == ["DeletionByTaintManager"]
        assert taints(nodes(whole)["node-2"]) == {("unreachable", "NoSchedule"), ("unreachable", "NoExecute")}

        witness.begin()
        whole.machine("node-2", "on")
        assert set(witness.until(BACK)) == set(BACK)


def test_a_quick_reboot_starts_the_same_pods_again(whole: Sandbox) -> None:
    [before] = pods_on(whole, "node-2")
    boot = nodes(whole)["node-2"]["status"]["nodeInfo"]["bootID"]

    whole.machine("node-2", "off")
    whole.machine("node-2", "on")

    until(lambda: any(is_ready(pod) and status(pod)["restartCount"] for pod in pods_on(whole, "node-2")))
    [after] = pods_on(whole, "node-2")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert status(after)["restartCount"] == status(before)["restartCount"] + 1
    ended = status(after)["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["containerID"]) == (255, "Unknown", status(before)["containerID"])
    assert nodes(whole)["node-2"]["status"]["nodeInfo"]["bootID"] != boot


@pytest.mark.parametrize("state", ["frozen", "cut"])
def test_what_was_frozen_or_cut_off_goes_on_as_it_was(whole: Sandbox, state: str) -> None:
    [before] = pods_on(whole, "node-2")
    with reached(whole, "node-2") as connection:
        whole.machine("node-2", state)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert hears_nothing(connection)

        whole.machine("node-2", "on")

        connection.settimeout(SLOW)
        assert before["metadata"]["name"].encode() in connection.recv(4096), "the same process answers what was asked meanwhile"
    [after] = pods_on(whole, "node-2")
    assert (after["metadata"]["uid"], status(after)["containerID"]) == (before["metadata"]["uid"], status(before)["containerID"])
    assert status(after)["restartCount"] == status(before)["restartCount"]


@pytest.mark.parametrize("state", ["frozen", "cut"])
def test_pods_of_a_machine_that_was_taken_for_lost_are_ready_again(whole: Sandbox, state: str) -> None:
    [before] = pods_on(whole, "node-2")
    whole.machine("node-2", state)
    until(lambda: not is_ready(pods_on(whole, "node-2")[0]))

    whole.machine("node-2", "on")

    until(lambda: is_ready(pods_on(whole, "node-2")[0]))
    assert pods_on(whole, "node-2")[0]["metadata"]["uid"] == before["metadata"]["uid"]


def test_a_frozen_machine_stands_still_and_a_cut_off_one_runs(whole: Sandbox) -> None:
    assert stopped(whole) == 0
    whole.machine("node-2", "frozen")
    until(lambda: stopped(whole) == 1)
    whole.machine("node-2", "on")
    until(lambda: stopped(whole) == 0)
    whole.machine("node-2", "cut")
    assert stopped(whole) == 0


def stopped(sandbox: Sandbox) -> int:
    """How many processes of pods stand still."""
    return sum(state_of(one.pid) == "T" for one in sandbox.processes() if one.name == "pod")


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_who_is_killed_behind_the_silence_is_reset_only_when_it_is_over(whole: Sandbox) -> None:
    with reached(whole, "node-2") as connection:
        whole.machine("node-2", "off")
        until(lambda: sum(one.name == "pod" and state_of(one.pid) not in "ZX" for one in whole.processes()) == 2)
        assert hears_nothing(connection)

        whole.machine("node-2", "on")

        connection.settimeout(SLOW)
        assert hears_its_end(connection)


def hears_its_end(connection: socket.socket) -> bool:
    """By FIN or RST: the kernel, which closes for a process that was killed, says RST where data was unread."""
    try:
        return not connection.recv(1)
    except ConnectionResetError:
        return True


def test_a_zone_of_which_one_node_is_left_evicts_nothing_and_a_lost_one_does(whole: Sandbox) -> None:
    """
    Three of four are more likely a network that is broken; four of four are a zone, and its pods are wanted elsewhere. When all zones are
    lost there is no elsewhere: taints go. (Kubernetes' own controller may still taint the last node, in a race with itself.)
    """
    tainted_early: set[str] = set()

    def lost(*names: str) -> Callable[[], bool]:
        def holds() -> bool:
            found = nodes(whole)
            if ready(found["node-4"]) == "True":
                tainted_early.update(name for name in names if ("unreachable", "NoExecute") in taints(found[name]))
            return all(ready(found[name]) == "Unknown" for name in names)

        return holds

    for name in IN_ZONE_A[:3]:
        whole.machine(name, "off")
    until(lost(*IN_ZONE_A[:3]))
    whole.machine("node-4", "off")
    until(lost(*IN_ZONE_A))
    assert len(tainted_early) < 3, "those that were found lost before it was three may have been; all of them are by a zone that is gone"

    until(lambda: all(("unreachable", "NoExecute") in taints(nodes(whole)[name]) for name in IN_ZONE_A))
    until(lambda: [pod["spec"]["nodeName"] for pod in pods(whole) if is_ready(pod)] == ["node-5"] * 3)

    whole.machine("node-5", "off")
    until(lambda: ready(nodes(whole)["node-5"]) == "Unknown")
    until(lambda: not any(("unreachable", "NoExecute") in taints(nodes(whole)[name]) for name in IN_ZONE_A))


def test_the_command_brings_a_machine_into_a_state_and_status_tells_it(whole: Sandbox) -> None:
    environment = {**os.environ, VARIABLE: str(whole.directory)}

    def chaosfw(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "chaosfw", "sandbox", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert chaosfw("node", "node-3", "cut") == (0, "node-3 is cut\n")
    assert "node-3 in zone-a, cut" in chaosfw("status")[1]
    code, said = chaosfw("node", "node-3", "off")
    assert code != 0
    assert "node-3 is cut" in said
    assert "chaosfw sandbox node node-3 on" in said
    code, said = chaosfw("node", "node-9", "off")
    assert code != 0
    assert "no node 'node-9'; there: node-1, node-2, node-3, node-4, node-5" in said
    assert chaosfw("node", "node-3", "on") == (0, "node-3 is on\n")
    assert whole.machines() == dict.fromkeys(whole.nodes, "on")
    with pytest.raises(SandboxError, match="it can be: on, off, frozen, cut"):
        whole.machine("node-3", "sleepy")


def test_links_that_are_broken_stay_so_when_a_machine_comes_back(whole: Sandbox) -> None:
    whole.break_links([LinkFault(kind="silence", destination={"service": "web"})])
    whole.machine("node-2", "frozen")
    whole.machine("node-2", "on")
    host, port = whole.endpoint("web").removeprefix("http://").split(":")
    with socket.socket() as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.connect((host, int(port)))
    whole.break_links([])
    with socket.create_connection((host, int(port)), timeout=SLOW) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert json.loads(connection.makefile("rb").read().partition(b"\r\n\r\n")[2])["pod"]
