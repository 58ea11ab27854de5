"""
The stock ``kubernetes`` Python client against the cluster of ``$KUBECONFIG``, typed models and all: run as a program, because
the client freezes that variable at import. Prints one JSON object of what it read.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from kubernetes import client, config, watch

PLACE = "default"


def main() -> None:
    config.load_kube_config()
    core, apps, policy = client.CoreV1Api(), client.AppsV1Api(), client.PolicyV1Api()
    found: dict[str, Any] = {
        "nodes": sorted(node.metadata.name for node in core.list_node().items),
        "pods": len(core.list_namespaced_pod(PLACE, label_selector="app=web").items),
        "ready": apps.read_namespaced_deployment("web", PLACE).status.ready_replicas,
        "sets": len(apps.list_namespaced_replica_set(PLACE).items),
        "slices": len(client.DiscoveryV1Api().list_namespaced_endpoint_slice(PLACE).items[0].endpoints),
        "endpoints": len(core.read_namespaced_endpoints("web", PLACE).subsets[0].addresses),
        "allowed": policy.read_namespaced_pod_disruption_budget("web", PLACE).status.disruptions_allowed,
        "events": bool(core.list_namespaced_event(PLACE).items),
        "namespaces": sorted(one.metadata.name for one in core.list_namespace().items),
        "version": client.VersionApi().get_code().minor,
        "scale": apps.patch_namespaced_deployment_scale("web", PLACE, {"spec": {"replicas": 4}}).spec.replicas,
        "dry": core.create_namespaced_config_map(PLACE, {"metadata": {"name": "x"}, "data": {"a": "b"}}, dry_run="All").data,
        "pages": _pages(core),
    }
    follower = watch.Watch()
    for event in follower.stream(apps.list_namespaced_deployment, PLACE, timeout_seconds=8):
        found["watched"] = event["object"].status.available_replicas
        if found["watched"] == 4:
            follower.stop()
    json.dump(found, sys.stdout)


def _pages(core: Any) -> int:
    count, token = 0, None
    while True:
        page = core.list_namespaced_pod(PLACE, limit=1, _continue=token)
        count, token = count + 1, page.metadata._continue
        if not token:
            return count


if __name__ == "__main__":
    main()
