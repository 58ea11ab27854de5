"""
Claims, volumes and classes: which fits which, who may use which from where. Pure; asked by the controller that binds them, by the
scheduler, by admission and by who makes volumes.

After Kubernetes' pkg/volume/persistentvolume/index.go (``FindMatchingVolume``) and pkg/volume/util/storageclass.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from chaosfw.sandbox.objects import affinity, quantity, selectors

Object = dict[str, Any]

CLAIMS, VOLUMES, CLASSES = "persistentvolumeclaims", "persistentvolumes", "storageclasses.storage.k8s.io"
"""Resources."""

BOUND: Final = "pv.kubernetes.io/bind-completed"
BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
PROVISIONER_BETA: Final = "volume.beta.kubernetes.io/storage-provisioner"
MADE_BY: Final = "pv.kubernetes.io/provisioned-by"
NOBODY: Final = "kubernetes.io/no-provisioner"
"""The provisioner of classes whose volumes people make."""


def default_class(classes: Iterable[Object]) -> str:
    """The newest of those that are marked as the default one, of equally old ones the first by name; empty without any."""
    marked = [one for one in classes if (one["metadata"].get("annotations") or {}).get(DEFAULT) == "true"]
    newest = max((one["metadata"].get("creationTimestamp", "") for one in marked), default="")
    return min((one["metadata"]["name"] for one in marked if one["metadata"].get("creationTimestamp", "") == newest), default="")


def waits_for_pod(storage_class: Object | None) -> bool:
    """Its volumes are bound once a pod that wants one has its node."""
    return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


def claims_of(pod: Object) -> list[str]:
    """Names of the claims that a pod's volumes are; one that belongs to the pod has a name made of both."""
    found = []
    for volume in pod["spec"].get("volumes") or ():
        if source := volume.get("persistentVolumeClaim"):
            found.append(source["claimName"])
        elif "ephemeral" in volume:
            found.append(own_claim((pod.get("metadata") or {}).get("name", ""), volume["name"]))
    return found


def own_claim(pod: str, volume: str) -> str:
    """The name of the claim that belongs to a pod, for an ``ephemeral`` volume."""
    return f"{pod}-{volume}"


def reference(claim: Object) -> Object:
    """A volume's ``claimRef``."""
    metadata = claim["metadata"]
    named = {"kind": "PersistentVolumeClaim", "apiVersion": "v1", "namespace": metadata["namespace"], "name": metadata["name"]}
    return {**named, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}


def is_bound(claim: Object) -> bool:
    """Claim and volume have found each other, and both say so."""
    return bool(claim["spec"].get("volumeName")) and BOUND in (claim["metadata"].get("annotations") or {})


def is_for(volume: Object, claim: Object) -> bool:
    """The volume says that it is that claim's."""
    ref, metadata = volume["spec"].get("claimRef") or {}, claim["metadata"]
    named = ref.get("namespace") == metadata["namespace"] and ref.get("name") == metadata["name"]
    return named and ref.get("uid") in (None, "", metadata["uid"])


def best(claim: Object, volumes: Iterable[Object], *, only_its_own: bool = False, node: Object | None = None) -> Object | None:
    """The volume that was made for the claim, or the smallest that is free and fits; ``node``: one that can be used from there."""
    ordered = sorted(volumes, key=lambda volume: (_size(volume), volume["metadata"]["name"]))
    for volume in ordered:
        if is_for(volume, claim) and _large_enough(volume, claim):
            return volume
    if only_its_own:
        return None
    return next((volume for volume in ordered if _is_free(volume) and not unfit(volume, claim) and usable_from(volume, node)), None)


def unfit(volume: Object, claim: Object) -> str:
    """Why not, in the words of Kubernetes' events; empty: it fits."""
    spec, wanted = volume["spec"], claim["spec"]
    if not _large_enough(volume, claim):
        return "requested PV is too small"
    if (spec.get("storageClassName") or "") != (wanted.get("storageClassName") or ""):
        return "storageClassName does not match"
    if (spec.get("volumeMode") or "Filesystem") != (wanted.get("volumeMode") or "Filesystem"):
        return "incompatible volumeMode"
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return "incompatible accessMode"
    selector = selectors.of_object(wanted["selector"]) if wanted.get("selector") else None
    return "" if selector is None or selector.matches(volume["metadata"].get("labels")) else "labels do not match the claim's selector"


def usable_from(volume: Object, node: Object | None) -> bool:
    """Its node affinity; no ``node`` asks for none."""
    required = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms")
    return node is None or required is None or affinity.any_term(required, node)


def offered(storage_class: Object, node: Object) -> bool:
    """Whether the class makes volumes for that node: its ``allowedTopologies``."""
    terms, labels = storage_class.get("allowedTopologies") or (), node["metadata"].get("labels") or {}
    return not terms or any(_topology(term, labels) for term in terms)


def asked(claim: Object) -> Fraction:
    """Bytes."""
    return quantity.parse(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", 0))


def place_of(directory: Path, volume: str) -> Path:
    """Where in a sandbox's directory the files of a volume are, by its name, whoever made it."""
    return directory / "volumes" / volume


def _topology(term: Object, labels: Mapping[str, str]) -> bool:
    return all(labels.get(one["key"]) in one["values"] for one in term.get("matchLabelExpressions") or ())


def _size(volume: Object) -> Fraction:
    return quantity.parse((volume["spec"].get("capacity") or {}).get("storage", 0))


def _large_enough(volume: Object, claim: Object) -> bool:
    return _size(volume) >= asked(claim)


def _is_free(volume: Object) -> bool:
    going = volume["metadata"].get("deletionTimestamp")
    return not going and not volume["spec"].get("claimRef") and (volume.get("status") or {}).get("phase") == "Available"
