"""The stock Python client, old or new, against the cluster of ``$KUBECONFIG``, where nothing moves by itself. Prints what it read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "python"}, "data": {"k": "v"}}


def tell(name: str, act: Callable[[], Any]) -> None:
    try:
        print(name, act())
    except ApiException as error:
        print(name, "!", error.status, json.loads(error.body)["message"])


def names(found: Any) -> list[str]:
    return [one.metadata.name for one in found.items]


def main() -> None:
    config.load_kube_config()
    core, apps, policy = client.CoreV1Api(), client.AppsV1Api(), client.PolicyV1Api()
    here = "default"
    tell("version", lambda: client.VersionApi().get_code().git_version)
    tell("groups", lambda: sum(group.name == "apps" for group in client.ApisApi().get_api_versions().groups))
    tell("nodes", lambda: names(core.list_node()))
    tell("pods", lambda: names(core.list_namespaced_pod(here, label_selector="app=web", limit=2)))
    tell("pod", lambda: core.read_namespaced_pod("web-6b8f9c5d7-1", here).status.phase)
    tell("missing", lambda: core.read_namespaced_pod("nobody", here))
    tell("create", lambda: core.create_namespaced_config_map(here, NOTE).data)
    tell("again", lambda: core.create_namespaced_config_map(here, NOTE))
    tell("watch", lambda: [one["type"] for one in watch.Watch().stream(core.list_namespaced_config_map, here, timeout_seconds=1)])
    tell("patch", lambda: core.patch_namespaced_config_map("python", here, {"data": {"k": "w"}}).data)
    tell("json", lambda: core.patch_namespaced_config_map("python", here, [{"op": "remove", "path": "/data/k"}]).data)
    tell("replace", lambda: core.replace_namespaced_config_map("python", here, NOTE).data)
    tell("deployment", lambda: apps.read_namespaced_deployment_status("web", here).status.ready_replicas)
    tell("scale", lambda: apps.patch_namespaced_deployment_scale("web", here, {"spec": {"replicas": 2}}).spec.replicas)
    tell("cordon", lambda: core.patch_node("n1", {"spec": {"unschedulable": True}}).spec.unschedulable)
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="web-6b8f9c5d7-1", namespace=here))
    tell("evict", lambda: core.create_namespaced_pod_eviction("web-6b8f9c5d7-1", here, eviction).metadata.name)
    budget = client.V1PodDisruptionBudget(
        metadata=client.V1ObjectMeta(name="b"),
        spec=client.V1PodDisruptionBudgetSpec(min_available="50%", selector=client.V1LabelSelector(match_labels={"app": "web"})),
    )
    tell("budget", lambda: policy.create_namespaced_pod_disruption_budget(here, budget).spec.min_available)
    tell("delete", lambda: core.delete_namespaced_config_map("python", here).status)
    tell("sweep", lambda: core.delete_collection_namespaced_pod(here, label_selector="app=none").kind)
    resources = dynamic.DynamicClient(client.ApiClient()).resources
    maps = resources.get(api_version="v1", kind="ConfigMap")
    tell("dynamic", lambda: maps.create(body=NOTE, namespace=here).data.k)
    tell("apply", lambda: maps.server_side_apply(body=NOTE, namespace=here, name="python", field_manager="py").metadata.name)
    tell("dynamic delete", lambda: maps.delete(name="python", namespace=here).status)


if __name__ == "__main__":
    main()
