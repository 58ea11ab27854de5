"""Stock kr8s against the cluster of ``$KUBECONFIG``, where nothing moves by itself. Prints what it read, a line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kr8s
from kr8s.objects import ConfigMap, Deployment, Node, Pod, Service

NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kr8s", "namespace": "default"}, "data": {"k": "v"}}


def tell(name: str, act: Callable[[], Any]) -> None:
    try:
        print(name, act())
    except Exception as error:
        print(name, "!", type(error).__name__, error)


def watched() -> list[str]:
    for kind, seen in kr8s.watch("configmaps", namespace="default", field_selector="metadata.name=kr8s"):
        return [kind, seen.name]
    return []


def main() -> None:
    note, web = ConfigMap(NOTE), Deployment.get("web", namespace="default")
    tell("version", lambda: kr8s.version()["gitVersion"])
    tell("nodes", lambda: [node.name for node in kr8s.get("nodes")])
    tell("pods", lambda: [pod.name for pod in kr8s.get("pods", namespace="default", label_selector={"app": "web"})])
    tell("everywhere", lambda: len(list(kr8s.get("pods", namespace=kr8s.ALL))))
    tell("one", lambda: [pod.name for pod in kr8s.get("pods", "nobody", namespace="default")])
    tell("selected", lambda: [pod.name for pod in kr8s.get("pods", namespace="default", field_selector={"spec.nodeName": "n2"})])
    tell("ready", lambda: web.ready())
    tell("pods of it", lambda: [pod.name for pod in web.pods()])
    tell("service", lambda: Service.get("web", namespace="default").ready_pods())
    tell("create", note.create)
    tell("again", ConfigMap(NOTE).create)
    tell("exists", note.exists)
    tell("watch", watched)
    tell("patch", lambda: note.patch({"data": {"k": "w"}}))
    tell("json patch", lambda: note.patch([{"op": "add", "path": "/data/l", "value": "x"}], type="json"))
    tell("label", lambda: note.label(tier="front"))
    tell("annotate", lambda: note.annotate({"note": "here"}))
    tell("refresh", note.refresh)
    tell("data", lambda: dict(note.data))
    tell("delete", note.delete)
    tell("gone", note.exists)
    tell("delete again", note.delete)
    tell("scale status", lambda: web.patch({"spec": {"replicas": 2}}, subresource="scale"))
    tell("label the deployment", lambda: web.label(team="shop"))
    tell("missing", lambda: Pod.get("nobody", namespace="default", timeout=1))
    node = Node.get("n1")
    tell("cordon", node.cordon)
    tell("uncordon", node.uncordon)
    tell("taint", lambda: node.taint(key="k", value="v", effect="NoSchedule"))
    tell("resources", lambda: sum(one["name"] == "deployments" for one in kr8s.api().api_resources()))
    tell("unknown", lambda: list(kr8s.get("nothings", namespace="default")))
    tell("remove a pod", lambda: next(iter(kr8s.get("pods", namespace="default"))).delete())
    tell("remove it all", web.delete)


if __name__ == "__main__":
    main()
