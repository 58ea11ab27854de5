"""Which pods a Service offers as ready, and when nothing may be concluded from their number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.errors import UsageError
from tests.drivers.conftest import pod_uids, until

SERVICE = "/api/v1/namespaces/shop/services/myapp"


def test_the_ready_pods_of_a_service_and_since_when(cluster: Cluster) -> None:
    until(lambda: len(look.serving(cluster, namespace="shop", name="myapp")) == 3, "all three are ready")

    found = look.serving(cluster, namespace="shop", name="myapp")

    assert {one.target.uid for one in found} == set(pod_uids(cluster))
    assert all(one.since for one in found)
    assert {one.target.zone for one in found} == {"zone-a", "zone-b", "zone-c"}
    assert look.serving(cluster, namespace="shop", name="myapp") == found


def test_a_service_that_is_not_there_names_those_that_are(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="there is no Service 'shop' in namespace 'shop'") as caught:
        look.serving(cluster, namespace="shop", name="shop")
    assert "myapp" in str(caught.value.hint)


@pytest.fixture
def uneven(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """The Service with a field that decides who gets its connections."""
    changed: dict[str, Any] = request.param
    cluster.patch(SERVICE, {"spec": changed})
    yield
    cluster.patch(SERVICE, {"spec": {"sessionAffinity": "None"} if "sessionAffinity" in changed else dict.fromkeys(changed)})


@pytest.mark.usefixtures("uneven")
@pytest.mark.parametrize("uneven", [{"sessionAffinity": "ClientIP"}, {"publishNotReadyAddresses": True}], indirect=True, ids=str)
def test_nothing_is_concluded_where_connections_do_not_spread_evenly(cluster: Cluster) -> None:
    """With affinity, all connections of one client go to one pod, however many they are."""
    assert look.serving(cluster, namespace="shop", name="myapp") == ()
