"""Stock lightkube against the cluster of ``$KUBECONFIG``, run as a program. Prints one JSON object of what it did and read."""

from __future__ import annotations

import json
import sys
from typing import Any

from lightkube import ApiError, Client
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.core_v1 import Container, ContainerPort, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Node, Pod
from lightkube.types import PatchType

LABELS = {"app": "lightkube"}


def work(image: str, replicas: int | None) -> Deployment:
    pod = PodSpec(terminationGracePeriodSeconds=1, containers=[Container(name="app", image=image, ports=[ContainerPort(8000)])])
    template = PodTemplateSpec(metadata=ObjectMeta(labels=LABELS), spec=pod)
    spec = DeploymentSpec(selector=LabelSelector(matchLabels=LABELS), template=template, replicas=replicas)
    return Deployment(metadata=ObjectMeta(name="lightkube", namespace="default"), spec=spec)


def note(**data: str) -> ConfigMap:
    return ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=ObjectMeta(name="lightkube", namespace="default"), data=data)


def main() -> None:
    client = Client(namespace="default", field_manager="lightkube")
    found: dict[str, Any] = {"nodes": len(list(client.list(Node)))}
    client.create(work("work:1", 1))
    client.wait(Deployment, "lightkube", for_conditions=["Available"])
    client.patch(Deployment.Scale, "lightkube", {"spec": {"replicas": 2}}, patch_type=PatchType.MERGE)
    for _, seen in client.watch(Deployment, fields={"metadata.name": "lightkube"}):
        if seen.status and seen.status.readyReplicas == 2:
            break
    pods = list(client.list(Pod, labels=LABELS))
    found["pods"] = len(pods)
    found["patched"] = [
        client.patch(Deployment, "lightkube", {"metadata": {"labels": {"a": "1"}}}, patch_type=PatchType.STRATEGIC).metadata.labels,
        client.patch(Deployment, "lightkube", {"metadata": {"labels": {"b": "2"}}}, patch_type=PatchType.MERGE).metadata.labels,
        client.patch(Deployment, "lightkube", [{"op": "remove", "path": "/metadata/labels/a"}], patch_type=PatchType.JSON).metadata.labels,
    ]
    found["logs"] = isinstance("".join(client.log(pods[0].metadata.name)), str)
    client.create(Pod.Eviction(metadata=ObjectMeta(name=pods[0].metadata.name)), pods[0].metadata.name)
    found["applied"] = client.apply(note(k="v", l="w")).data
    found["applied again"] = client.apply(note(k="w")).data
    try:
        client.apply(note(k="x"), field_manager="other")
    except ApiError as error:
        found["conflict"] = [error.status.code, error.status.message, [cause.field for cause in error.status.details.causes]]
    found["forced"] = client.apply(note(k="x"), field_manager="other", force=True).data
    replaced = client.get(ConfigMap, "lightkube")
    replaced.data = {"n": "o"}
    found["replaced"] = client.replace(replaced).data
    owners = {one.manager: (one.operation, one.fieldsV1) for one in client.get(ConfigMap, "lightkube").metadata.managedFields}
    found["owners"] = owners
    try:
        client.get(Pod, "nobody")
    except ApiError as error:
        found["missing"] = [error.status.code, error.status.reason]
    client.delete(ConfigMap, "lightkube")
    client.delete(Deployment, "lightkube")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
