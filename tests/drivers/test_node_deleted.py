"""A node object deleted for as long as it takes the garbage collector to remove its pods, and made again."""

from __future__ import annotations

import pytest

from chaosfw.drivers.kubernetes import look, nodes
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.errors import DriverError, UsageError
from chaosfw.faults import kubernetes as k8s
from tests.drivers.conftest import pod_uids, take, until

web = k8s.deployment("myapp", namespace="shop")


def test_its_pods_are_lost_and_it_comes_back_ready(cluster: Cluster) -> None:
    before = pod_uids(cluster)
    taken = take(k8s.delete_node(hosting=web))
    (name,) = taken.names("node")
    lost = {target.uid for target in taken.bound.targets if target.kind == "pod"}
    there = cluster.get(nodes.path(name))

    taken.call()

    proof = taken.bitten()
    assert proof.holds, proof.what
    assert set(proof.victims) == {before[uid] for uid in lost} != set()
    assert not lost & set(pod_uids(cluster))
    assert [one.ending for one in taken.revert()] == ["restored"]
    until(lambda: taken.healed() == [True], "its kubelet has found it")
    again = cluster.get(nodes.path(name))
    assert look.uid_of(again) != look.uid_of(there)
    assert (again["spec"], again["metadata"]["labels"]) == (there["spec"], there["metadata"]["labels"])
    assert look.is_ready(again)


def test_pods_that_stay_are_told(cluster: Cluster) -> None:
    taken = take(k8s.delete_node(hosting=web, timeout="50ms"))

    with pytest.raises(DriverError, match=r"1 pods of .* are still there 0.05 s after their node"):
        taken.call()

    assert taken.bitten().holds is False
    assert [one.ending for one in taken.revert()] == ["restored"]
    until(lambda: taken.healed() == [True], "its kubelet has found it")


def test_a_node_that_others_own_is_left_alone(cluster: Cluster) -> None:
    """Karpenter and Cluster API end the machine of a node that is deleted."""
    name = look.name_of(look.nodes(cluster)[0])
    cluster.patch(nodes.path(name), {"metadata": {"finalizers": ["karpenter.sh/termination"]}})
    try:
        with pytest.raises(UsageError, match="belongs to something else, which would end its machine with it"):
            take(k8s.delete_node(name))
    finally:
        cluster.patch(nodes.path(name), {"metadata": {"finalizers": None}})
