"""What of a zone is lost, and how fast pods may leave it then: Kubernetes' own rules, case by case."""

from __future__ import annotations

import pytest

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.controllers.disruptions import ZoneState, all_lost, eviction_rate, zone_state
from chaosfw.sandbox.controllers.nodes import no_schedule
from chaosfw.sandbox.profiles import PROFILES


@pytest.mark.parametrize(
    ("up", "lost", "state"),
    [
        (3, 0, ZoneState.NORMAL),
        (1, 2, ZoneState.NORMAL),
        (1, 3, ZoneState.PARTIAL),
        (3, 3, ZoneState.NORMAL),
        (9, 11, ZoneState.PARTIAL),
        (0, 1, ZoneState.FULL),
        (0, 4, ZoneState.FULL),
        (0, 0, ZoneState.NORMAL),
    ],
)
def test_a_zone_is_partly_lost_from_three_nodes_and_55_percent_on(up: int, lost: int, state: ZoneState) -> None:
    assert zone_state([True] * up + [False] * lost) is state


@pytest.mark.parametrize(
    ("state", "nodes", "rate"),
    [
        (ZoneState.NORMAL, 4, 0.1),
        (ZoneState.FULL, 4, 0.1),
        (ZoneState.PARTIAL, 50, 0.0),
        (ZoneState.PARTIAL, 51, 0.01),
    ],
)
def test_a_partly_lost_zone_evicts_slowly_or_not_at_all(state: ZoneState, nodes: int, rate: float) -> None:
    assert eviction_rate(state, nodes=nodes, profile=PROFILES["default"]) == rate


def test_no_profile_evicts_at_one_node_a_second() -> None:
    """Kubernetes 1.37 would never lift the stop of a partly lost zone: its limiter for "never" says that it is one of 1/s."""
    assert 1.0 not in {profile.eviction_rate for profile in PROFILES.values()}


def test_all_is_lost_only_when_every_zone_is() -> None:
    assert all_lost({"a": ZoneState.FULL, "b": ZoneState.FULL})
    assert not all_lost({"a": ZoneState.FULL, "b": ZoneState.PARTIAL})
    assert not all_lost({})


@pytest.mark.parametrize(
    ("conditions", "spec", "keys"),
    [
        ({"Ready": "True"}, {}, set()),
        ({"Ready": "Unknown"}, {}, {"unreachable"}),
        ({"Ready": "False"}, {"unschedulable": True}, {"not-ready", "unschedulable"}),
        ({"Ready": "True", "MemoryPressure": "True", "DiskPressure": "False"}, {}, {"memory-pressure"}),
        ({}, {}, set()),
    ],
)
def test_conditions_close_a_node_for_new_pods(conditions: dict[str, str], spec: Object, keys: set[str]) -> None:
    node = {"spec": spec, "status": {"conditions": [{"type": kind, "status": status} for kind, status in conditions.items()]}}
    assert no_schedule(node) == {f"node.kubernetes.io/{key}" for key in keys}
