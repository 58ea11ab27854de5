"""A NoExecute taint drives pods away."""

from __future__ import annotations

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.faults import kubernetes as k8s
from tests.drivers.conftest import pod_uids, take, until, world

web = k8s.deployment("myapp", namespace="shop")


def test_what_runs_there_has_to_go(cluster: Cluster) -> None:
    before, pods = world(), pod_uids(cluster)
    taken = take(k8s.taint(hosting=web, effect="NoExecute"))
    lost = {target.uid for target in taken.bound.targets if target.kind == "pod"}
    assert taken.bitten().holds is False

    taken.call()

    until(lambda: taken.bitten().holds, "its pods are gone or going")
    assert set(taken.bitten().victims) == {pods[uid] for uid in lost} != set()
    assert [one.ending for one in taken.revert()] == ["restored"]
    assert taken.healed() == [True]
    assert world() == before
