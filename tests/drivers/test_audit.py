"""Each kind of residue, planted on a real API, is found, and exactly that one; what others do to the same objects is not ours."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chaosfw.drivers.kubernetes import audit, changes, deleted, lease, look, marks, nodes, published
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json
from chaosfw.safety.audit import compare
from tests.drivers.conftest import gone, until, whole_world
from tests.sandbox.apiserver.plane import kubectl_path

APPS, CORE = "/apis/apps/v1/namespaces/shop", "/api/v1/namespaces/shop"
NODE, DEPLOYMENT = nodes.path("node-1"), f"{APPS}/deployments/myapp"
SERVICE, CONFIG = f"{CORE}/services/myapp", f"{CORE}/configmaps/myapp"
BUDGET = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/myapp"
LEASES, POLICIES = "/apis/coordination.k8s.io/v1/namespaces/shop/leases", "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies"
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
MARKED = {"metadata": {"annotations": {marks.MARK: "x"}}}
MADE = {"name": "left", "namespace": "shop", "labels": {published.LABEL: "chaosfw"}}


@dataclass(frozen=True, kw_only=True)
class Left:
    """A fault that was recorded as put back, and what it left all the same."""

    path: str
    """Of the object, or of the list in which something was made."""
    found: str
    """Where the audit has to find it."""
    fault: str = ""
    subject: Target | None = None
    before: Json = None
    ours: Json = None
    patch: Json = None
    made: Json = None
    gone: bool = False

    def __str__(self) -> str:
        return self.found

    def records(self, manifest: Json) -> list[UndoRecord]:
        if self.subject is None:
            return []
        undo = Undo(
            id="r",
            run="r",
            fault=self.fault,
            environment="e",
            subject=self.subject,
            before=manifest if self.gone else self.before,
            ours=self.ours,
        )
        return [UndoRecord(undo=undo, state=UndoState.closed, ending="restored")]


def shop(kind: str) -> Target:
    return Target(kind=kind, name="myapp", namespace="shop")


def deletion(kind: str, path: str, field: str) -> Left:
    return Left(path=path, found=f"{kind} shop/myapp · {field}", fault="kubernetes.delete/1", subject=shop(kind), gone=True)


def marked(path: str, who: str) -> Left:
    return Left(path=path, found=f"mark {who} · {marks.MARK}", patch=MARKED)


def made(path: str, **body: Any) -> Left:
    return Left(path=path, found=f"mark {body['kind'].lower()} shop/left · made", made={"metadata": MADE, **body})


LEFT = [
    Left(
        path=NODE,
        found="node node-1 · spec.unschedulable",
        fault="kubernetes.cordon/1",
        subject=Target(kind="node", name="node-1"),
        patch={"spec": {"unschedulable": True}},
    ),
    Left(
        path=NODE,
        found="node node-1 · taints",
        fault="kubernetes.taint/1",
        subject=Target(kind="node", name="node-1"),
        ours={"key": "k", "value": "", "effect": "NoSchedule"},
        patch={"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}},
    ),
    Left(
        path=DEPLOYMENT,
        found="deployment shop/myapp · spec.replicas",
        fault="kubernetes.scale/1",
        subject=shop("deployment"),
        ours=2,
        patch={"spec": {"replicas": 2}},
    ),
    Left(
        path=SERVICE,
        found="service shop/myapp · spec.selector",
        fault="kubernetes.selector/1",
        subject=shop("service"),
        ours={"app": "nobody"},
        patch={"spec": {"selector": {"app": "nobody"}}},
    ),
    Left(
        path=f"{APPS}/statefulsets/db",
        found="statefulset shop/db · images",
        fault="kubernetes.image/1",
        subject=Target(kind="statefulset", name="db", namespace="shop"),
        ours={"container": "a", "image": "acme/web:none"},
        patch={"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "acme/web:none"}]}}}},
    ),
    deletion("service", SERVICE, "spec.selector"),
    deletion("configmap", CONFIG, "data"),
    deletion("poddisruptionbudget", BUDGET, "spec"),
    Left(
        path=NODE,
        found="node node-1 · spec.unschedulable",
        fault="kubernetes.delete-node/1",
        subject=Target(kind="node", name="node-1"),
        gone=True,
    ),
    marked(NODE, "node node-1"),
    marked(DEPLOYMENT, "deployment shop/myapp"),
    marked(SERVICE, "service shop/myapp"),
    marked(CONFIG, "configmap shop/myapp"),
    marked(BUDGET, "poddisruptionbudget shop/myapp"),
    marked("/api/v1/namespaces/shop", "namespace shop"),
    Left(path=NODE, found=f"mark node node-1 · {marks.TOUCH}", patch={"metadata": {"annotations": {marks.TOUCH: "3"}}}),
    Left(path=NODE, found="mark node node-1 · chaosfw.dev/x", patch={"metadata": {"labels": {"chaosfw.dev/x": "y"}}}),
    made(f"{CORE}/configmaps", apiVersion="v1", kind="ConfigMap"),
    made(LEASES, **LEASE, spec={"holderIdentity": "x"}),
    made(POLICIES, apiVersion="networking.k8s.io/v1", kind="NetworkPolicy", spec={"podSelector": {}}),
]


def plant(cluster: Cluster, left: Left) -> None:
    if left.gone:
        gone(cluster, left.path)
    elif left.made is not None:
        cluster.post(left.path, left.made)
    else:
        cluster.patch(left.path, left.patch)


@pytest.fixture
def database(cluster: Cluster) -> Iterator[None]:
    """A StatefulSet that runs nothing, for its template to be changed."""
    template = {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "a", "image": "acme/web:1"}]}}
    spec = {"replicas": 0, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": spec}
    cluster.post(f"{APPS}/statefulsets", body)
    yield
    gone(cluster, f"{APPS}/statefulsets/db")


@pytest.fixture
def shelf(cluster: Cluster, database: None) -> Iterator[Callable[[Left], Json]]:
    """Remembers an object as it was; after the test it is so again, however the test ended."""
    kept: list[tuple[Left, Json]] = []

    def keep(left: Left) -> Json:
        kept.append((left, None if left.made is not None else deleted.manifest(cluster.get(left.path))))
        return kept[-1][1]

    yield keep
    for left, manifest in kept:
        if left.made is not None:
            gone(cluster, f"{left.path}/left")
        elif cluster.find(left.path) is None:
            cluster.post(left.path.rpartition("/")[0], manifest)
    cluster.patch(DEPLOYMENT, {"spec": {"replicas": 3, "template": {"metadata": {"annotations": {"deployed": None}}}}})
    for path in (NODE, DEPLOYMENT, SERVICE, CONFIG, BUDGET, "/api/v1/namespaces/shop"):
        clean = {"annotations": {marks.MARK: None, marks.TOUCH: None}, "labels": {"chaosfw.dev/x": None}}
        cluster.patch(path, {"metadata": clean})
    cluster.patch(NODE, {"spec": {"unschedulable": None, "taints": None}})
    cluster.patch(SERVICE, {"spec": {"selector": {"app": "myapp"}}})


@pytest.mark.parametrize("left", LEFT, ids=str)
def test_each_residue_is_found_and_only_that_and_its_command_mends_it(cluster: Cluster, shelf: Callable[[Left], Json], left: Left) -> None:
    manifest, before = shelf(left), whole_world()
    plant(cluster, left)

    residue, foreign = compare(before, whole_world(), left.records(manifest))

    assert [one.partition(": was ")[0] for one in residue] == [left.found]
    assert foreign == ()
    given, _, command = residue[0].partition("(mend: ")[2].removesuffix(")").rpartition(" | ")
    text = shlex.split(given)[1] if given else None
    done = subprocess.run([kubectl_path(), *shlex.split(command)[1:]], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    assert compare(before, whole_world(), left.records(manifest)) == ((), ())


def test_a_pod_that_is_still_paused_is_found_and_its_command_lets_it_go_on(cluster: Cluster) -> None:
    name, before = look.name_of(look.pods(cluster, namespace="shop")[0]), whole_world()
    cluster.patch(f"{CORE}/pods/{name}", {"metadata": {"annotations": {changes.PAUSED_BY: "true"}}})

    residue, foreign = compare(before, whole_world(), [])

    command = f"kubectl annotate pod {name} -n shop chaosfw.dev/paused-"
    assert (residue, foreign) == ((f"mark pod shop/{name} · chaosfw.dev/paused: was None, is 'true' (mend: {command})",), ())
    subprocess.run([kubectl_path(), *command.split()[1:]], capture_output=True, timeout=60, check=True)
    assert compare(before, whole_world(), []) == ((), ())


def test_what_others_change_meanwhile_on_the_same_object_is_theirs(cluster: Cluster, shelf: Callable[[Left], Json]) -> None:
    """Our scale was put back; beside it somebody deployed, scaled to another number and made an object of theirs."""
    (scale,) = (one for one in LEFT if one.fault == "kubernetes.scale/1")
    manifest, before = shelf(scale), whole_world()
    body = {"spec": {"replicas": 4, "template": {"metadata": {"annotations": {"deployed": "now"}}}}}
    somebody = Cluster(cluster.kubeconfig, manager="somebody")
    somebody.patch(DEPLOYMENT, body)
    somebody.post(f"{CORE}/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}})

    residue, foreign = compare(before, whole_world(), scale.records(manifest))
    gone(cluster, f"{CORE}/configmaps/theirs")

    assert residue == ()
    assert [one.partition(": was ")[0] for one in foreign] == ["configmap shop/theirs · data", "deployment shop/myapp · spec.replicas"]


def test_what_a_run_published_is_no_residue_of_that_run(cluster: Cluster) -> None:
    before = whole_world()
    published.publish(cluster, run="r1", namespace="shop", undos=())
    during = whole_world()
    published.withdraw(cluster, run="r1", namespace="shop")

    assert during["published configmap shop/chaosfw-run-r1"] == "r1"
    assert compare(before, during, []) == ((), ())
    until(lambda: whole_world() == before, "it is withdrawn")


def entry(manager: str, time: str, fields: Json) -> Json:
    return {"manager": manager, "time": time, "operation": "Update", "fieldsV1": fields}


def test_the_last_writer_is_read_from_managed_fields() -> None:
    """The sandbox keeps none; the shape is that of a real server."""
    containers = {"f:containers": {'k:{"name":"a"}': {".": {}, "f:image": {}}}}
    thing = {
        "metadata": {
            "managedFields": [
                entry("helm", "2026-01-01T00:00:00Z", {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": containers}}}),
                entry("chaosfw", "2026-01-02T00:00:00Z", {"f:spec": {"f:replicas": {}}, "f:metadata": {"f:annotations": {}}}),
                entry("kube-controller-manager", "2026-01-03T00:00:00Z", {"f:status": {"f:replicas": {}}}),
            ]
        }
    }

    assert audit.last_writer(thing, audit.WRITTEN["spec.replicas"]) == "chaosfw"
    assert audit.last_writer(thing, audit.WRITTEN["images"]) == "helm"
    assert audit.last_writer(thing, audit.WRITTEN["spec.selector"]) == ""
    assert audit.last_writer({"metadata": {}}, audit.WRITTEN["data"]) == ""


def test_every_field_that_is_looked_at_has_a_place_in_managed_fields() -> None:
    assert {field for looked in audit.LOOKED_AT for field in looked.fields} == set(audit.WRITTEN)


def test_a_list_that_may_not_be_read_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Cluster.items

    def forbidding(self: Cluster, path: str, **query: Any) -> Any:
        if path.endswith("/networkpolicies"):
            raise audit.Answered(403, {"reason": "Forbidden"})
        return real(self, path, **query)

    monkeypatch.setattr(Cluster, "items", forbidding)
    seen = whole_world()

    assert seen["networkpolicy · not readable"] == 403
    assert look.nodes(cluster)


def test_who_holds_the_environment_is_no_residue(cluster: Cluster) -> None:
    before = whole_world()
    cluster.post(LEASES, {**LEASE, "metadata": {"name": lease.NAME}, "spec": {"holderIdentity": "somebody"}})
    during = whole_world()
    gone(cluster, f"{LEASES}/{lease.NAME}")

    assert during == {**before, "held lease shop/chaosfw": "somebody"}
    assert compare(before, during, []) == ((), ())
