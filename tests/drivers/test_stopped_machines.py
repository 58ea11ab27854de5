"""Machines off, frozen or cut off: nobody is told, the fault is in when the sandbox says so, and out when the node is Ready again."""

from __future__ import annotations

import pytest

from chaosfw.activities import kubernetes as activities
from chaosfw.drivers.kubernetes import changes, look, machines, nodes
from chaosfw.drivers.kubernetes.cluster import Cluster, Object
from chaosfw.errors import UsageError
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone
from chaosfw.sandbox.public import Sandbox
from tests.drivers.conftest import take, until

web = k8s.deployment("myapp", namespace="shop")


def node_of(cluster: Cluster, name: str) -> Object:
    return cluster.get(nodes.path(name))


def is_heard(cluster: Cluster, name: str) -> bool:
    return look.is_ready(node_of(cluster, name))


@pytest.mark.parametrize("state", k8s.STATES)
def test_a_machine_falls_silent_and_comes_back(cluster: Cluster, state: str) -> None:
    taken = take(k8s.stop_machine(hosting=web, state=state))
    (subject, *lost) = taken.bound.targets
    assert (subject.kind, {one.kind for one in lost}) == ("node", {"pod"})
    assert taken.bound.changes[0] == f"node {subject.name}: machine on → machine {state}"

    taken.call()

    until(lambda: taken.bitten().holds, "the sandbox says so")
    assert set(taken.bitten().victims) == {one.name for one in lost}
    until(lambda: not is_heard(cluster, subject.name), "the cluster finds out by itself")
    assert [one.ending for one in taken.revert()] == ["restored"]
    until(lambda: taken.healed() == [True], "it is on, and heard of")
    assert is_heard(cluster, subject.name)
    assert changes.MACHINE_BY not in (node_of(cluster, subject.name)["metadata"].get("annotations") or {})
    until(lambda: not node_of(cluster, subject.name)["spec"].get("taints"), "nothing is held against it any more")
    until(lambda: len([pod for pod in look.pods(cluster, namespace="shop") if look.is_ready(pod)]) >= 3, "the shop is whole")


def test_a_zone_without_power_is_all_of_its_machines(cluster: Cluster) -> None:
    here = sorted({look.zone_of(node) for node in look.nodes(cluster)})[0]
    taken = take(zone.fail(here, backend="power"))
    there = {look.name_of(node) for node in look.nodes(cluster) if look.zone_of(node) == here}

    taken.call()

    assert {one.name for one in taken.bound.targets if one.kind == "node"} == there
    until(lambda: taken.bitten().holds, "they are off")
    taken.revert()
    until(lambda: all(taken.healed()), "they are on")
    until(lambda: len([pod for pod in look.pods(cluster, namespace="shop") if look.is_ready(pod)]) >= 3, "the shop is whole")


def test_a_cordoned_machine_has_power_to_lose(cluster: Cluster) -> None:
    here = sorted({look.zone_of(node) for node in look.nodes(cluster)})[0]
    there = sorted(look.name_of(node) for node in look.nodes(cluster) if look.zone_of(node) == here)
    cluster.patch(nodes.path(there[0]), {"spec": {"unschedulable": True}})

    taken = take(zone.fail(here, backend="power"))

    assert sorted(one.name for one in taken.bound.targets if one.kind == "node") == there


def test_who_was_switched_on_by_hand_is_seen_to_be(cluster: Cluster) -> None:
    taken = take(k8s.stop_machine(hosting=web))
    taken.call()
    until(lambda: taken.bitten().holds, "it is off")
    (undo,) = taken.bound.undo

    cluster.patch(nodes.path(undo.subject.name), {"metadata": {"annotations": {changes.MACHINE_BY: None}}})

    assert not taken.bitten().holds
    assert [one.ending for one in taken.revert()] == ["by-other"]
    until(lambda: taken.healed() == [True], "it is on")


def test_a_machine_whose_node_was_deleted_meanwhile_is_on_again(cluster: Cluster) -> None:
    """With the object its annotation is gone; else nobody who has only the API could bring it back."""
    taken = take(k8s.stop_machine(hosting=web))
    (subject, *_) = taken.bound.targets
    taken.call()
    until(lambda: taken.bitten().holds, "it is off")

    cluster.delete(nodes.path(subject.name), {})

    until(lambda: cluster.find(nodes.path(subject.name)) is not None and is_heard(cluster, subject.name), "it has registered anew")
    assert [one.ending for one in taken.revert()] == ["gone"]
    until(lambda: len([pod for pod in look.pods(cluster, namespace="shop") if look.is_ready(pod)]) >= 3, "the shop is whole")


def test_what_was_switched_by_other_means_is_left_alone(cluster: Cluster, running: Sandbox) -> None:
    running.machine("node-3", "frozen")
    try:
        activities.stop_machines(["node-3"], state="off")
        until(lambda: "node-3 is frozen" in str(cluster.items("/api/v1/namespaces/default/events")), "it is told why not")
        cluster.patch(nodes.path("node-3"), {"metadata": {"annotations": {changes.MACHINE_BY: None}}})
        activities.stop_machines(["node-2"], state="cut")  # seen after it, and done: so the other one has been seen, too
        until(lambda: running.machines()["node-2"] == "cut", "it is cut off")
        cluster.patch(nodes.path("node-2"), {"metadata": {"annotations": {changes.MACHINE_BY: None}}})
        until(lambda: running.machines()["node-2"] == "on", "it is on")
        assert running.machines()["node-3"] == "frozen"
    finally:
        running.machine("node-3", "on")
    until(lambda: is_heard(cluster, "node-3"), "it is on")


@pytest.mark.usefixtures("cluster")
def test_where_no_sandbox_can_do_it_nothing_is_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "RUNTIME", "another://")

    with pytest.raises(UsageError, match=r"runs chaosfw://1\.0\.0: its machine can not be stopped from here"):
        take(k8s.stop_machine(hosting=web))
