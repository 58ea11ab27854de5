"""Stock kr8s against the cluster of ``$KUBECONFIG``, run as a program. Prints one JSON object of what it did and read."""

from __future__ import annotations

import json
import sys
import urllib.request
import warnings
from typing import Any

warnings.simplefilter("ignore")  # it warns that Kubernetes 1.37 is newer than it knows

import kr8s  # noqa: E402
from kr8s.objects import ConfigMap, Deployment, Node, Pod  # noqa: E402

WORK = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "kr8s", "namespace": "default"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"app": "kr8s"}},
        "template": {
            "metadata": {"labels": {"app": "kr8s"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "app", "image": "work:1", "ports": [{"containerPort": 8000}]}],
            },
        },
    },
}


def main() -> None:
    found: dict[str, Any] = {"nodes": len(list(kr8s.get("nodes")))}
    work = Deployment(WORK)
    work.create()
    work.wait("condition=Available", timeout=60)
    found["exists"] = work.exists()
    work.scale(2)
    work.wait("jsonpath='{.status.readyReplicas}'=2", timeout=60)
    pods = list(kr8s.get("pods", namespace="default", label_selector="app=kr8s"))
    found["pods"] = len(pods)
    found["owned"] = sorted(pod.labels["app"] for pod in work.pods())
    pod: Pod = pods[0]
    pod.label({"tier": "back"})
    pod.annotate({"note": "x"})
    pod.refresh()
    found["marked"] = [pod.labels["tier"], pod.annotations["note"]]
    done = pod.exec(["sh", "-c", "echo out; echo err >&2"], container="app")
    found["exec"] = [done.stdout.decode(), done.stderr.decode(), done.returncode]
    with pod.portforward(remote_port=8000, local_port="auto") as port, urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        found["forwarded"] = answer.headers["X-Chaosfw-Pod"] == pod.name
    found["logs"] = isinstance("".join(pod.logs(container="app")), str)
    work.patch({"metadata": {"labels": {"team": "shop"}}})
    work.patch([{"op": "add", "path": "/metadata/annotations/more", "value": "y"}], type="json")
    found["patched"] = [work.labels["team"], work.annotations["more"]]
    note = ConfigMap({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kr8s", "namespace": "default"}, "data": {"k": "v"}})
    note.create()
    for kind, seen in kr8s.watch("configmaps", namespace="default", field_selector="metadata.name=kr8s"):
        found["watched"] = [kind, seen.data.to_dict() if hasattr(seen.data, "to_dict") else dict(seen.data)]
        break
    note.delete()
    note.wait("delete", timeout=60)
    found["gone"] = not note.exists()
    node = Node.get("node-1")
    node.cordon()
    node.refresh()
    found["cordoned"] = node.unschedulable
    node.uncordon()
    try:
        Pod.get("nobody", namespace="default", timeout=1)
    except kr8s.NotFoundError:
        found["missing"] = "NotFoundError"
    work.delete()
    work.wait("delete", timeout=60)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
