"""
What a new or changed object gets from the rest of the cluster: addresses, accounts, tolerations, priorities.

Called by the verbs between defaults and checks. It reads the store and never writes to it; a refusal is an ApiError.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.store import Store
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds import pods
from chaosfw.sandbox.kinds.cluster import NAMESPACE
from chaosfw.sandbox.kinds.network import SERVICE
from chaosfw.sandbox.kinds.row import Cause, Kind, invalid, items, read
from chaosfw.sandbox.kinds.workloads import TEMPLATE_GENERATION
from chaosfw.sandbox.objects import storage
from chaosfw.sandbox.objects.names import random_suffix

ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
NODE_PORTS = range(30000, 32768)
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_NODE_TROUBLE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class Admission:
    """
    One method a kind; kinds without one pass. ``toleration_seconds``: how long a pod that does not say stays on a node that is lost
    (kube-apiserver's --default-not-ready-toleration-seconds and --default-unreachable-toleration-seconds).
    """

    def __init__(self, store: Store, *, service_cidr: str, toleration_seconds: int = 300) -> None:
        self._store, self._toleration_seconds = store, toleration_seconds
        self._network = ipaddress.ip_network(service_cidr)
        self._create: dict[str, Callable[[Object], None]] = {
            "pods": self._pod,
            "services": self._service,
            "daemonsets.apps": _number_template,
            "persistentvolumeclaims": self._claim,
        }
        self._update: dict[str, Callable[[Object, Object], None]] = {
            "services": self._changed_service,
            "pods": self._changed_pod,
            "daemonsets.apps": _renumber_template,
        }

    @property
    def first_address(self) -> str:
        """Of services: that of the API's own."""
        return str(self._network.network_address + 1)

    def create(self, row: Kind, obj: Object) -> None:
        if row.namespaced:
            self._namespace_takes(row, obj)
        if handler := self._create.get(row.resource):
            handler(obj)

    def update(self, row: Kind, new: Object, old: Object) -> None:
        if handler := self._update.get(row.resource):
            handler(new, old)

    # --- namespaces

    def _namespace_takes(self, row: Kind, obj: Object) -> None:
        name = obj["metadata"]["namespace"]
        namespace = self._store.get("namespaces", ("", name))
        if namespace is None:
            raise errors.not_found(NAMESPACE, name)
        if read(namespace.obj, "metadata.deletionTimestamp"):
            why = f"unable to create new content in namespace {name} because it is being terminated"
            refusal = errors.forbidden(row, obj["metadata"].get("name") or "Unknown", why)
            refusal.details["causes"] = [
                {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated", "field": "metadata.namespace"}
            ]
            raise refusal

    # --- pods

    def _pod(self, pod: Object) -> None:
        spec = pod["spec"]
        if place := topology(self._store, spec.get("nodeName", "")):
            pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **place}
        self._account(pod)
        self._priority(pod)
        tolerations = spec.setdefault("tolerations", [])
        for key in _NODE_TROUBLE:
            if not any(_tolerates(toleration, key) for toleration in tolerations):
                tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": self._toleration_seconds})

    def _account(self, pod: Object) -> None:
        spec, namespace = pod["spec"], pod["metadata"]["namespace"]
        name = spec.setdefault("serviceAccountName", "default")
        spec["serviceAccount"] = name
        account = self._store.get("serviceaccounts", (namespace, name))
        if account is None:
            why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
            raise errors.forbidden(pods.POD, pod["metadata"].get("name") or "Unknown", why)
        wanted = spec.get("automountServiceAccountToken", account.obj.get("automountServiceAccountToken", True))
        if wanted:
            _mount_account(spec)

    def _priority(self, pod: Object) -> None:
        spec = pod["spec"]
        name = spec.get("priorityClassName")
        if not name:
            spec.setdefault("priority", 0)
            spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
            return
        found = self._store.get("priorityclasses.scheduling.k8s.io", ("", name))
        if found is None:
            raise errors.forbidden(pods.POD, pod["metadata"].get("name") or "Unknown", f"no PriorityClass with name {name} was found")
        spec["priority"] = found.obj.get("value", 0)
        spec.setdefault("preemptionPolicy", found.obj.get("preemptionPolicy", "PreemptLowerPriority"))

    def _changed_pod(self, new: Object, old: Object) -> None:
        """A replacement that leaves out what the server filled in keeps it."""
        for field in ("nodeName", "serviceAccountName", "serviceAccount", "priority", "preemptionPolicy", "tolerations", "volumes"):
            if field in old["spec"]:
                new["spec"].setdefault(field, old["spec"][field])

    # --- claims

    def _claim(self, claim: Object) -> None:
        """One that names no class gets the default one, if there is one; an empty name asks for none."""
        spec, notes = claim["spec"], claim["metadata"].get("annotations") or {}
        if spec.get("storageClassName") is None and OLD_CLASS not in notes:
            default = storage.default_class(found.obj for found in self._store.all("storageclasses.storage.k8s.io"))
            if default:
                spec["storageClassName"] = default

    # --- services

    def _service(self, service: Object) -> None:
        spec = service["spec"]
        if spec["type"] == "ExternalName":
            return
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._free_address()
            _name_address(service)
        elif spec["clusterIP"] != "None":
            self._check_address(service)
        spec["clusterIPs"] = [spec["clusterIP"]]
        self._node_ports(spec, shared=True)

    def _changed_service(self, new: Object, old: Object) -> None:
        spec, before = new["spec"], old["spec"]
        if spec["type"] == "ExternalName":
            for field in ("clusterIP", "clusterIPs"):
                spec.pop(field, None)
            return
        if not before.get("clusterIP"):
            self._service(new)
            return
        spec.setdefault("clusterIP", before["clusterIP"])
        spec["clusterIPs"] = [spec["clusterIP"]]
        kept = {(port["port"], port["protocol"]): port.get("nodePort") for port in before.get("ports", ())}
        for port in spec.get("ports") or ():
            if spec["type"] != "ClusterIP" and kept.get((port["port"], port["protocol"])):
                port.setdefault("nodePort", kept[(port["port"], port["protocol"])])
        self._node_ports(spec)

    def _taken(self, read_one: Callable[[Object], Iterator[Any]]) -> set[Any]:
        return {value for found in self._store.all("services") for value in read_one(found.obj)}

    def _free_address(self) -> str:
        taken = self._taken(lambda service: iter([read(service, "spec.clusterIP")]))
        for address in self._network.hosts():
            if str(address) not in taken:
                return str(address)
        raise ApiError(500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full")

    def _check_address(self, service: Object) -> None:
        wanted, name = service["spec"]["clusterIP"], service["metadata"]["name"]
        if wanted in self._taken(lambda other: iter([read(other, "spec.clusterIP")])):
            detail = "failed to allocate IP " + wanted + ": provided IP is already allocated"
            raise errors.invalid(SERVICE, name, [invalid("spec.clusterIPs", [wanted], detail)])
        try:
            inside = ipaddress.ip_address(wanted) in self._network
        except ValueError:
            inside = False
        if not inside:
            outside = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self._network}"
            detail = f"failed to allocate IP {wanted}: {outside}"
            raise errors.invalid(SERVICE, name, [invalid("spec.clusterIPs", [wanted], detail)])

    def _node_ports(self, spec: Object, *, shared: bool = False) -> None:
        """``shared``: ports of one number, which are of several protocols, get the same."""
        if spec["type"] not in ("NodePort", "LoadBalancer"):
            return
        taken = self._taken(lambda service: (port.get("nodePort") for port in items(service, "spec.ports")))
        free = (number for number in NODE_PORTS if number not in taken)
        ports = spec.get("ports") or ()
        known = {port.get("port"): port["nodePort"] for port in reversed(ports) if port.get("nodePort")} if shared else {}
        for port in ports:
            if not port.get("nodePort"):
                port["nodePort"] = known.get(port.get("port")) or next(free)
            if shared:
                known.setdefault(port.get("port"), port["nodePort"])


def _name_address(service: Object) -> None:
    """An address belongs to a name: of a service without one Kubernetes says no more than this."""
    if not service["metadata"].get("name"):
        address = service["spec"]["clusterIP"]
        words = f'failed to allocate IP: IPAddress.networking.k8s.io "{address}" is invalid: spec.parentRef.name: Required value'
        raise errors.invalid(SERVICE, "", [Cause("FieldValueInvalid", "spec.clusterIPs", f'Invalid value: [""]: {words}')])


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


def _mount_account(spec: Object) -> None:
    """The projected volume every real pod has, mounted where no container has something else already."""
    name = f"kube-api-access-{random_suffix()}"
    if any(volume.get("name", "").startswith("kube-api-access-") for volume in spec.get("volumes") or ()):
        return
    mounted = False
    for container in pods.containers(spec):
        mounts = container.setdefault("volumeMounts", [])
        if all(mount.get("mountPath") != ACCOUNT_PATH for mount in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": ACCOUNT_PATH})
            mounted = True
    if mounted:
        spec.setdefault("volumes", []).append({"name": name, "projected": {"sources": _account_sources(), "defaultMode": 420}})


def _account_sources() -> list[Object]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]


_PLACES = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


def topology(store: Store, node: str) -> dict[str, str]:
    """The labels of a node that its pods get, too, as Kubernetes does it."""
    found = store.get("nodes", ("", node)) if node else None
    labels = (found.obj["metadata"].get("labels") or {}) if found else {}
    return {key: labels[key] for key in _PLACES if key in labels}


def _number_template(daemons: Object) -> None:
    notes = daemons["metadata"].get("annotations") or {}
    daemons["metadata"]["annotations"] = {**notes, TEMPLATE_GENERATION: "1"}


def _renumber_template(new: Object, old: Object) -> None:
    """Counted up with each new template; what a client says of it is nothing."""
    number = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "0"))
    changed = read(new, "spec.template") != read(old, "spec.template")
    notes = new["metadata"].get("annotations") or {}
    new["metadata"]["annotations"] = {**notes, TEMPLATE_GENERATION: str(number + changed)}
