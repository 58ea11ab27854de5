"""
Stock chaosk8s against the cluster of ``$KUBECONFIG``: run as a program, because the kubernetes client freezes that variable
at import. Prints one JSON object: the answer of each call, or ``!`` and the error, by the call's name.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from chaosk8s.chaosmesh.network import actions as mesh
from chaosk8s.crd import actions as crd_actions
from chaosk8s.crd import probes as crd_probes
from chaosk8s.deployment import actions as deployment_actions
from chaosk8s.deployment import probes as deployment_probes
from chaosk8s.event import probes as event_probes
from chaosk8s.namespace import actions as namespace_actions
from chaosk8s.namespace import probes as namespace_probes
from chaosk8s.networking import actions as networking_actions
from chaosk8s.node import actions as node_actions
from chaosk8s.node import probes as node_probes
from chaosk8s.pod import actions as pod_actions
from chaosk8s.pod import probes as pod_probes
from chaosk8s.replicaset import actions as replica_actions
from chaosk8s.secret import actions as secret_actions
from chaosk8s.secret import probes as secret_probes
from chaosk8s.service import actions as service_actions
from chaosk8s.service import probes as service_probes
from chaosk8s.statefulset import actions as stateful_actions
from chaosk8s.statefulset import probes as stateful_probes

WEB = "app=web"
FOO = {"apiVersion": "ex.io/v1", "kind": "Foo", "metadata": {"name": "f1"}, "spec": {"a": 1}}
STATEFUL = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "db"},
    "spec": {
        "serviceName": "db",
        "replicas": 2,
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


def in_file(obj: dict[str, Any]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as out:
        json.dump(obj, out)
    return out.name


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "z"}, "stringData": {"a": "b"}}

CALLS: dict[str, Callable[[], Any]] = {
    "pods in phase": lambda: pod_probes.pods_in_phase(WEB),
    "pods not in phase": lambda: pod_probes.pods_not_in_phase(WEB, phase="Failed"),
    "pods in conditions": lambda: pod_probes.pods_in_conditions(WEB, [{"type": "Ready", "status": "True"}]),
    "count pods": lambda: pod_probes.count_pods(WEB, phase="Running"),
    "count min pods": lambda: pod_probes.count_min_pods(WEB),
    "logs": lambda: sorted(pod_probes.read_pod_logs(label_selector=WEB, last="10 minutes").values())[0],
    "deployment fully available": lambda: deployment_probes.deployment_fully_available("web", timeout=5),
    "deployment not fully available": lambda: deployment_probes.deployment_not_fully_available("web", timeout=1),
    "deployment healthy": lambda: deployment_probes.deployment_available_and_healthy("web"),
    "terminate one": lambda: len(pod_actions.terminate_pods(label_selector=WEB, qty=1)),
    "terminate now": lambda: len(pod_actions.terminate_pods(name_pattern="web-.*", all=True, grace_period=0)),
    "scale deployment": lambda: deployment_actions.scale_deployment("web", 4),
    "rollout deployment": lambda: deployment_actions.rollout_deployment("web"),
    "cordon": lambda: node_actions.cordon_node("n1"),
    "nodes": lambda: len(json.loads(json.dumps(node_probes.get_nodes(), default=str))["items"]),
    "uncordon": lambda: node_actions.uncordon_node("n1"),
    "create node": lambda: node_actions.create_node(meta={"name": "n9", "labels": {"a": "b"}}, spec={"unschedulable": True}).metadata.name,
    "delete node": lambda: node_actions.delete_nodes(label_selector="a=b"),
    "service initialized": lambda: service_probes.service_is_initialized("web"),
    "create statefulset": lambda: stateful_actions.create_statefulset(in_file(STATEFUL)),
    "scale statefulset": lambda: stateful_actions.scale_statefulset("db", 1),
    "statefulset available": lambda: stateful_probes.statefulset_fully_available("db", timeout=20),
    "statefulset not available": lambda: stateful_probes.statefulset_not_fully_available("db", timeout=1),
    "remove statefulset": lambda: stateful_actions.remove_statefulset("db"),
    "deny ingress": lambda: networking_actions.deny_all_ingress({"app": "web"}),
    "deny egress": lambda: networking_actions.deny_all_egress({"app": "web"}),
    "allow dns": lambda: networking_actions.allow_dns_access({"app": "web"}),
    "remove deny ingress": lambda: networking_actions.remove_deny_all_ingress(),
    "create secret": lambda: secret_actions.create_secret(in_file(SECRET)),
    "secret exists": lambda: secret_probes.secret_exists("z"),
    "delete secret": lambda: secret_actions.delete_secret("z"),
    "create namespace": lambda: namespace_actions.create_namespace("x"),
    "namespace exists": lambda: namespace_probes.namespace_exists("x"),
    "delete namespace": lambda: namespace_actions.delete_namespace("x"),
    "events": lambda: len(event_probes.get_events(limit=5)["items"]),
    "unknown group": lambda: crd_probes.list_custom_objects("nowhere.io", "v1", "foos"),
    "create custom": lambda: crd_actions.create_custom_object("ex.io", "v1", "foos", "default", FOO)["spec"],
    "patch custom": lambda: crd_actions.patch_custom_object(
        "ex.io", "v1", "foos", "f1", "default", resource=[{"op": "replace", "path": "/spec/a", "value": 2}]
    )["spec"],
    "custom": lambda: crd_probes.get_custom_object("ex.io", "v1", "foos", "f1")["spec"],
    "list custom": lambda: len(crd_probes.list_custom_objects("ex.io", "v1", "foos")["items"]),
    "delete custom": lambda: crd_actions.delete_custom_object("ex.io", "v1", "foos", "f1")["status"],
    "mesh without definition": lambda: mesh.add_latency("lat", latency="100ms", label_selectors=WEB),
    "delete replicaset": lambda: replica_actions.delete_replica_set(label_selector=WEB),
    "delete service": lambda: service_actions.delete_service("web"),
    "delete deployment": lambda: deployment_actions.delete_deployment("web"),
}


def main() -> None:
    answers = {}
    for name, call in CALLS.items():
        try:
            answers[name] = call()
        except Exception as error:
            answers[name] = f"! {type(error).__name__} {error}"[:300]
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()
