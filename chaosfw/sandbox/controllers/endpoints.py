"""
The endpoints controller: which pods stand behind a service, told twice: as EndpointSlices and as the older Endpoints.

A pod that is going is still listed, not ready but perhaps serving, until it is gone; one that has ended is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects import selectors

SLICES = "endpointslices.discovery.k8s.io"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
PER_SLICE = 100
ZONE = "topology.kubernetes.io/zone"

Ports = tuple[tuple[str, str, int], ...]
"""(name, protocol, number) each."""


@dataclass(frozen=True, slots=True)
class Backing:
    """One pod behind a service, with the ports the service reaches it at."""

    pod: Object
    ports: Ports
    zone: str

    @property
    def serves(self) -> bool:
        return objects.is_ready(self.pod)


class Endpoints:
    """Reconciles services; woken by services, pods, nodes (zones) and by anyone who touches our slices."""

    def __init__(self, caches: Caches) -> None:
        self._caches, self._client = caches, caches.client
        self.loop = Loop("endpoints", self.reconcile)

    def listen(self) -> None:
        self._caches["services"].listen(self._on_service)
        self._caches["pods"].listen(self._on_pod)
        self._caches[SLICES].listen(self._on_slice)

    def _on_service(self, old: Object | None, new: Object | None) -> None:
        self.loop.add(key_of(new or old or {}))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is not None and _seen(old) == _seen(new):
            return
        for pod in filter(None, (old, new)):
            for service in self._caches["services"].all(namespace=pod["metadata"]["namespace"]):
                selector = service["spec"].get("selector")
                if selector and selectors.of_labels(selector).matches(pod["metadata"].get("labels")):
                    self.loop.add(key_of(service))

    def _on_slice(self, old: Object | None, new: Object | None) -> None:
        if old is not None and new is None and (name := (old["metadata"].get("labels") or {}).get(SERVICE_NAME)):
            self.loop.add((old["metadata"]["namespace"], name))

    async def reconcile(self, key: Key) -> None:
        service = self._caches["services"].get(*key)
        if service is None:
            await self._clear(key)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName" or objects.is_going(service):
            return
        backing = self._backing(service)
        await self._write_slices(service, backing)
        await self._write_endpoints(service, backing)

    async def _clear(self, key: Key) -> None:
        """Slices go with their owner; Endpoints have none and go here."""
        if self._caches["endpoints"].get(*key) is not None:
            await self._delete("endpoints", key[1], key[0])

    def _backing(self, service: Object) -> list[Backing]:
        selector = selectors.of_labels(service["spec"]["selector"])
        found = []
        for pod in self._caches["pods"].all(namespace=service["metadata"]["namespace"]):
            status = pod.get("status") or {}
            listed = status.get("podIP") and status.get("phase") not in ("Succeeded", "Failed")
            if listed and selector.matches(pod["metadata"].get("labels")):
                node = self._caches["nodes"].get("", pod["spec"].get("nodeName", ""))
                zone = ((node or {}).get("metadata", {}).get("labels") or {}).get(ZONE, "")
                found.append(Backing(pod, ports_of(service, pod), zone))
        return sorted(found, key=lambda one: str(one.pod["metadata"]["name"]))

    # --- slices

    async def _write_slices(self, service: Object, backing: list[Backing]) -> None:
        namespace = service["metadata"]["namespace"]
        known = [one for one in self._caches[SLICES].all(namespace=namespace) if _is_ours(one, service)]
        known.sort(key=lambda one: str(one["metadata"]["name"]))
        for body in slices_for(service, backing):
            same = next((one for one in known if one.get("ports", []) == body["ports"]), None) or next(iter(known), None)
            if same is None:
                written = await self._client.create(SLICES, body, namespace=namespace)
            else:
                known.remove(same)
                if _says(same, body):
                    continue
                metadata = {
                    **same["metadata"],
                    "labels": body["metadata"]["labels"],
                    "annotations": body["metadata"].get("annotations", {}),
                }
                written = await self._client.replace(SLICES, metadata["name"], {**body, "metadata": metadata}, namespace=namespace)
            await self._caches[SLICES].seen(written["metadata"]["resourceVersion"])
        for surplus in known:
            await self._delete(SLICES, surplus["metadata"]["name"], namespace)

    # --- endpoints

    async def _write_endpoints(self, service: Object, backing: list[Backing]) -> None:
        metadata = service["metadata"]
        body = endpoints_for(service, backing)
        known = self._caches["endpoints"].get(metadata["namespace"], metadata["name"])
        if known is None:
            written = await self._client.create("endpoints", body, namespace=metadata["namespace"])
        elif known.get("subsets", []) == body.get("subsets", []):
            return
        else:
            merged = {**body, "metadata": {**known["metadata"], "labels": body["metadata"]["labels"]}}
            written = await self._client.replace("endpoints", metadata["name"], merged, namespace=metadata["namespace"])
        await self._caches["endpoints"].seen(written["metadata"]["resourceVersion"])

    async def _delete(self, resource: str, name: str, namespace: str) -> None:
        try:
            await self._client.delete(resource, name, namespace=namespace)
        except ApiError as error:
            if error.code != 404:
                raise


# --- pure ------------------------------------------------------------------------------------------------------------


def ports_of(service: Object, pod: Object) -> Ports:
    """The service's ports as this pod has them; a name that no container has is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        number = _target(port.get("targetPort", port["port"]), port["protocol"], pod)
        if number:
            found.append((port.get("name", ""), port["protocol"], number))
    return tuple(found)


def _target(target: object, protocol: str, pod: Object) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return None


def slices_for(service: Object, backing: list[Backing]) -> list[Object]:
    """As few slices as the ports allow; one without endpoints when there is no pod."""
    groups: dict[Ports, list[Backing]] = {}
    for one in backing:
        groups.setdefault(one.ports, []).append(one)
    chunks = [(ports, group[start : start + PER_SLICE]) for ports, group in groups.items() for start in range(0, len(group), PER_SLICE)]
    return [_slice(service, ports, group) for ports, group in chunks or [((), [])]]


def _slice(service: Object, ports: Ports, group: list[Backing]) -> Object:
    name = service["metadata"]["name"]
    labels = {**(service["metadata"].get("labels") or {}), SERVICE_NAME: name, MANAGED_BY: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    metadata: Object = {"generateName": f"{name}-", "labels": labels, "ownerReferences": [objects.owner_reference(service)]}
    if moments := [
        found["lastTransitionTime"] for one in group for found in objects.conditions(one.pod) if found.get("lastTransitionTime")
    ]:
        metadata["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": max(moments)}
    return {
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [_endpoint(service, one) for one in group],
        "ports": [{"name": name, "protocol": protocol, "port": number} for name, protocol, number in ports],
    }


def _endpoint(service: Object, one: Backing) -> Object:
    going = objects.is_going(one.pod)
    ready = bool(service["spec"].get("publishNotReadyAddresses")) or (one.serves and not going)
    told: Object = {
        "addresses": [one.pod["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": one.serves, "terminating": going},
        "targetRef": _reference(one.pod),
    }
    if one.pod["spec"].get("hostname"):
        told["hostname"] = one.pod["spec"]["hostname"]
    if one.pod["spec"].get("nodeName"):
        told["nodeName"] = one.pod["spec"]["nodeName"]
    if one.zone:
        told["zone"] = one.zone
    return told


def endpoints_for(service: Object, backing: list[Backing]) -> Object:
    """Ready addresses and not ready ones, by ports."""
    groups: dict[Ports, list[Backing]] = {}
    for one in backing:
        if not objects.is_going(one.pod):
            groups.setdefault(one.ports, []).append(one)
    metadata = service["metadata"]
    labels = {**(metadata.get("labels") or {}), "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    if service["spec"].get("clusterIP") == "None":
        labels["service.kubernetes.io/headless"] = ""
    body: Object = {"metadata": {"name": metadata["name"], "labels": labels}}
    if groups:
        body["subsets"] = [_subset(service, ports, group) for ports, group in groups.items()]
    return body


def _subset(service: Object, ports: Ports, group: list[Backing]) -> Object:
    always = bool(service["spec"].get("publishNotReadyAddresses"))
    subset: Object = {}
    if ready := [_address(one) for one in group if one.serves or always]:
        subset["addresses"] = ready
    if waiting := [_address(one) for one in group if not (one.serves or always)]:
        subset["notReadyAddresses"] = waiting
    if ports:
        subset["ports"] = [{**({"name": name} if name else {}), "port": number, "protocol": protocol} for name, protocol, number in ports]
    return subset


def _address(one: Backing) -> Object:
    address: Object = {"ip": one.pod["status"]["podIP"], "targetRef": _reference(one.pod)}
    if one.pod["spec"].get("nodeName"):
        address["nodeName"] = one.pod["spec"]["nodeName"]
    return address


def _reference(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}


def _is_ours(one: Object, service: Object) -> bool:
    labels = one["metadata"].get("labels") or {}
    return labels.get(SERVICE_NAME) == service["metadata"]["name"] and labels.get(MANAGED_BY) == MANAGER and not objects.is_going(one)


def _says(known: Object, body: Object) -> bool:
    return bool(known.get("endpoints") == body["endpoints"] and known.get("ports", []) == body["ports"])


def _seen(pod: Object) -> tuple[object, ...]:
    """What of a pod a service shows: a change of anything else is no news."""
    status = pod.get("status") or {}
    return (
        pod["metadata"].get("labels"),
        objects.is_going(pod),
        pod["spec"].get("nodeName"),
        status.get("podIP"),
        status.get("phase") in ("Succeeded", "Failed"),
        objects.is_ready(pod),
    )
