"""
A small cluster that stands still: two nodes, a deployment with its replica set and three ready pods, a service in front. Written by
bare requests where controllers and kubelets would write, so that everything that clients see of it is the same each time.
"""

from __future__ import annotations

from typing import Any

from tests.sandbox.traces.acting import Actor
from tests.sandbox.traces.between import Object

CORE, APPS, POLICY = "/api/v1/namespaces/default", "/apis/apps/v1/namespaces/default", "/apis/policy/v1/namespaces/default"
SINCE = "2026-01-01T00:00:00Z"
HASH = "6b8f9c5d7"
NODES = ("n1", "n2")


def pod_spec(image: str = "stand-in:1", **fields: Any) -> Object:
    container = {"name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8000}]}
    return {"containers": [container], "terminationGracePeriodSeconds": 0, **fields}


def deployment(name: str = "web", *, replicas: int = 3, **spec: Any) -> Object:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod_spec()}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


def service(name: str = "web") -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
    }


def condition(kind: str, status: str = "True", reason: str = "AsWritten") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": "written by a test", "lastTransitionTime": SINCE}


def build(actor: Actor) -> None:
    for name in NODES:
        actor.create("/api/v1/nodes", "Node", name, metadata={"labels": {"kubernetes.io/hostname": name}})
        ready = {**condition("Ready", reason="KubeletReady"), "lastHeartbeatTime": SINCE}
        actor.status(f"/api/v1/nodes/{name}", {"conditions": [ready], "addresses": [{"type": "InternalIP", "address": "10.89.0.10"}]})
        actor.ask("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}}, "application/merge-patch+json")
    made = actor.ask("POST", f"{APPS}/deployments", deployment())
    replicas = replica_set(actor, made, HASH, "1", "stand-in:1")
    for number, node in enumerate(("n1", "n2", "n1"), start=1):
        pod(actor, f"web-{HASH}-{number}", node=node, owner=replicas, number=number)
    settle(actor)
    actor.ask("POST", f"{CORE}/services", service())
    endpoints(actor)
    event(actor)


def settle(actor: Actor) -> None:
    """What the deployment's controller would say of it when all is well."""
    replicas = {"replicas": 3, "readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": 3, "observedGeneration": 1}
    conditions = [{**condition(kind), "lastUpdateTime": SINCE} for kind in ("Available", "Progressing")]
    actor.status(f"{APPS}/deployments/web", {**replicas, "conditions": conditions})


def owned_by(of: Object) -> list[Object]:
    metadata = of["metadata"]
    one = {"apiVersion": of["apiVersion"], "kind": of["kind"], "name": metadata["name"], "uid": metadata["uid"]}
    return [{**one, "controller": True, "blockOwnerDeletion": True}]


def replica_set(actor: Actor, made: Object, suffix: str, revision: str, image: str, replicas: int = 3) -> Object:
    labels = {"app": "web", "pod-template-hash": suffix}
    metadata = {"labels": labels, "ownerReferences": owned_by(made), "annotations": {"deployment.kubernetes.io/revision": revision}}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(image)}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    found = actor.create(f"{APPS}/replicasets", "ReplicaSet", f"web-{suffix}", "apps/v1", metadata=metadata, spec=spec)
    count = {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas, "observedGeneration": 1}
    actor.status(f"{APPS}/replicasets/web-{suffix}", count)
    return found


def pod(actor: Actor, name: str, *, node: str, owner: Object | None = None, number: int = 9, app: str = "web") -> None:
    owners = {"ownerReferences": owned_by(owner)} if owner else {}
    spec = pod_spec(nodeName=node)
    actor.create(f"{CORE}/pods", "Pod", name, metadata={"labels": {"app": app}, **owners}, spec=spec)
    container = {
        "name": "app",
        "image": "stand-in:1",
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": number % 2,
        "state": {"running": {"startedAt": SINCE}},
    }
    address = f"10.0.0.{number}"
    conditions = [condition(kind) for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]
    where = {"podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.89.0.10", "startTime": SINCE}
    actor.status(f"{CORE}/pods/{name}", {"phase": "Running", **where, "conditions": conditions, "containerStatuses": [container]})


def endpoints(actor: Actor) -> None:
    actor.create(
        "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
        "EndpointSlice",
        "web-1",
        "discovery.k8s.io/v1",
        metadata={"labels": {"kubernetes.io/service-name": "web"}},
        addressType="IPv4",
        endpoints=[{"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "nodeName": "n1"}],
        ports=[{"name": "", "port": 8000, "protocol": "TCP"}],
    )


def event(actor: Actor) -> None:
    actor.create(
        f"{CORE}/events",
        "Event",
        "web.1",
        involvedObject={"apiVersion": "v1", "kind": "Pod", "name": f"web-{HASH}-1", "namespace": "default"},
        reason="Started",
        message="Started container app",
        type="Normal",
        count=3,
        firstTimestamp=SINCE,
        lastTimestamp=SINCE,
        source={"component": "kubelet", "host": "n1"},
    )


def budget(minimum: int) -> Object:
    spec = {"minAvailable": minimum, "selector": {"matchLabels": {"app": "web"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "default"}, "spec": spec}


def allowed(actor: Actor, count: int) -> None:
    """What the budget's controller would say."""
    told = {"disruptionsAllowed": count, "currentHealthy": 3, "desiredHealthy": 3 - count, "expectedPods": 3, "observedGeneration": 1}
    actor.status(f"{POLICY}/poddisruptionbudgets/web", told)


def allowed_budget(actor: Actor, count: int) -> None:
    actor.ask("POST", f"{POLICY}/poddisruptionbudgets", budget(3 - count))
    allowed(actor, count)
