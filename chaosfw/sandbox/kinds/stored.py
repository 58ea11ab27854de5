"""
Rows of kinds without behaviour: stored, defaulted, shown.
"""

from __future__ import annotations

from collections.abc import Callable

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import AGE, NAME, SCALE, Column, Kind, items, read, text
from chaosfw.sandbox.kinds.workloads import CONTAINERS, IMAGES, SELECTOR

_RBAC = "rbac.authorization.k8s.io"
_CREATED = Column("Created At", text("metadata.creationTimestamp"), type="date")


def _default_binding(obj: Object) -> None:
    obj.get("roleRef", {}).setdefault("apiGroup", _RBAC)
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _RBAC)


def _role_ref(obj: Object, now: float) -> str:
    return f"{read(obj, 'roleRef.kind', '')}/{read(obj, 'roleRef.name', '')}"


def _subjects(kind: str) -> Callable[[Object, float], str]:
    def cell(obj: Object, now: float) -> str:
        found = [subject for subject in obj.get("subjects") or () if subject.get("kind") == kind]
        told = [f"{one.get('namespace', '')}/{one.get('name', '')}" if kind == "ServiceAccount" else one.get("name", "") for one in found]
        return ", ".join(told)

    return cell


_BOUND = (
    NAME,
    Column("Role", _role_ref),
    AGE,
    Column("Users", _subjects("User"), wide=True),
    Column("Groups", _subjects("Group"), wide=True),
    Column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
)
_ATTRIBUTES = Column("VolumeAttributesClass", text("spec.volumeAttributesClassName", absent="<unset>"))


def _default_volume(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")


def _pending(obj: Object) -> None:
    obj["status"] = {"phase": "Pending"}


def _protected(finalizer: str) -> Callable[[Object], None]:
    """New ones are pending, and held while they are used."""

    def born(obj: Object) -> None:
        _pending(obj)
        held = obj["metadata"].get("finalizers", [])
        obj["metadata"]["finalizers"] = held if finalizer in held else [*held, finalizer]

    return born


def _default_claim(obj: Object) -> None:
    obj.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _default_storage_class(obj: Object) -> None:
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _default_priority(obj: Object) -> None:
    obj.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _default_scaler(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]


def _born_scaler(obj: Object) -> None:
    obj["status"] = {"currentMetrics": None, "desiredReplicas": 0}


def _scaled(obj: Object, now: float) -> str:
    return f"{read(obj, 'spec.scaleTargetRef.kind', '')}/{read(obj, 'spec.scaleTargetRef.name', '')}"


def _modes(obj: Object, now: float) -> str:
    words = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
    return ",".join(words.get(mode, mode) for mode in items(obj, "spec.accessModes"))  # type: ignore[call-overload]  # strings here


def _controller(obj: Object, now: float) -> str:
    owner = next((one for one in items(obj, "metadata.ownerReferences") if one.get("controller")), None)
    return f"{owner['kind'].lower()}.{owner['apiVersion'].partition('/')[0]}/{owner['name']}" if owner else "<none>"


def _claim(obj: Object, now: float) -> str:
    name = read(obj, "spec.claimRef.name")
    return f"{read(obj, 'spec.claimRef.namespace')}/{name}" if name else ""


ROLES = (
    Kind(
        kind="Role",
        plural="roles",
        made_by_update=True,
        group=_RBAC,
        columns=(NAME, _CREATED),
        has_status=False,
        answers_deleted_object=False,
    ),
    Kind(
        kind="RoleBinding",
        plural="rolebindings",
        made_by_update=True,
        group=_RBAC,
        columns=_BOUND,
        has_status=False,
        defaults=_default_binding,
        immutable=("roleRef",),
    ),
    Kind(
        kind="ClusterRole",
        plural="clusterroles",
        made_by_update=True,
        group=_RBAC,
        namespaced=False,
        columns=(NAME, _CREATED),
        has_status=False,
    ),
    Kind(
        kind="ClusterRoleBinding",
        plural="clusterrolebindings",
        made_by_update=True,
        group=_RBAC,
        namespaced=False,
        columns=_BOUND,
        has_status=False,
        defaults=_default_binding,
        immutable=("roleRef",),
    ),
)

STORAGE = (
    Kind(
        kind="PersistentVolume",
        plural="persistentvolumes",
        namespaced=False,
        short=("pv",),
        columns=(
            NAME,
            Column("Capacity", text("spec.capacity.storage")),
            Column("Access Modes", _modes),
            Column("Reclaim Policy", text("spec.persistentVolumeReclaimPolicy")),
            Column("Status", text("status.phase")),
            Column("Claim", _claim),
            Column("StorageClass", text("spec.storageClassName")),
            _ATTRIBUTES,
            Column("Reason", text("status.reason")),
            AGE,
            Column("VolumeMode", text("spec.volumeMode"), wide=True),
        ),
        defaults=_default_volume,
        born=_protected("kubernetes.io/pv-protection"),
        answers_deleted_object=True,
    ),
    Kind(
        kind="PersistentVolumeClaim",
        plural="persistentvolumeclaims",
        short=("pvc",),
        columns=(
            NAME,
            Column("Status", text("status.phase")),
            Column("Volume", text("spec.volumeName")),
            Column("Capacity", text("status.capacity.storage")),
            Column("Access Modes", _modes),
            Column("StorageClass", text("spec.storageClassName")),
            _ATTRIBUTES,
            AGE,
            Column("VolumeMode", text("spec.volumeMode"), wide=True),
        ),
        defaults=_default_claim,
        born=_protected("kubernetes.io/pvc-protection"),
        answers_deleted_object=True,
    ),
    Kind(
        kind="StorageClass",
        plural="storageclasses",
        group="storage.k8s.io",
        namespaced=False,
        short=("sc",),
        columns=(
            NAME,
            Column("Provisioner", text("provisioner")),
            Column("ReclaimPolicy", text("reclaimPolicy")),
            Column("VolumeBindingMode", text("volumeBindingMode")),
            Column("AllowVolumeExpansion", lambda obj, now: str(bool(obj.get("allowVolumeExpansion"))).lower()),
            AGE,
        ),
        has_status=False,
        defaults=_default_storage_class,
        immutable=("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    ),
)


def _yes_or_no(path: str) -> Callable[[Object, float], str]:
    return lambda obj, now: str(bool(read(obj, path))).lower()


INTERNAL = (
    Kind(
        kind="ReplicationController",
        plural="replicationcontrollers",
        short=("rc",),
        categories=("all",),
        columns=(
            NAME,
            Column("Desired", text("spec.replicas", absent=0), type="integer"),
            Column("Current", text("status.replicas", absent=0), type="integer"),
            Column("Ready", text("status.readyReplicas", absent=0), type="integer"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ),
        has_generation=True,
        subresources=(SCALE,),
    ),
    Kind(
        kind="ControllerRevision",
        plural="controllerrevisions",
        group="apps",
        columns=(NAME, Column("Controller", _controller), Column("Revision", text("revision", absent=0), type="integer"), AGE),
        has_status=False,
        immutable=("data",),
    ),
    Kind(
        kind="CSINode",
        plural="csinodes",
        group="storage.k8s.io",
        namespaced=False,
        columns=(NAME, Column("Drivers", lambda obj, now: len(list(items(obj, "spec.drivers"))), type="integer"), AGE),
        has_status=False,
    ),
    Kind(
        kind="CSIDriver",
        plural="csidrivers",
        group="storage.k8s.io",
        namespaced=False,
        columns=(
            NAME,
            Column("AttachRequired", _yes_or_no("spec.attachRequired"), type="boolean"),
            Column("PodInfoOnMount", _yes_or_no("spec.podInfoOnMount"), type="boolean"),
            Column("StorageCapacity", _yes_or_no("spec.storageCapacity")),
            AGE,
        ),
        has_status=False,
    ),
    Kind(
        kind="CSIStorageCapacity",
        plural="csistoragecapacities",
        group="storage.k8s.io",
        columns=(NAME, Column("StorageClassName", text("storageClassName")), Column("Capacity", text("capacity")), AGE),
        has_status=False,
    ),
    Kind(
        kind="VolumeAttachment",
        plural="volumeattachments",
        group="storage.k8s.io",
        namespaced=False,
        columns=(
            NAME,
            Column("Attacher", text("spec.attacher")),
            Column("PV", text("spec.source.persistentVolumeName")),
            Column("Node", text("spec.nodeName")),
            Column("Attached", _yes_or_no("status.attached"), type="boolean"),
            AGE,
        ),
    ),
)
"""What controllers and drivers write for each other: Kubernetes' own look for it."""

OTHERS = (
    Kind(
        kind="PriorityClass",
        plural="priorityclasses",
        group="scheduling.k8s.io",
        namespaced=False,
        short=("pc",),
        columns=(
            NAME,
            Column("Value", text("value", absent=0), type="integer"),
            Column("Global-Default", lambda obj, now: bool(obj.get("globalDefault")), type="boolean"),
            AGE,
            Column("PreemptionPolicy", text("preemptionPolicy")),
        ),
        has_status=False,
        has_generation=True,
        defaults=_default_priority,
        immutable=("value", "preemptionPolicy"),
    ),
    Kind(
        kind="HorizontalPodAutoscaler",
        plural="horizontalpodautoscalers",
        group="autoscaling",
        version="v2",
        short=("hpa",),
        categories=("all",),
        columns=(
            NAME,
            Column("Reference", _scaled),
            Column("Targets", lambda obj, now: "<unknown>"),
            Column("MinPods", lambda obj, now: str(read(obj, "spec.minReplicas", "<unset>"))),
            Column("MaxPods", text("spec.maxReplicas", absent=0)),
            Column("Replicas", text("status.currentReplicas", absent=0)),
            AGE,
        ),
        has_generation=True,
        defaults=_default_scaler,
        born=_born_scaler,
    ),
)
