"""
Calls every probe and every action of stock chaosk8s against the cluster of ``$KUBECONFIG`` and records what it sends and gets.

Run as a program, because the kubernetes client freezes that variable at import; the door that is watched is the client's own,
in this process, and chaosk8s is not touched but for the length of one pause. Prints one JSON object: the ``requests`` (see
:class:`Request`), the functions ``uncalled`` and ``silent`` (they sent nothing), and the calls that ``failed``, with the error.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pkgutil import walk_packages
from typing import Any

import chaosk8s
import urllib3
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from kubernetes.watch import Watch

WEB, FOO, BAR = "app=web", ("ex.io", "v1", "foos"), ("ex.io", "v1", "bars")


@dataclass
class Request:
    """One request: what was asked, what came, and how the client's own models took it (empty: they accepted it)."""

    method: str
    template: str
    query: str
    media: str
    status: int = 0
    version: str = ""
    kind: str = ""
    refused: str = ""


class Recorder:
    """Stands in the client's one door for requests, and looks at everything that comes through it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._send = ApiClient._ApiClient__call_api
        self._open = urllib3.PoolManager.request
        self._unmarshal = Watch.unmarshal_event

    def watch(self) -> None:
        recorder = self

        def call(client: Any, template: str, method: str, *arguments: Any, **named: Any) -> Any:
            query = sorted(name for name, _ in arguments[1] or ())
            made = Request(method, template, ",".join(query), "-")
            recorder.requests.append(made)
            types, preloaded = arguments[6] or {}, arguments[10]
            try:
                answer = recorder._send(client, template, method, *arguments, **named)
            except ApiException as error:
                _took(made, error.body)
                raise
            except Exception as error:
                made.refused = f"{type(error).__name__}: {error}"
                raise
            if not preloaded and "watch" not in query:
                answer = _again(answer)
                _took(made, answer.data)
                try:
                    client.deserialize(answer, types.get(answer.status))
                except Exception as error:
                    made.refused = f"{type(error).__name__}: {error}"
                answer = _again(answer)
            return answer

        def opened(pool: Any, method: str, url: str, **named: Any) -> Any:
            answer = recorder._open(pool, method, url, **named)
            made = recorder.requests[-1]
            made.status = answer.status
            made.media = named["headers"]["Content-Type"] if named.get("body") is not None else "-"
            if named.get("preload_content"):
                _took(made, answer.data)
            return answer

        def event(watcher: Any, data: Any, return_type: Any) -> Any:
            made = recorder.requests[-1]
            try:
                found = recorder._unmarshal(watcher, data, return_type)
            except Exception as error:
                made.refused = f"{type(error).__name__}: {error}"
                raise
            if found is not None and not made.kind:
                made.version, made.kind = found["raw_object"]["apiVersion"], f"{found['type']} {found['raw_object']['kind']}"
            return found

        ApiClient._ApiClient__call_api = call
        urllib3.PoolManager.request = opened
        Watch.unmarshal_event = event


def _took(made: Request, body: Any) -> None:
    """What kind of thing an answer says it is; ``text`` for what is no JSON."""
    try:
        found = json.loads(body)
        made.version, made.kind = found["apiVersion"], found["kind"]
    except (ValueError, TypeError, KeyError):
        made.kind = "text"


def _again(answer: Any) -> Any:
    """An answer that has been read, once more from its beginning: some read it as a stream."""
    body = io.BytesIO(answer.data)
    return urllib3.HTTPResponse(body, headers=answer.headers, status=answer.status, reason=answer.reason, preload_content=False)


def in_file(obj: dict[str, Any]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as out:
        json.dump(obj, out)
    return out.name


def workload(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def plain(kind: str, name: str, version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **fields}


def foo(name: str, size: int = 1, kind: str = "Foo") -> dict[str, Any]:
    return plain(kind, name, "ex.io/v1", spec={"a": size})


POLICY = plain("NetworkPolicy", "p", "networking.k8s.io/v1", spec={"podSelector": {}, "policyTypes": ["Ingress"]})
INGRESS = plain("Ingress", "ing", "networking.k8s.io/v1", spec={"rules": [{"host": "a"}]})
SERVICE = plain("Service", "s2", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})

Call = tuple[str, list[Any], dict[str, Any]]


def call(function: str, *arguments: Any, **named: Any) -> Call:
    return function, list(arguments), named


CALLS: list[Call] = [
    # looking
    call("pod.probes.pods_in_phase", WEB),
    call("pod.probes.pods_not_in_phase", WEB, phase="Failed"),
    call("pod.probes.pods_in_conditions", WEB, [{"type": "Ready", "status": "True"}]),
    call("pod.probes.count_pods", WEB, phase="Running"),
    call("pod.probes.count_min_pods", WEB),
    call("pod.probes.pod_is_not_available", "nope"),
    call("pod.probes.read_pod_logs", label_selector=WEB, last="10 minutes"),
    call("pod.probes.read_pod_logs", label_selector=WEB, container_name="app", from_previous=True),
    call("pod.probes.should_be_found_in_logs", "x", value={"a": "x"}),
    call("probes.all_microservices_healthy"),
    call("probes.microservice_available_and_healthy", "web"),
    call("probes.microservice_is_not_available", "nope"),
    call("probes.service_endpoint_is_initialized", "web"),
    call("probes.deployment_is_fully_available", "web", timeout=5),
    call("probes.deployment_is_not_fully_available", "web", timeout=1),
    call("probes.read_microservices_logs", label_selector=WEB),
    call("deployment.probes.deployment_available_and_healthy", "web"),
    call("deployment.probes.deployment_partially_available", "web"),
    call("deployment.probes.deployment_fully_available", "web", timeout=5),
    call("deployment.probes.deployment_not_fully_available", "web", timeout=1),
    call("node.probes.get_nodes"),
    call("node.probes.get_nodes", label_selector="a=b"),
    call("node.probes.all_nodes_must_be_ready_to_schedule"),
    call("node.probes.get_all_node_status_conditions"),
    call("node.probes.verify_nodes_condition"),
    call("node.probes.nodes_must_be_healthy"),
    call("service.probes.service_is_initialized", "web"),
    call("service.probes.service_is_initialized", label_selector=WEB, raise_if_service_not_initialized=False),
    call("event.probes.get_events", limit=5),
    # pods and nodes
    call("pod.actions.terminate_pods", label_selector=WEB, grace_period=0),
    call("pod.actions.terminate_pods", name_pattern="web-.*", qty=1, order="oldest"),
    call("pod.actions.exec_in_pods", "ls -l", label_selector=WEB, container_name="app"),
    call("node.actions.create_node", meta={"name": "n9", "labels": {"a": "b"}}, spec={"unschedulable": True}),
    call("node.actions.cordon_node", name="n1"),
    call("node.actions.uncordon_node", name="n1"),
    call("node.actions.cordon_node", label_selector="a=b"),
    call("node.actions.drain_nodes", name="n1", timeout=10),
    call("node.actions.uncordon_node", name="n1"),
    call("node.actions.delete_nodes", label_selector="a=b"),
    call("node.actions.create_node", meta={"name": "n8", "labels": {"a": "b"}}),
    call("node.actions.delete_nodes", label_selector="a=b", grace_period_seconds=0),
    # workloads
    call("deployment.actions.create_deployment", in_file(workload("Deployment", "new", replicas=0))),
    call("actions.start_microservice", in_file(workload("Deployment", "newer", replicas=0))),
    call("deployment.actions.scale_deployment", "web", 2),
    call("actions.scale_microservice", "web", 3),
    call("deployment.actions.rollout_deployment", "web"),
    call("deployment.actions.delete_deployment", "new"),
    call("deployment.actions.delete_deployment", label_selector="app=newer"),
    call("replicaset.actions.delete_replica_set", label_selector=WEB),
    call("actions.kill_microservice", "web"),
    call("statefulset.actions.create_statefulset", in_file(workload("StatefulSet", "db", replicas=1, serviceName="db"))),
    call("statefulset.probes.statefulset_fully_available", "db", timeout=1),
    call("statefulset.probes.statefulset_not_fully_available", "db", timeout=1),
    call("statefulset.probes.statefulset_not_fully_available", "db", label_selector="app=db", timeout=1),
    call("statefulset.actions.scale_statefulset", "db", 2),
    call("statefulset.actions.remove_statefulset", "db"),
    call("daemonset.actions.create_daemon_set", in_file(workload("DaemonSet", "ds"))),
    call("daemonset.probes.daemon_set_fully_available", "ds", timeout=5),
    call("daemonset.probes.daemon_set_not_fully_available", "ds", timeout=1),
    call("daemonset.probes.daemon_set_available_and_healthy", "ds"),
    call("daemonset.probes.daemon_set_partially_available", "ds"),
    call("daemonset.actions.update_daemon_set", "ds", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b"}}}}}),
    call("daemonset.actions.delete_daemon_set", "ds"),
    # services, networks, secrets, namespaces
    call("service.actions.create_service_endpoint", in_file(SERVICE)),
    call("service.actions.delete_service", "s2"),
    call("actions.remove_service_endpoint", "web"),
    call("networking.actions.create_ingress", in_file(INGRESS)),
    call("networking.probes.ingress_exists", "ing"),
    call("networking.actions.update_ingress", "ing", {"spec": {"ingressClassName": "x"}}),
    call("networking.actions.delete_ingress", "ing"),
    call("networking.actions.create_network_policy", spec=POLICY),
    call("networking.actions.remove_network_policy", "p"),
    *(call(f"networking.actions.{what}", {"app": "web"}) for what in ("deny_all_ingress", "deny_all_egress", "allow_dns_access")),
    *(call(f"networking.actions.remove_{what}") for what in ("deny_all_ingress", "deny_all_egress", "allow_dns_access")),
    call("secret.actions.create_secret", in_file(plain("Secret", "z", stringData={"a": "b"}))),
    call("secret.probes.secret_exists", "z"),
    call("probes.secret_exists", label_selector="a=b"),
    call("secret.actions.delete_secret", "z"),
    call("namespace.actions.create_namespace", "x"),
    call("namespace.probes.namespace_exists", "x"),
    call("namespace.actions.delete_namespace", "x"),
    call("namespace.actions.delete_namespace", "default"),
    # custom resources
    call("crd.actions.create_custom_object", *FOO, "default", foo("f1")),
    call("crd.actions.patch_custom_object", *FOO, "f1", "default", resource=[{"op": "replace", "path": "/spec/a", "value": 2}]),
    call("crd.actions.patch_custom_object", *FOO, "f1", "default", resource={"spec": {"a": 3}}),
    call("crd.actions.replace_custom_object", *FOO, "f1", "default", resource=foo("f1", 4)),
    call("crd.probes.get_custom_object", *FOO, "f1"),
    call("crd.probes.list_custom_objects", *FOO),
    call("crd.actions.delete_custom_object", *FOO, "f1"),
    call("crd.actions.apply_from_json", json.dumps(foo("f2"))),
    call("crd.actions.apply_from_yaml", json.dumps(foo("f3"))),
    call("crd.actions.create_cluster_custom_object", *BAR, foo("b1", kind="Bar")),
    call("crd.actions.patch_cluster_custom_object", *BAR, "b1", resource=[{"op": "replace", "path": "/spec/a", "value": 2}]),
    call("crd.actions.replace_cluster_custom_object", *BAR, "b1", resource=foo("b1", 4, "Bar")),
    call("crd.probes.get_cluster_custom_object", *BAR, "b1"),
    call("crd.probes.get_cluster_custom_object", *BAR, "nope"),
    call("crd.probes.list_cluster_custom_objects", *BAR),
    call("crd.actions.delete_cluster_custom_object", *BAR, "b1"),
    call("crd.actions.create_cluster_custom_object", *FOO, foo("f4")),
    call("crd.probes.list_cluster_custom_objects", *FOO),
    call("crd.probes.list_custom_objects", "nowhere.io", "v1", "foos"),
    # Chaos Mesh, whose definitions are there
    call("chaosmesh.network.actions.add_latency", "lat", latency="100ms", label_selectors=WEB),
    call("chaosmesh.network.actions.set_loss", "loss", loss="50", label_selectors=WEB),
    call("chaosmesh.network.actions.duplicate_packets", "dup", duplicate="50", label_selectors=WEB),
    call("chaosmesh.network.actions.corrupt_packets", "cor", corrupt="50", label_selectors=WEB),
    call("chaosmesh.network.actions.reorder_packets", "ord", reorder="50", gap="5", label_selectors=WEB),
    call("chaosmesh.network.actions.set_bandwidth", "bw", rate="1mbps", limit=100, buffer=10, label_selectors=WEB),
    call("chaosmesh.network.probes.get_network_faults"),
    call("chaosmesh.network.probes.get_network_fault", "lat"),
    call("chaosmesh.network.actions.delete_network_fault", "lat"),
    call("chaosmesh.stress.actions.stress_cpu", "cpu", 1, 80, label_selectors=WEB),
    call("chaosmesh.stress.actions.stress_memory", "mem", workers=1, size="64M", label_selectors=WEB),
    call("chaosmesh.stress.probes.get_stressors"),
    call("chaosmesh.stress.probes.get_stressor", "cpu"),
    call("chaosmesh.stress.actions.delete_stressor", "cpu"),
]


def functions() -> Iterator[str]:
    """Every probe and action that chaosk8s offers, by the name that an experiment file uses."""
    for module in walk_packages(chaosk8s.__path__, "chaosk8s."):
        if module.name.rpartition(".")[2] in ("actions", "probes"):
            yield from (f"{module.name.removeprefix('chaosk8s.')}.{name}" for name in import_module(module.name).__all__)


def made(name: str) -> Callable[..., Any]:
    module, _, function = name.rpartition(".")
    found: Callable[..., Any] = getattr(import_module(f"chaosk8s.{module}"), function)
    return found


def main() -> None:
    pause = time.sleep
    time.sleep = lambda seconds: pause(min(seconds, 0.1))  # chaosk8s looks every 10 s whether a drain is over
    recorder = Recorder()
    recorder.watch()
    failed: dict[str, str] = {}
    silent: list[str] = []
    for name, arguments, named in CALLS:
        before = len(recorder.requests)
        try:
            made(name)(*arguments, **named)
        except Exception as error:
            failed[f"{name} {arguments} {named}"] = f"{type(error).__name__}: {error}"[:300]
        if len(recorder.requests) == before:
            silent.append(name)
    json.dump(
        {
            "requests": [asdict(one) for one in recorder.requests],
            "uncalled": sorted(set(functions()) - {name for name, _, _ in CALLS}),
            "silent": sorted(set(silent)),
            "failed": failed,
        },
        sys.stdout,
        indent=1,
    )


if __name__ == "__main__":
    main()
