"""Stock lightkube against the cluster of ``$KUBECONFIG``, where nothing moves by itself. Prints what it read, a line each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lightkube import ApiError, Client
from lightkube.generic_resource import create_global_resource, load_in_cluster_generic_resources
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod, Service
from lightkube.types import CascadeType, PatchType


def note(**data: str) -> ConfigMap:
    return ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="lightkube", namespace="default"), data=data)


def tell(name: str, act: Callable[[], Any]) -> None:
    try:
        found = act()
        print(name, sorted(found.items()) if isinstance(found, dict) else found)
    except ApiError as error:
        print(name, "!", error.status.code, error.status.reason, error.status.message)
    except Exception as error:
        print(name, "!", type(error).__name__)


def first(client: Client) -> list[str]:
    for kind, seen in client.watch(ConfigMap, fields={"metadata.name": "lightkube"}):
        return [kind, seen.metadata.name]
    return []


def replaced(client: Client) -> Any:
    found = client.get(ConfigMap, "lightkube")
    found.data = {"n": "o"}
    return client.replace(found).data


def main() -> None:
    client = Client(namespace="default", field_manager="lightkube")
    patch = client.patch
    tell("nodes", lambda: [node.metadata.name for node in client.list(Node)])
    tell("pods", lambda: [pod.metadata.name for pod in client.list(Pod, labels={"app": "web"}, chunk_size=2)])
    tell("not", lambda: [pod.metadata.name for pod in client.list(Pod, labels={"app": ["web", "x"]}, fields={"spec.nodeName": "n2"})])
    tell("everywhere", lambda: len(list(client.list(Pod, namespace="*"))))
    tell("service", lambda: client.get(Service, "web").spec.ports[0].port)
    tell("create", lambda: client.create(note(k="v")).data)
    tell("again", lambda: client.create(note(k="v")))
    tell("watch", lambda: first(client))
    tell("replace", lambda: replaced(client))
    tell("strategic", lambda: patch(ConfigMap, "lightkube", {"data": {"a": "1"}}, patch_type=PatchType.STRATEGIC).data)
    tell("merge", lambda: patch(ConfigMap, "lightkube", {"data": {"a": None}}, patch_type=PatchType.MERGE).data)
    tell("json", lambda: patch(ConfigMap, "lightkube", [{"op": "remove", "path": "/data/n"}], patch_type=PatchType.JSON).data)
    tell("apply", lambda: client.apply(note(k="v", l="w"), force=True).data)
    tell("apply again", lambda: client.apply(note(k="w")).data)
    tell("conflict", lambda: client.apply(note(k="x"), field_manager="other"))
    tell("force", lambda: client.apply(note(k="x"), field_manager="other", force=True).data)
    tell("dry", lambda: client.create(ConfigMap(metadata=ObjectMeta(name="dry")), dry_run=True).metadata.name)
    tell("scale", lambda: client.get(Deployment.Scale, "web").spec.replicas)
    tell("scaled", lambda: patch(Deployment.Scale, "web", {"spec": {"replicas": 2}}, patch_type=PatchType.MERGE).spec.replicas)
    tell("status", lambda: client.get(Deployment.Status, "web").status.readyReplicas)
    tell("wait", lambda: client.wait(Deployment, "web", for_conditions=["Available"]).metadata.name)
    tell("evict", lambda: client.create(Pod.Eviction(metadata=ObjectMeta(name="web-6b8f9c5d7-1")), "web-6b8f9c5d7-1"))
    tell("missing", lambda: client.get(Pod, "nobody"))
    tell("generic", lambda: load_in_cluster_generic_resources(client))
    tell("unknown", lambda: list(client.list(create_global_resource("ex.io", "v1", "Foo", "foos"))))
    tell("delete", lambda: client.delete(ConfigMap, "lightkube"))
    tell("sweep", lambda: client.deletecollection(Pod, labels={"app": "none"}))
    tell("cascade", lambda: client.delete(Deployment, "web", cascade=CascadeType.FOREGROUND))


if __name__ == "__main__":
    main()
