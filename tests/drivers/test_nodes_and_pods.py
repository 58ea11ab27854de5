"""Which pods and nodes are hit, which are refused, and how a drain waits; with our own functions and with stock chaosk8s."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import chaosfw as cf
from chaosfw.activities import kubernetes as activities
from chaosfw.drivers.kubernetes import look, marks, nodes
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.errors import DriverError, EnvironmentTrouble, UsageError
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone
from chaosfw.model.activity import Action
from chaosfw.model.fault import UndoState
from chaosfw.safety.audit import mend
from tests.drivers.conftest import cordoned, gone, pod_uids, take, until, world
from tests.sandbox.apiserver.plane import kubectl_path

web = k8s.deployment("myapp", namespace="shop")
PODS = "/api/v1/namespaces/shop/pods"
BUDGET = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/myapp"
LABELS = {"app": "db"}
TEMPLATE = {"containers": [{"name": "a", "image": "acme/web:1"}]}


def stock(func: str, **arguments: Any) -> Action:
    return cf.toolkit("chaosk8s.node.actions", func, arguments=arguments)


def stock_kill(**arguments: Any) -> Action:
    return cf.toolkit("chaosk8s.pod.actions", "terminate_pods", arguments={"ns": "shop", **arguments})


def on_nodes(cluster: Cluster) -> dict[str, str]:
    return {pod["spec"]["nodeName"]: look.name_of(pod) for pod in look.pods(cluster, namespace="shop")}


def planted(cluster: Cluster, kind: str, name: str, spec: dict[str, Any]) -> str:
    """A workload with one pod; the path to take it away by."""
    path = f"/apis/apps/v1/namespaces/shop/{kind.lower()}s"
    template = {"metadata": {"labels": {"app": name}}, "spec": {**TEMPLATE, **spec}}
    body = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template, "serviceName": name}
    cluster.post(path, {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": body})
    until(lambda: look.pods(cluster, namespace="shop", selector=f"app={name}"), f"{name} has a pod")
    until(lambda: look.pods(cluster, namespace="shop", selector=f"app={name}")[0]["spec"].get("nodeName"), f"{name} is scheduled")
    return f"{path}/{name}"


@pytest.fixture
def lone_pod(cluster: Cluster) -> Iterator[str]:
    """A pod that nothing owns; the name of its node."""
    cluster.post(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lone", "labels": {"app": "lone"}}, "spec": TEMPLATE})
    until(lambda: cluster.get(f"{PODS}/lone")["spec"].get("nodeName"), "lone is scheduled")
    yield str(cluster.get(f"{PODS}/lone")["spec"]["nodeName"])
    gone(cluster, f"{PODS}/lone")


@pytest.fixture
def stateful_pod(cluster: Cluster) -> Iterator[str]:
    """A pod of a StatefulSet."""
    sets = "/apis/apps/v1/namespaces/shop/statefulsets"
    spec = {
        "replicas": 1,
        "serviceName": "db",
        "selector": {"matchLabels": LABELS},
        "template": {"metadata": {"labels": LABELS}, "spec": TEMPLATE},
    }
    cluster.post(sets, {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec})
    until(lambda: cluster.find(f"{PODS}/db-0"), "db-0 is there")
    yield "db-0"
    gone(cluster, f"{sets}/db")
    gone(cluster, f"{PODS}/db-0")


@pytest.fixture
def workload(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Plants a workload with one pod; the name of its node."""
    paths: list[tuple[str, str]] = []

    def plant(kind: str, name: str, **spec: Any) -> str:
        paths.append((planted(cluster, kind, name, spec), name))
        return str(look.pods(cluster, namespace="shop", selector=f"app={name}")[0]["spec"]["nodeName"])

    yield plant
    for path, name in paths:
        gone(cluster, path)
        until(lambda name=name: not look.pods(cluster, namespace="shop", selector=f"app={name}"), f"the pods of {name} are gone")


@pytest.fixture
def budget(cluster: Cluster) -> Iterator[Callable[[int], None]]:
    """Sets how many pods the shop must keep, and waits until the cluster knows."""

    def keep(pods: int) -> None:
        cluster.patch(BUDGET, {"spec": {"minAvailable": pods}})
        until(lambda: cluster.get(BUDGET)["status"]["disruptionsAllowed"] == max(0, 3 - pods), "the budget is counted")

    yield keep
    cluster.patch(BUDGET, {"spec": {"minAvailable": 2}})


# -- refused -------------------------------------------------------------------------------------------------------------


def refuses(action: Action, message: str) -> None:
    before = world()
    with pytest.raises(UsageError, match=message):
        take(action)
    assert world() == before


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("action", "message"),
    [
        (k8s.kill(k8s.deployment("mapp", namespace="shop")), "no deployment 'mapp' in namespace 'shop'\nhint: deployments there: myapp"),
        (k8s.kill(k8s.statefulset("db", namespace="shop")), "no statefulset 'db' in namespace 'shop'\nhint: statefulsets there: none"),
        (k8s.kill(selector="app=nobody", namespace="shop"), "'kill 1 of app=nobody': nothing matches"),
        (k8s.kill(web, count=4), "'kill 4 of myapp': 4 wanted, 3 there"),
        (k8s.kill(web, zone="zone-x"), "in zone 'zone-x': nothing matches"),
        (k8s.drain("node-9"), "there is no node 'node-9'\nhint: nodes here: node-1, node-2, node-3"),
        (k8s.cordon(selector="a=b"), "nothing matches"),
        (zone.fail("zone-x"), "no node is in zone 'zone-x'\nhint: zones here: zone-a, zone-b, zone-c"),
        (stock("cordon_node", label_selector="kubernetes.io/os=linux"), "can name one node only\nhint: use chaosfw.faults"),
        (stock("cordon_node"), "can name one node only"),
        (cf.toolkit("chaosfw.activities.kubernetes", "cordon_nodes", names=["node-1", "node-9"]), "no node 'node-9'"),
    ],
)
def test_names_that_are_not_there_are_refused_with_those_that_are(action: Action, message: str) -> None:
    refuses(action, message)


@pytest.mark.parametrize(
    "make", [lambda node: k8s.cordon(node), lambda node: k8s.drain(node), lambda node: stock("cordon_node", name=node)]
)
def test_a_node_that_is_cordoned_already_is_refused(cluster: Cluster, make: Callable[[str], Action]) -> None:
    nodes.cordon(cluster, "node-1")

    refuses(make("node-1"), "node node-1 is cordoned already, and not by us\nhint: kubectl uncordon node-1")
    refuses(zone.fail("zone-a"), "node node-1 is cordoned already")


def test_cordoned_nodes_are_not_chosen(cluster: Cluster) -> None:
    nodes.cordon(cluster, "node-1")

    assert {take(k8s.cordon(count=2), seed=seed).bound.targets for seed in range(5)} == {take(k8s.cordon(count=2)).bound.targets}
    refuses(k8s.cordon(count=3), "3 wanted, 2 there")


def test_a_pod_that_nothing_would_bring_back_is_refused(lone_pod: str) -> None:
    refuses(k8s.kill(selector="app=lone", namespace="shop"), "pod lone has no controller: nothing would bring it back")
    refuses(k8s.drain(lone_pod), "pod lone has no controller and would never come back")
    refuses(stock("drain_nodes", name=lone_pod), "pod lone has no controller")


def test_a_pod_with_data_is_drained_only_when_that_is_accepted(workload: Callable[..., str]) -> None:
    node = workload("Deployment", "scratch", volumes=[{"name": "tmp", "emptyDir": {}}])

    refuses(k8s.drain(node), "pod scratch-.* would lose its emptyDir volume\nhint: delete_emptydir_data=True accepts it")
    refuses(stock("drain_nodes", name=node), "would lose its emptyDir volume")
    assert take(k8s.drain(node, delete_emptydir_data=True)).names("node") == [node]
    assert take(stock("drain_nodes", name=node, delete_pods_with_local_storage=True)).names("node") == [node]


def test_a_pod_whose_name_returns_is_not_killed_by_name(cluster: Cluster, stateful_pod: str) -> None:
    assert cluster.find(f"{PODS}/{stateful_pod}") is not None

    refuses(k8s.kill(k8s.statefulset("db", namespace="shop")), "pod db-0 belongs to StatefulSet db: names return")
    refuses(stock_kill(label_selector="app=db"), "names return")


# -- kill ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "count"),
    [
        (k8s.kill(web), 1),
        (k8s.kill(web, count=2), 2),
        (k8s.kill(web, percentage="34%"), 2),
        (k8s.kill(web, percentage="33%"), 1),
        (k8s.kill(web, zone="zone-b"), 1),
        (k8s.kill(selector="app=myapp", namespace="shop", count=3), 3),
        (stock_kill(label_selector="app=myapp", rand=True), 1),
        (stock_kill(label_selector="app=myapp", qty=2), 2),
        (stock_kill(label_selector="app=myapp", mode="percentage", qty=50), 2),
        (stock_kill(label_selector="app=myapp", all=True), 3),
        (stock_kill(name_pattern="^myapp-"), 1),
        (stock_kill(label_selector="app=myapp", qty=9, order="oldest"), 3),
    ],
)
def test_as_many_as_was_written(cluster: Cluster, action: Action, count: int) -> None:
    taken = take(action)

    assert len(taken.names("pod")) == count
    assert set(taken.names("pod")) <= set(pod_uids(cluster).values())
    assert (
        taken.bound.action.provider.arguments["name_pattern"]
        == "^("
        + "|".join(  # type: ignore[union-attr]
            target.name.replace("-", "\\-") for target in taken.bound.targets
        )
        + ")$"
    )


def test_an_abrupt_kill_is_proven_when_the_pod_is_gone(cluster: Cluster) -> None:
    taken = take(k8s.kill(web, abrupt=True))

    taken.call()

    until(lambda: taken.bitten().holds, "the pod is gone")
    assert cluster.find(f"{PODS}/{taken.names('pod')[0]}") is None
    assert taken.bitten().victims == tuple(taken.names("pod"))


# -- drain ---------------------------------------------------------------------------------------------------------------


def test_a_drain_that_a_budget_never_allows_ends_with_names(cluster: Cluster, budget: Callable[[int], None]) -> None:
    budget(3)
    pod = on_nodes(cluster)["node-2"]
    taken = take(k8s.drain("node-2", timeout="300ms"))

    with pytest.raises(DriverError, match=f"after 0.3 s these pods are still there: {pod}; 429 TooManyRequests"):
        taken.call()
    assert taken.bitten().holds is False
    assert [one.ending for one in taken.revert(state=UndoState.armed)] == ["restored"]
    assert cordoned(cluster) == []
    assert pod in pod_uids(cluster).values()


def test_a_drain_asks_again_until_the_budget_allows_it(cluster: Cluster, budget: Callable[[int], None]) -> None:
    budget(3)
    pod = on_nodes(cluster)["node-2"]
    drained: list[list[str]] = []
    asked = threading.Event()
    real = Cluster.post

    def seen(self: Cluster, path: str, body: object) -> object:
        try:
            return real(self, path, body)
        except DriverError:
            asked.set()
            raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cluster, "post", seen)
        thread = threading.Thread(target=lambda: drained.append(nodes.drain(cluster, ["node-2"], timeout=20.0, marks={})))
        thread.start()
        assert asked.wait(10.0)
        assert pod in pod_uids(cluster).values()
        budget(2)
        thread.join()

    assert drained == [[pod]]


def test_a_drained_zone_is_all_of_its_nodes_and_pods(cluster: Cluster) -> None:
    taken = take(zone.fail("zone-c"))

    assert taken.names("node") == ["node-3"]
    assert taken.names("pod") == [on_nodes(cluster)["node-3"]]
    assert taken.bound.action.provider.arguments["zone"] == "zone-c"  # type: ignore[union-attr]


def test_nodes_are_chosen_by_what_they_host(cluster: Cluster, workload: Callable[..., str]) -> None:
    node = workload("Deployment", "guest")
    guest = k8s.deployment("guest", namespace="shop")

    assert take(k8s.drain(hosting=guest)).names("node") == [node]
    assert take(stock("drain_nodes", pod_label_selector="app=guest", pod_namespace="shop")).names("node") == [node]


# -- stock functions through the kinds -------------------------------------------------------------------------------------


def test_a_stock_cordon_is_put_back_without_a_mark(cluster: Cluster) -> None:
    taken = take(stock("cordon_node", name="node-1"))
    taken.call()

    assert taken.bitten().holds is True
    assert "annotations" not in str(taken.bound.action.provider)
    assert [one.ending for one in taken.revert()] == ["restored"]
    assert cordoned(cluster) == []


def test_a_stock_drain_is_bound_to_one_name_and_put_back(cluster: Cluster) -> None:
    before = pod_uids(cluster)
    taken = take(stock("drain_nodes", count=1, timeout=20))
    (node,) = taken.names("node")
    taken.call()

    until(lambda: taken.bitten().holds, "the drain is proven")
    assert cordoned(cluster) == [node]
    assert set(before) - set(pod_uids(cluster)) == {one.uid for one in taken.bound.targets if one.kind == "pod"}
    assert [one.ending for one in taken.revert()] == ["restored"]


def test_our_own_function_in_a_file_hits_the_nodes_that_it_names(cluster: Cluster) -> None:
    """Without ``select``, as a Chaos Toolkit file writes it."""
    taken = take(cf.toolkit("chaosfw.activities.kubernetes", "cordon_nodes", names=["node-3", "node-1"]))

    taken.call()

    assert cordoned(cluster) == taken.names("node") == ["node-1", "node-3"]


def test_a_kubeconfig_must_be_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "")

    with pytest.raises(EnvironmentTrouble, match="KUBECONFIG is not set\nhint: activities of chaosfw never fall back"):
        activities.ready_pods("myapp", namespace="shop")


# -- probes and activities -------------------------------------------------------------------------------------------------


def test_probes_say_what_is(cluster: Cluster) -> None:
    assert activities.ready_pods("myapp", namespace="shop") == 3
    assert activities.available_replicas("myapp", namespace="shop") == 3
    assert activities.rollout_is_complete("myapp", namespace="shop") is True
    assert activities.node_is_ready("node-1") is True
    assert activities.node_is_ready("node-9") is False
    nodes.cordon(cluster, "node-1")
    assert activities.node_is_ready("node-1") is False


def test_activities_work_for_stock_chaos_too(cluster: Cluster) -> None:
    """Without marks and without a run."""
    assert activities.cordon_nodes(["node-1", "node-2"]) == ["node-1", "node-2"]
    assert activities.cordon_nodes(["node-2"]) == []
    assert activities.uncordon_nodes(["node-1", "node-2", "node-3"]) == ["node-1", "node-2"]
    assert cordoned(cluster) == []
    (pod,) = activities.drain_zone("zone-a")
    assert pod.startswith("myapp-")
    assert cordoned(cluster) == ["node-1"]


# -- audit -----------------------------------------------------------------------------------------------------------------

NODE, DEPLOYMENT = nodes.path("node-1"), "/apis/apps/v1/namespaces/shop/deployments/myapp"
MARK = {"metadata": {"annotations": {marks.MARK: "x"}}}
UNMARK = {"metadata": {"annotations": {marks.MARK: None, marks.TOUCH: None}}}
SERVICE, CONFIG = "/api/v1/namespaces/shop/services/myapp", "/api/v1/namespaces/shop/configmaps/myapp"
BUDGET = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/myapp"
LABEL = "chaosfw.dev/x"
TAINT = {"key": "ours", "effect": "NoSchedule", "value": "x"}


PLANTED = [
    (NODE, {"spec": {"unschedulable": True}}, {"spec": {"unschedulable": None}}, "node node-1 · spec.unschedulable"),
    (NODE, {"spec": {"taints": [TAINT]}}, {"spec": {"taints": None}}, "node node-1 · taints"),
    (NODE, MARK, UNMARK, f"mark node node-1 · {marks.MARK}"),
    (NODE, {"metadata": {"annotations": {marks.TOUCH: "3"}}}, UNMARK, f"mark node node-1 · {marks.TOUCH}"),
    (DEPLOYMENT, {"spec": {"replicas": 2}}, {"spec": {"replicas": 3}}, "deployment shop/myapp · spec.replicas"),
    (SERVICE, {"spec": {"selector": {"x": "y"}}}, {"spec": {"selector": {"x": None}}}, "service shop/myapp · spec.selector"),
    (SERVICE, MARK, UNMARK, f"mark service shop/myapp · {marks.MARK}"),
    (
        NODE,
        {"metadata": {"labels": {"chaosfw.dev/x": "y"}}},
        {"metadata": {"labels": {"chaosfw.dev/x": None}}},
        "mark node node-1 · chaosfw.dev/x",
    ),
    (BUDGET, {"spec": {"minAvailable": 0}}, {"spec": {"minAvailable": 2}}, "poddisruptionbudget shop/myapp · spec"),
    (CONFIG, {"data": {"LOG_LEVEL": "debug"}}, {"data": {"LOG_LEVEL": "info"}}, "configmap shop/myapp · data"),
    (CONFIG, {"data": {"MORE": "x"}}, {"data": {"MORE": None}}, "configmap shop/myapp · data"),
    (DEPLOYMENT, MARK, UNMARK, f"mark deployment shop/myapp · {marks.MARK}"),
]
"""Object, residue planted on it, its taking away, and the path at which the audit has to find it."""


@pytest.mark.parametrize(
    ("path", "change", "back", "found"), PLANTED, ids=lambda value: value if isinstance(value, str) and "·" in value else ""
)
def test_the_audit_sees_each_planted_residue(cluster: Cluster, path: str, change: Any, back: Any, found: str) -> None:
    before = world()

    cluster.patch(path, change)
    after = world()
    cluster.patch(path, back)

    assert {key for key in {*before, *after} if before.get(key) != after.get(key)} == {found}
    assert world() == before


@pytest.mark.parametrize(("path", "change", "found"), [(one[0], one[1], one[3]) for one in PLANTED], ids=str)
def test_the_command_that_the_audit_names_mends_it(cluster: Cluster, path: str, change: Any, found: str) -> None:
    """Run as it is printed, by a real kubectl."""
    before = world()
    cluster.patch(path, change)

    command = mend(found, before.get(found), world().get(found))

    assert command.startswith("kubectl ")
    done = subprocess.run([kubectl_path(), *shlex.split(command)[1:]], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    assert world() == before


def test_the_audit_does_not_see_what_controllers_move(cluster: Cluster) -> None:
    before = world()
    taken = take(k8s.kill(web))
    taken.call()

    assert world() == before
