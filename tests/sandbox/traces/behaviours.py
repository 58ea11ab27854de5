"""
The behaviours on which clients lean, by bare requests: each story is one of those that `protocols/sandbox.md` names.

Two of the fifteen there, rollouts and the loss of nodes, are the work of controllers, and compared in ``tests/sandbox/upstream``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.sandbox.traces import world
from tests.sandbox.traces.acting import APPLY, JSON, MERGE, STRATEGIC, Actor
from tests.sandbox.traces.between import Object
from tests.sandbox.traces.world import APPS, CORE, POLICY, deployment, pod_spec, service

MAPS, PODS, DEPLOYMENTS = f"{CORE}/configmaps", f"{CORE}/pods", f"{APPS}/deployments"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"


def note(actor: Actor, name: str = "a", **fields: Any) -> Object:
    return actor.create(MAPS, "ConfigMap", name, **{"data": {"k": "v"}, **fields})


def writes_without_effect(actor: Actor) -> None:
    made = note(actor)
    actor.ask("PUT", f"{MAPS}/a", made)
    actor.ask("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, MERGE)
    actor.ask("PATCH", f"{MAPS}/a", {"data": {"k": "v"}}, STRATEGIC)
    actor.ask("PATCH", f"{MAPS}/a", [{"op": "test", "path": "/data/k", "value": "v"}], "application/json-patch+json")
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    for _ in range(2):
        actor.ask("PATCH", f"{MAPS}/a", applied, APPLY, fieldManager="me")
    actor.ask("GET", MAPS, watch="1", resourceVersion=made["metadata"]["resourceVersion"], timeoutSeconds="1")


def conflicts_and_preconditions(actor: Actor) -> None:
    made = note(actor)
    note(actor)
    stale = made["metadata"]["resourceVersion"]
    actor.ask("PATCH", f"{MAPS}/a", {"data": {"k": "w"}}, MERGE)
    actor.ask("PUT", f"{MAPS}/a", made)
    actor.ask("PATCH", f"{MAPS}/a", {"metadata": {"resourceVersion": stale}, "data": {"k": "x"}}, MERGE)
    actor.ask("PUT", f"{MAPS}/a", {**made, "metadata": {"name": "a", "uid": "another"}})
    actor.ask("PUT", f"{MAPS}/a", {**made, "metadata": {"name": "b"}})
    actor.ask("PUT", f"{MAPS}/nobody", {**made, "metadata": {"name": "nobody", "resourceVersion": stale}})
    actor.ask("PUT", f"{MAPS}/new", {**made, "metadata": {"name": "new"}})
    actor.ask("PUT", f"{MAPS}/a", {**made, "metadata": {"name": "a"}, "data": {"k": "y"}})
    for preconditions in ({"uid": "another"}, {"resourceVersion": stale}, {"uid": made["metadata"]["uid"]}):
        actor.ask("DELETE", f"{MAPS}/a", {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions})
    actor.ask("DELETE", f"{MAPS}/a")
    actor.ask("POST", MAPS, {"metadata": {"name": "z", "resourceVersion": "5"}})
    actor.ask("POST", MAPS, {"metadata": {"name": "z", "namespace": "other"}})
    actor.ask("POST", MAPS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "z"}})
    actor.ask("POST", "/api/v1/namespaces/nobody/configmaps", {"metadata": {"name": "z"}})


def starts_of_watches(actor: Actor) -> None:
    first = note(actor)["metadata"]["resourceVersion"]
    actor.ask("PATCH", f"{MAPS}/a", {"data": {"k": "w"}}, MERGE)
    note(actor, "b")
    actor.ask("DELETE", f"{MAPS}/b")
    only = {"watch": "1", "timeoutSeconds": "1", "fieldSelector": "metadata.namespace=default"}
    for start in ({}, {"resourceVersion": "0"}, {"resourceVersion": first}, {"resourceVersion": "soon"}):
        actor.ask("GET", MAPS, **only, **start)
    initial = {**only, "sendInitialEvents": "true", "allowWatchBookmarks": "true"}
    for start in (
        {"resourceVersionMatch": "NotOlderThan"},
        {"resourceVersionMatch": "NotOlderThan", "resourceVersion": first},
        {"resourceVersionMatch": "Exact", "resourceVersion": first},
        {},
    ):
        actor.ask("GET", MAPS, **initial, **start)
    actor.ask("GET", MAPS, watch="1", timeoutSeconds="1", resourceVersion=first, limit="1")
    actor.ask("GET", f"{MAPS}/a", watch="1", timeoutSeconds="1")
    actor.ask("GET", "/api/v1/watch/namespaces/default/configmaps/a", watch="1", timeoutSeconds="1", resourceVersion=first)
    for match in ("NotOlderThan", "Exact", "Sometimes"):
        actor.ask("GET", MAPS, resourceVersionMatch=match)
        actor.ask("GET", MAPS, resourceVersionMatch=match, resourceVersion="0")


def selections(actor: Actor) -> None:
    since = note(actor, metadata={"labels": {"app": "web"}})["metadata"]["resourceVersion"]
    actor.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"app": "other"}}}, MERGE)
    actor.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"app": "web"}}}, MERGE)
    actor.ask("PATCH", f"{MAPS}/a", {"data": {"k": "w"}}, MERGE)
    actor.ask("DELETE", f"{MAPS}/a")
    for selector in ("app=web", "app!=web", "app in (web, other)", "!app", "app notin (web)"):
        actor.ask("GET", MAPS, labelSelector=selector, watch="1", timeoutSeconds="1", resourceVersion=since)
    for selector in ("app=web=x", "app in web", "a b", "-a=b", "app in ()"):
        actor.ask("GET", MAPS, labelSelector=selector)
    for selector in ("metadata.name=a", "metadata.name!=a", "data.k=v", "metadata.name"):
        actor.ask("GET", MAPS, fieldSelector=selector)


def pages(actor: Actor) -> None:
    for name in "abcde":
        note(actor, name)
    some = {"labelSelector": "!internal", "fieldSelector": "metadata.name!=kube-root-ca.crt"}
    found = actor.ask("GET", MAPS, limit="2", **some)
    note(actor, "bb")
    actor.ask("DELETE", f"{MAPS}/d")
    found = actor.ask("GET", MAPS, limit="2", **{**some, "continue": found["metadata"]["continue"]})
    actor.ask("GET", MAPS, limit="2", **{**some, "continue": found["metadata"].get("continue", "")})
    actor.ask("GET", MAPS, limit="2", **{**some, "continue": "nonsense"})
    actor.ask("GET", MAPS, limit="2", **{**some, "continue": "NQ"})
    actor.ask("GET", MAPS, limit="-1")
    actor.ask("GET", MAPS, limit="some")


def status_apart(actor: Actor) -> None:
    made = actor.ask("POST", DEPLOYMENTS, {**deployment(), "status": {"replicas": 7}})
    actor.ask("PUT", f"{DEPLOYMENTS}/web", {**made, "status": {"replicas": 7}})
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"status": {"replicas": 7}}, MERGE)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web/status", {"spec": {"replicas": 9}, "status": {"replicas": 3}}, MERGE)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web/status", {"metadata": {"labels": {"x": "y"}}}, MERGE)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web/status", {"status": {"replicas": -1}}, MERGE)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 4}}, MERGE)
    for method, body in (("GET", None), ("PATCH", {"spec": {"replicas": 2}}), ("PATCH", {"spec": {"replicas": -2}})):
        actor.ask(method, f"{DEPLOYMENTS}/web/scale", body, MERGE if body else JSON)
    actor.ask("GET", f"{DEPLOYMENTS}/web/status")
    actor.ask("GET", f"{MAPS}/a/status")


def directives(actor: Actor) -> None:
    made = deployment()
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    actor.ask("POST", DEPLOYMENTS, made)
    env = {"name": "app", "env": [{"name": "B", "$patch": "delete"}, {"name": "C", "value": "3"}]}
    for containers in (
        [env],
        [{"name": "app", "$setElementOrder/env": [{"name": "C"}, {"name": "A"}], "env": [{"name": "A", "value": "4"}]}],
        [{"name": "side", "image": "side:1"}],
        [{"name": "side", "$patch": "delete"}],
        [{"$patch": "replace"}, {"name": "app", "image": "other:1"}],
        [{"image": "nameless:1"}],
    ):
        actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": containers}}}}, STRATEGIC)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, STRATEGIC)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"a": "b"}, "finalizers": ["x.io/a"]}}, STRATEGIC)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"]}}, STRATEGIC)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"metadata": {"labels": {"$patch": "replace", "c": "d"}}}, STRATEGIC)


def minimal(actor: Actor) -> None:
    """What a server fills in."""
    container = {"name": "app", "image": "stand-in"}
    probe = {"httpGet": {"port": 8000}}
    actor.create(PODS, "Pod", "bare", spec={"containers": [container]})
    full = {
        **container,
        "image": "stand-in:1",
        "readinessProbe": probe,
        "resources": {"limits": {"cpu": "1"}},
        "ports": [{"containerPort": 80}],
    }
    volumes = [{"name": "v", "configMap": {"name": "a"}}, {"name": "w", "emptyDir": {}}, {"name": "x", "secret": {"secretName": "s"}}]
    actor.create(PODS, "Pod", "full", spec={"containers": [full], "initContainers": [{"name": "i", "image": "i"}], "volumes": volumes})
    template = {"metadata": {"labels": {"app": "m"}}, "spec": {"containers": [container]}}
    selected = {"selector": {"matchLabels": {"app": "m"}}, "template": template}
    for kind in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        actor.create(f"{APPS}/{kind.lower()}s", kind, "m", "apps/v1", spec=selected)
    job = {"template": {"spec": {"containers": [container], "restartPolicy": "Never"}}}
    actor.create("/apis/batch/v1/namespaces/default/jobs", "Job", "m", "batch/v1", spec=job)
    often = {"schedule": "* * * * *", "jobTemplate": {"spec": job}}
    actor.create("/apis/batch/v1/namespaces/default/cronjobs", "CronJob", "m", "batch/v1", spec=often)
    for spec in ({"ports": [{"port": 80}]}, {"type": "NodePort", "ports": [{"port": 80}]}, {"clusterIP": "None", "ports": [{"port": 80}]}):
        actor.ask("POST", f"{CORE}/services", {"metadata": {"generateName": "s-"}, "spec": {**spec, "selector": {"app": "m"}}})
    actor.create("/api/v1/nodes", "Node", "n")
    actor.create("/api/v1/namespaces", "Namespace", "m")
    actor.create(f"{CORE}/secrets", "Secret", "m", stringData={"a": "b"})
    actor.create(f"{CORE}/persistentvolumeclaims", "PersistentVolumeClaim", "m", spec=CLAIM)
    actor.create(f"{POLICY}/poddisruptionbudgets", "PodDisruptionBudget", "m", "policy/v1", spec={"minAvailable": 1})
    hpa = {"scaleTargetRef": {"kind": "Deployment", "name": "m", "apiVersion": "apps/v1"}, "maxReplicas": 3}
    actor.create(
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", "HorizontalPodAutoscaler", "m", "autoscaling/v2", spec=hpa
    )


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def refusals(actor: Actor) -> None:
    actor.ask("POST", DEPLOYMENTS, deployment())
    for body in (
        {"spec": {"selector": {"matchLabels": {"app": "x"}}}},
        {"spec": {"template": {"metadata": {"labels": {"app": "x"}}}}},
        {"spec": {"replicas": -1}},
        {"spec": {"replicas": "two"}},
        {"spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}}},
        {"spec": {"template": {"spec": {"restartPolicy": "Never"}}}},
    ):
        actor.ask("PATCH", f"{DEPLOYMENTS}/web", body, MERGE)
    actor.create(PODS, "Pod", "p", spec=pod_spec())
    for body in ({"spec": {"nodeName": "n9"}}, {"spec": {"terminationGracePeriodSeconds": 9}}, {"spec": {"hostNetwork": True}}):
        actor.ask("PATCH", f"{PODS}/p", body, MERGE)
    for spec in ({}, {"containers": []}, {"containers": [{"name": "A_", "image": ""}]}, {"containers": [{"name": "a"}, {"name": "a"}]}):
        actor.create(PODS, "Pod", "q", spec=spec)
    actor.ask("POST", f"{CORE}/services", {"metadata": {"name": "9"}, "spec": {"ports": [{"port": 0}]}})
    made = actor.ask("POST", f"{CORE}/services", service())
    actor.ask("PATCH", f"{CORE}/services/web", {"spec": {"clusterIP": "10.96.0.77"}}, MERGE)
    actor.ask("PUT", f"{CORE}/services/web", {**made, "spec": {**made["spec"], "ports": []}})
    actor.ask("POST", MAPS, {"metadata": {"name": "A_B"}})
    actor.ask("POST", MAPS, {"metadata": {}})
    actor.create(MAPS, "ConfigMap", "fixed", data={"k": "v"}, immutable=True)
    actor.ask("PATCH", f"{MAPS}/fixed", {"data": {"k": "w"}}, MERGE)
    actor.create("/api/v1/nodes", "Node", "n9", spec={"taints": [{"key": "k", "effect": "Sometimes"}]})
    for validation in ("Strict", "Warn", "Ignore", "Maybe"):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "v", "lables": {}}, "dta": {}}
        actor.ask("POST", MAPS, body, fieldValidation=validation, dryRun="All")
    actor.ask("POST", MAPS, {"metadata": {"name": "d"}}, dryRun="Some")
    actor.ask("POST", MAPS, "text")
    actor.ask("POST", MAPS, {"metadata": {"name": "d"}}, "text/plain")
    actor.ask("GET", f"{CORE}/nothings")
    actor.ask("GET", "/apis/nowhere/v1/things")
    actor.ask("DELETE", "/api/v1/namespaces/default/bindings")
    actor.ask("DELETE", "/api/v1/namespaces")


def deletions(actor: Actor) -> None:
    made = actor.ask("POST", DEPLOYMENTS, deployment())
    since = made["metadata"]["resourceVersion"]
    note(actor, metadata={"finalizers": ["x.io/hold"]})
    actor.ask("DELETE", f"{MAPS}/a")
    actor.ask("DELETE", f"{MAPS}/a")
    actor.ask("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": ["x.io/hold", "x.io/more"]}}, MERGE)
    actor.ask("PATCH", f"{MAPS}/a", {"metadata": {"labels": {"still": "here"}}}, MERGE)
    actor.ask("PATCH", f"{MAPS}/a", {"metadata": {"finalizers": None}}, MERGE)
    actor.ask("GET", f"{MAPS}/a")
    for propagation in ("Foreground", "Orphan", "Background", "Sideways"):
        actor.ask("POST", DEPLOYMENTS, deployment(propagation.lower()))
        actor.ask("DELETE", f"{DEPLOYMENTS}/{propagation.lower()}", {"propagationPolicy": propagation})
        actor.ask("GET", f"{DEPLOYMENTS}/{propagation.lower()}")
    actor.ask("DELETE", f"{DEPLOYMENTS}/web", {"orphanDependents": True})
    actor.ask("DELETE", f"{DEPLOYMENTS}/web", {"orphanDependents": True, "propagationPolicy": "Orphan"})
    actor.ask("DELETE", f"{DEPLOYMENTS}/nobody")
    actor.create(PODS, "Pod", "p", spec={**pod_spec(), "terminationGracePeriodSeconds": 30})
    actor.ask("DELETE", f"{PODS}/p")
    for grace in (7, 9, 0):
        actor.create(PODS, "Pod", f"p{grace}", spec={**pod_spec(nodeName="n1"), "terminationGracePeriodSeconds": 30})
        actor.ask("DELETE", f"{PODS}/p{grace}", {"gracePeriodSeconds": grace})
        actor.ask("DELETE", f"{PODS}/p{grace}", {"gracePeriodSeconds": 8})
        actor.ask("DELETE", f"{PODS}/p{grace}", dryRun="All")
    actor.ask("DELETE", PODS, labelSelector="app=none")
    actor.ask("DELETE", PODS)
    actor.ask("GET", DEPLOYMENTS, watch="1", timeoutSeconds="1", resourceVersion=since)


def a_namespace_ends(actor: Actor) -> None:
    actor.create("/api/v1/namespaces", "Namespace", "shop")
    actor.create("/api/v1/namespaces/shop/configmaps", "ConfigMap", "a")
    actor.ask("DELETE", "/api/v1/namespaces/shop")
    actor.ask("DELETE", "/api/v1/namespaces/shop")
    actor.create("/api/v1/namespaces/shop/configmaps", "ConfigMap", "b")
    actor.ask("PATCH", "/api/v1/namespaces/shop/configmaps/a", {"data": {"k": "v"}}, MERGE)
    actor.ask("GET", "/api/v1/namespaces/shop")
    actor.ask("DELETE", "/api/v1/namespaces/shop/configmaps/a")
    ended = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "spec": {"finalizers": []}}
    actor.ask("PUT", "/api/v1/namespaces/shop/finalize", ended)
    actor.ask("GET", "/api/v1/namespaces/shop")
    actor.ask("DELETE", "/api/v1/namespaces/default")


def evictions(actor: Actor) -> None:
    world.build(actor)
    first, second, third = (f"{PODS}/web-{world.HASH}-{number}" for number in (1, 2, 3))
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first.rpartition("/")[2], "namespace": "default"}}
    world.allowed_budget(actor, 0)
    actor.ask("POST", f"{first}/eviction", body)
    actor.ask("POST", f"{first}/eviction", body, dryRun="All")
    actor.ask("POST", f"{first}/eviction", {**body, "metadata": {"name": "another"}})
    actor.ask("POST", f"{PODS}/nobody/eviction", {**body, "metadata": {"name": "nobody"}})
    world.allowed(actor, 1)
    actor.ask("POST", f"{first}/eviction", body, dryRun="All")
    actor.ask("POST", f"{first}/eviction", body)
    actor.ask("GET", f"{POLICY}/poddisruptionbudgets/web")
    actor.ask("POST", f"{second}/eviction", {"metadata": {"name": second.rpartition("/")[2]}})
    more = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "more"}, "spec": world.budget(1)["spec"]}
    actor.ask("POST", f"{POLICY}/poddisruptionbudgets", more)
    actor.ask("POST", f"{third}/eviction", {"metadata": {"name": third.rpartition("/")[2]}})
    actor.ask("DELETE", f"{POLICY}/poddisruptionbudgets/more")
    unready = {"conditions": [world.condition("Ready", "False")]}
    actor.status(third, unready)
    for policy in ("IfHealthyBudget", "AlwaysAllow"):
        actor.ask("PATCH", f"{POLICY}/poddisruptionbudgets/web", {"spec": {"unhealthyPodEvictionPolicy": policy}}, MERGE)
        actor.ask("POST", f"{third}/eviction", {"metadata": {"name": third.rpartition("/")[2]}})


def tables(actor: Actor) -> None:
    world.build(actor)
    actor.accept = TABLE
    for path in (
        "/api/v1/nodes",
        PODS,
        DEPLOYMENTS,
        f"{APPS}/replicasets",
        f"{CORE}/services",
        f"{CORE}/events",
        MAPS,
        "/api/v1/namespaces",
    ):
        actor.ask("GET", path)
    actor.ask("GET", f"{PODS}/web-{world.HASH}-1", includeObject="Object")
    actor.ask("GET", PODS, limit="1", includeObject="None")
    actor.ask("GET", f"{PODS}/nobody")
    actor.ask("GET", PODS, watch="1", timeoutSeconds="1")
    actor.accept = PARTIAL
    actor.ask("GET", f"{PODS}/web-{world.HASH}-1")


def applies(actor: Actor) -> None:
    def apply(name: str, manager: str, data: Object, **query: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        actor.ask("PATCH", f"{MAPS}/{name}", body, APPLY, fieldManager=manager, **query)

    apply("a", "me", {"k": "v", "l": "w"})
    apply("a", "you", {"k": "v"})
    apply("a", "you", {"k": "x"})
    apply("a", "you", {"k": "x"}, force="true")
    apply("a", "me", {"l": "w"})
    apply("a", "me", {})
    actor.ask("PATCH", f"{MAPS}/a", {"data": {"k": "z"}}, MERGE, fieldManager="third")
    apply("a", "you", {"k": "x"})
    apply("a", "you", {"k": "x"}, dryRun="All", force="true")
    body = deployment()
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", body, APPLY, fieldManager="me")
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "side:1"})
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", body, APPLY, fieldManager="me")
    body["spec"]["template"]["spec"]["containers"].pop(0)
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", body, APPLY, fieldManager="you")
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {**body, "metadata": {"name": "else"}}, APPLY, fieldManager="you")
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {**body, "metadata": {"name": "web", "managedFields": []}}, APPLY, fieldManager="you")
    actor.ask("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 5}}, APPLY, fieldManager="you", force="true")


BEHAVIOURS: Final[Mapping[str, Callable[[Actor], None]]] = {
    "writes without effect": writes_without_effect,
    "conflicts and preconditions": conflicts_and_preconditions,
    "starts of watches": starts_of_watches,
    "selections": selections,
    "pages": pages,
    "status apart": status_apart,
    "directives": directives,
    "minimal objects": minimal,
    "refusals": refusals,
    "deletions": deletions,
    "a namespace ends": a_namespace_ends,
    "evictions": evictions,
    "tables": tables,
    "applies": applies,
}
