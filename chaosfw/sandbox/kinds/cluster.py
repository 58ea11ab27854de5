"""
Rows of what a cluster is made of: namespaces, nodes, leases, configuration, accounts, budgets.
"""

from __future__ import annotations

import base64
import json
import re

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import AGE, NAME, Cause, Column, Kind, Subresource, invalid, items, read, required, text, unsupported

_ROLE = "node-role.kubernetes.io/"

_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex "
    "used for validation is '[-._a-zA-Z0-9]+')"
)
_NEEDED = {"kubernetes.io/tls": ("tls.crt", "tls.key")}
"""What a secret of a type has to have."""
_PERCENT = re.compile(r"^[0-9]+%$")
_STATUSES = ("False", "True", "Unknown")
_PERCENT_RULE = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is "
    "'[0-9]+%')"
)


def _default_namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")


def _born_namespace(obj: Object) -> None:
    obj["spec"] = {"finalizers": ["kubernetes"]}
    obj["status"] = {"phase": "Active"}


def _default_node(obj: Object) -> None:
    obj.setdefault("spec", {})
    if not obj["spec"].get("unschedulable"):
        obj["spec"].pop("unschedulable", None)
    status = obj.setdefault("status", {})
    if capacity := status.get("capacity"):
        status.setdefault("allocatable", dict(capacity))
    status.setdefault("daemonEndpoints", {}).setdefault("kubeletEndpoint", {"Port": 0})
    status["nodeInfo"] = {**dict.fromkeys(_INFO, ""), **status.get("nodeInfo", {})}


_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
    "operatingSystem",
    "architecture",
)
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
NOT_READY = "node.kubernetes.io/not-ready"


def _born_node(obj: Object) -> None:
    """Nobody is put on it before it has been seen to be ready."""
    taints = obj["spec"].get("taints") or []
    if not any(taint.get("key") == NOT_READY and taint.get("effect") == "NoSchedule" for taint in taints):
        obj["spec"]["taints"] = [*taints, {"key": NOT_READY, "effect": "NoSchedule"}]


def _check_node(new: Object, old: Object | None) -> list[Cause]:
    taints = enumerate(items(new, "spec.taints"))
    odd = [(index, str(taint.get("effect", ""))) for index, taint in taints if taint.get("effect") not in _EFFECTS]
    return [
        unsupported(f"metadata.taints[{index}].effect", effect, _EFFECTS) if effect else required(f"metadata.taints[{index}].effect")
        for index, effect in odd
    ]


def _node_status(obj: Object, now: float) -> str:
    ready = next((condition["status"] for condition in items(obj, "status.conditions") if condition["type"] == "Ready"), None)
    words = [{"True": "Ready", "False": "NotReady", "Unknown": "NotReady"}.get(ready or "", "Unknown")]
    if read(obj, "spec.unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Object, now: float) -> str:
    labels = read(obj, "metadata.labels", {})
    return ",".join(sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))) or "<none>"


def _address(kind: str) -> Column:
    def cell(obj: Object, now: float) -> str:
        return next((address["address"] for address in items(obj, "status.addresses") if address["type"] == kind), "<none>")

    return Column(kind.replace("IP", "-IP"), cell, wide=True)


def _info(name: str, field: str) -> Column:
    return Column(name, lambda obj, now: read(obj, f"status.nodeInfo.{field}") or "<unknown>", wide=True)


def _default_secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _check_keys(new: Object) -> list[Cause]:
    keys = [(field, key) for field in ("data", "binaryData") for key in new.get(field) or ()]
    return [invalid(f"{field}[{key}]", key, _KEY_RULE) for field, key in keys if not _KEY.match(key)]


def _check_data(new: Object, old: Object | None) -> list[Cause]:
    needed = _NEEDED.get(new.get("type", ""), ())
    lacking = [required(f"data[{key}]") for key in needed if key not in (new.get("data") or {})]
    both = [key for key in new.get("data") or () if key in (new.get("binaryData") or ())]
    twice = [invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in both]
    return [*_check_type(new, old), *_check_keys(new), *twice, *lacking, *_check_immutable_data(new, old)]


def _check_type(new: Object, old: Object | None) -> list[Cause]:
    before, now = (old or {}).get("type"), new.get("type")
    return [invalid("type", now, "field is immutable")] if before and before != now else []


def _default_lease(obj: Object) -> None:
    obj.setdefault("spec", {})


def _check_lease(new: Object, old: Object | None) -> list[Cause]:
    fields = ("leaseDurationSeconds", "leaseTransitions")
    found = [(name, new["spec"][name]) for name in fields if name in new["spec"]]
    words = {"leaseDurationSeconds": (1, "must be greater than 0"), "leaseTransitions": (0, "must be greater than or equal to 0")}
    return [invalid(f"spec.{name}", value, words[name][1]) for name, value in found if value < words[name][0]]


def _check_immutable_data(new: Object, old: Object | None) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    changed = [field for field in ("immutable", "data", "binaryData") if new.get(field) != old.get(field)]
    return [Cause("FieldValueForbidden", field, "Forbidden: field is immutable when `immutable` is set") for field in changed]


def _data(obj: Object, now: float) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


def _check_budget(new: Object, old: Object | None) -> list[Cause]:
    spec, causes = new["spec"], []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        told = {"MinAvailable": spec["minAvailable"], "Selector": spec.get("selector"), "MaxUnavailable": spec["maxUnavailable"]}
        shown = json.dumps({**told, "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy")}, separators=(",", ":"))
        causes.append(Cause("FieldValueInvalid", "spec", f"Invalid value: {shown}: minAvailable and maxUnavailable cannot be both set"))
    return causes + [cause for name in ("minAvailable", "maxUnavailable") if name in spec for cause in _check_bound(name, spec[name])]


def _check_budget_status(new: Object, old: Object) -> list[Cause]:
    causes: list[Cause] = []
    for index, condition in enumerate(items(new, "status.conditions")):
        here = f"status.conditions[{index}]"
        causes += [required(f"{here}.{name}") for name in ("lastTransitionTime", "reason", "status") if not condition.get(name)]
        causes += [] if condition.get("type") else [required(f"{here}.type", "is required")]
        if condition.get("status") and condition["status"] not in _STATUSES:
            causes.append(unsupported(f"{here}.status", condition["status"], _STATUSES))
    counts = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
    negative = [(name, new["status"][name]) for name in counts if new["status"].get(name, 0) < 0]
    return causes + [invalid(f"status.{name}", value, "must be greater than or equal to 0") for name, value in negative]


def _check_bound(name: str, value: object) -> list[Cause]:
    path = f"spec.{name}"
    if isinstance(value, str):
        return [] if _PERCENT.match(value) else [invalid(path, value, _PERCENT_RULE)]
    return [] if isinstance(value, int) and value >= 0 else [invalid(path, value, "must be greater than or equal to 0")]


def _born_budget(obj: Object) -> None:
    obj["status"] = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}


NAMESPACE = Kind(
    kind="Namespace",
    plural="namespaces",
    namespaced=False,
    short=("ns",),
    columns=(NAME, Column("Status", text("status.phase")), AGE),
    fields={"status.phase": "status.phase"},
    subresources=(Subresource("finalize", "Namespace", ("update",), "", "v1"),),
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    defaults=_default_namespace,
    born=_born_namespace,
    name_limit=63,
    name_is_label=True,
)

NODE = Kind(
    kind="Node",
    plural="nodes",
    namespaced=False,
    short=("no",),
    columns=(
        NAME,
        Column("Status", _node_status),
        Column("Roles", _roles),
        AGE,
        Column("Version", text("status.nodeInfo.kubeletVersion")),
        _address("InternalIP"),
        _address("ExternalIP"),
        _info("OS-Image", "osImage"),
        _info("Kernel-Version", "kernelVersion"),
        _info("Container-Runtime", "containerRuntimeVersion"),
    ),
    fields={"spec.unschedulable": "spec.unschedulable"},
    keeps_status_on_create=True,
    defaults=_default_node,
    born=_born_node,
    validate=_check_node,
)

LEASE = Kind(
    kind="Lease",
    plural="leases",
    group="coordination.k8s.io",
    columns=(NAME, Column("Holder", text("spec.holderIdentity")), AGE),
    has_status=False,
    made_by_update=True,
    needs_version=True,
    defaults=_default_lease,
    validate=_check_lease,
)

CONFIG_MAP = Kind(
    kind="ConfigMap",
    plural="configmaps",
    short=("cm",),
    columns=(NAME, Column("Data", _data), AGE),
    has_status=False,
    validate=_check_data,
)

SECRET = Kind(
    kind="Secret",
    plural="secrets",
    columns=(NAME, Column("Type", text("type")), Column("Data", _data), AGE),
    fields={"type": "type"},
    has_status=False,
    defaults=_default_secret,
    validate=_check_data,
)

SERVICE_ACCOUNT = Kind(
    kind="ServiceAccount",
    plural="serviceaccounts",
    short=("sa",),
    columns=(NAME, AGE),
    has_status=False,
    subresources=(Subresource("token", "TokenRequest", ("create",), "authentication.k8s.io", "v1"),),
    answers_deleted_object=True,
)

BUDGET = Kind(
    kind="PodDisruptionBudget",
    plural="poddisruptionbudgets",
    group="policy",
    short=("pdb",),
    columns=(
        NAME,
        Column("Min Available", lambda obj, now: str(read(obj, "spec.minAvailable", "N/A"))),
        Column("Max Unavailable", lambda obj, now: str(read(obj, "spec.maxUnavailable", "N/A"))),
        Column("Allowed Disruptions", lambda obj, now: int(read(obj, "status.disruptionsAllowed", 0)), type="integer"),
        AGE,
    ),
    has_generation=True,
    checks_metadata=False,
    needs_version=True,
    defaults=lambda obj: obj.setdefault("spec", {}) and None,
    validate=_check_budget,
    validate_status=_check_budget_status,
    born=_born_budget,
)
