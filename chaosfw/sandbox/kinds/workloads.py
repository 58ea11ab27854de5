"""
Rows of the kinds that keep pods running: deployments, replica sets, stateful sets, daemon sets.
"""

from __future__ import annotations

import json
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.pods import check_template, default_template, strange_name
from chaosfw.sandbox.kinds.row import AGE, NAME, SCALE, Cause, Column, Kind, invalid, items, read, required
from chaosfw.sandbox.objects import selectors

SPEC_TEMPLATE = "spec.template"
_STRATEGIES = ("Recreate", "RollingUpdate")
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_UPDATES = ("RollingUpdate", "OnDelete")
_SURPRISING = (
    "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: "
)


def names_pods(obj: Object) -> list[str]:
    """A warning where the pods' names would be strange."""
    return [_SURPRISING + why] if (why := strange_name(obj["metadata"].get("name", ""))) else []


def _born_deployment(obj: Object) -> None:
    obj["status"] = {}


def _containers(path: str) -> Any:
    return lambda obj, now: ",".join(container.get("name", "") for container in items(obj, f"{path}.spec.containers"))


def _images(path: str) -> Any:
    return lambda obj, now: ",".join(container.get("image", "") for container in items(obj, f"{path}.spec.containers"))


def _selector(obj: Object, now: float) -> str:
    return selectors.format_object(read(obj, "spec.selector")) or "<none>"


def _number(path: str) -> Any:
    return lambda obj, now: int(read(obj, path, 0))


def _ratio(have: str, want: str) -> Any:
    return lambda obj, now: f"{read(obj, have, 0)}/{read(obj, want, 0)}"


CONTAINERS = Column("Containers", _containers(SPEC_TEMPLATE), wide=True)
IMAGES = Column("Images", _images(SPEC_TEMPLATE), wide=True)
SELECTOR = Column("Selector", _selector, wide=True)


def _check_selector_and_template(new: Object, old: Object | None, *, of: str = "deployment") -> list[Cause]:
    spec = new["spec"]
    causes = check_template(read(spec, "template", {}), "spec.template", always_restart=True)
    return [*_check_numbers(spec, ("replicas",)), *_check_selector(spec, causes, of=of)]


def _check_numbers(spec: Object, names: tuple[str, ...]) -> list[Cause]:
    found = [(name, spec[name]) for name in names if name in spec]
    return [invalid(f"spec.{name}", value, "must be greater than or equal to 0") for name, value in found if value < 0]


def _check_selector(spec: Object, causes: list[Cause], *, of: str) -> list[Cause]:
    selector = spec.get("selector")
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        empty = Cause("FieldValueInvalid", "spec.selector", f"Invalid value: {{}}: empty selector is invalid for {of}")
        if selector is not None:
            return [empty, *causes]
        shown = _map(labels) if (labels := read(spec, "template.metadata.labels")) else "null"
        return [required("spec.selector"), _mismatch(shown), *causes]
    labels = read(spec, "template.metadata.labels")
    parsed = selectors.of_object(selector)
    if parsed and not parsed.matches(labels or {}):
        causes.insert(0, _mismatch("null" if labels is None else _map(labels)))
    return causes


def _check_stateful_set(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    causes = []
    if (policy := spec["podManagementPolicy"]) not in ("OrderedReady", "Parallel"):
        causes.append(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    if odd := _odd_update(spec, rolling=("Partition", "MaxUnavailable")):
        words = f"Invalid value: {odd}: must be 'RollingUpdate' or 'OnDelete'"
        causes.append(Cause("FieldValueInvalid", "spec.updateStrategy", words))
    rolling = read(spec, "updateStrategy.rollingUpdate")
    if rolling is not None and spec["updateStrategy"]["type"] == "OnDelete":
        shown = json.dumps(
            {"Partition": rolling.get("partition", 0), "MaxUnavailable": rolling.get("maxUnavailable")}, separators=(",", ":")
        )
        words = f"Invalid value: {shown}: only allowed for updateStrategy 'RollingUpdate'"
        causes.append(Cause("FieldValueInvalid", "spec.updateStrategy.rollingUpdate", words))
    partition = read(spec, "updateStrategy.rollingUpdate.partition", 0)
    if partition < 0:
        causes.append(invalid("spec.updateStrategy.rollingUpdate.partition", partition, "must be greater than or equal to 0"))
    causes += _check_numbers(spec, ("replicas", "minReadySeconds"))
    if read(spec, "ordinals.start", 0) < 0:
        causes.append(invalid("spec.ordinals.start", spec["ordinals"]["start"], "must be greater than or equal to 0"))
    template = check_template(read(spec, "template", {}), "spec.template", always_restart=True)
    return [*causes, *_check_selector(spec, template, of="statefulset")]


def _check_daemon_set(new: Object, old: Object | None) -> list[Cause]:
    spec = new["spec"]
    causes = []
    if old is not None and spec.get("selector") != old["spec"].get("selector"):
        shown = json.dumps(spec.get("selector"), separators=(",", ":"))
        causes.append(Cause("FieldValueInvalid", "spec.selector", f"Invalid value: {shown}: field is immutable"))
    causes += [one for one in _check_selector_and_template(new, old, of="daemonset") if one != required("spec.selector")]
    causes += _check_numbers(spec, ("minReadySeconds",))
    rolling = read(spec, "updateStrategy.rollingUpdate")
    if odd := _odd_update(spec, rolling=("MaxUnavailable", "MaxSurge")):
        listed = ", ".join(f'"{choice}"' for choice in _UPDATES)
        causes.append(Cause("FieldValueNotSupported", "spec.updateStrategy", f"Unsupported value: {odd}: supported values: {listed}"))
    elif rolling:
        surge, unavailable = (not _is_zero(rolling.get(name, 0)) for name in ("maxSurge", "maxUnavailable"))
        if surge and unavailable:
            words = "may not be set when maxUnavailable is non-zero"
            causes.append(invalid("spec.updateStrategy.rollingUpdate.maxSurge", rolling["maxSurge"], words))
        elif not surge and not unavailable:
            causes.append(required("spec.updateStrategy.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return causes + _check_numbers(spec, ("revisionHistoryLimit",))


def _odd_update(spec: Object, *, rolling: tuple[str, ...]) -> str:
    """An update strategy that nobody knows, as Kubernetes prints it."""
    strategy = spec["updateStrategy"]
    if strategy.get("type") in _UPDATES:
        return ""
    told = strategy.get("rollingUpdate")
    shown = {name: told.get(name[0].lower() + name[1:]) for name in rolling} if told is not None else None
    return json.dumps({"Type": strategy.get("type"), "RollingUpdate": shown}, separators=(",", ":"))


def _mismatch(labels: str) -> Cause:
    words = f"Invalid value: {labels}: `selector` does not match template `labels`"
    return Cause("FieldValueInvalid", "spec.template.metadata.labels", words)


def _map(labels: dict[str, str]) -> str:
    return "{" + ",".join(f'"{key}":"{value}"' for key, value in sorted(labels.items())) + "}"


def _default_deployment(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    default_template(spec.setdefault("template", {}))
    for condition in items(obj, "status.conditions"):
        condition.setdefault("lastUpdateTime", None)
        condition.setdefault("lastTransitionTime", None)


def _check_deployment(new: Object, old: Object | None) -> list[Cause]:
    causes = _check_selector_and_template(new, old)
    strategy = new["spec"].get("strategy", {})
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") not in _STRATEGIES:
        rolling = {f"{name[0].upper()}{name[1:]}": value for name, value in rolling.items()} if rolling else rolling
        shown = json.dumps({"Type": strategy.get("type"), "RollingUpdate": rolling}, separators=(",", ":"))
        words = f"Unsupported value: {shown}: supported values: " + ", ".join(f'"{name}"' for name in _STRATEGIES)
        causes.append(Cause("FieldValueNotSupported", "spec.strategy", words))
    if strategy.get("type") == "Recreate" and rolling:
        causes.append(
            Cause(
                "FieldValueForbidden", "spec.strategy.rollingUpdate", "Forbidden: may not be specified when strategy `type` is 'Recreate'"
            )
        )
    if rolling and _is_zero(rolling.get("maxSurge")) and _is_zero(rolling.get("maxUnavailable")):
        causes.append(invalid("spec.strategy.rollingUpdate.maxUnavailable", 0, "may not be 0 when `maxSurge` is 0"))
    causes += _check_numbers(new["spec"], ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"))
    deadline = new["spec"].get("progressDeadlineSeconds")
    if deadline is not None and deadline <= new["spec"].get("minReadySeconds", 0):
        causes.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return causes


def _check_status(status: Object, counts: tuple[str, ...], *, others: tuple[str, ...], ready: str = "readyReplicas") -> list[Cause]:
    """``counts`` are parts of ``replicas``, in the order in which Kubernetes looks at them; ``others`` are only not negative."""
    path = "status"
    negative = [name for name in ("replicas", *counts, *others) if status.get(name, 0) < 0]
    causes = [invalid(f"{path}.{name}", status[name], "must be greater than or equal to 0") for name in negative]
    have = {name: status.get(name, 0) for name in ("replicas", *counts)}
    more = [name for name in counts if have[name] > have["replicas"]]
    causes += [invalid(f"{path}.{name}", have[name], "cannot be greater than status.replicas") for name in more]
    if have["availableReplicas"] > have["readyReplicas"]:
        causes.append(invalid(f"{path}.availableReplicas", have["availableReplicas"], f"cannot be greater than {ready}"))
    return causes


def _check_deployment_status(new: Object, old: Object) -> list[Cause]:
    status, seen = new["status"], new["status"].get("observedGeneration", 0)
    first = [invalid("status.observedGeneration", seen, "must be greater than or equal to 0")] if seen < 0 else []
    counts = ("updatedReplicas", "readyReplicas", "availableReplicas")
    return first + _check_status(status, counts, others=("unavailableReplicas", "terminatingReplicas", "collisionCount"))


def _check_replica_set_status(new: Object, old: Object) -> list[Cause]:
    counts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    return _check_status(new["status"], counts, others=("observedGeneration", "terminatingReplicas"))


def _check_stateful_set_status(new: Object, old: Object) -> list[Cause]:
    counts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    return _check_status(new["status"], counts, others=("observedGeneration", "collisionCount"), ready="status.readyReplicas")


def _is_zero(value: Any) -> bool:
    return value in (0, "0", "0%")


def _default_replica_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    default_template(spec.setdefault("template", {}))


def _born_replica_set(obj: Object) -> None:
    obj["status"] = {"replicas": 0}


def _born_stateful_set(obj: Object) -> None:
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


def _default_stateful_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("partition", 0)
        rolling.setdefault("maxUnavailable", 1)
    default_template(spec.setdefault("template", {}))


def _assign_stateful_set(obj: Object) -> None:
    obj["spec"].setdefault("serviceName", "")


def _default_daemon_set(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    notes = obj["metadata"].get("annotations") or {}
    obj["metadata"]["annotations"] = {TEMPLATE_GENERATION: "0", **notes}  # whoever writes it owns it, and the server counts
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    default_template(spec.setdefault("template", {}))


def _born_daemon_set(obj: Object) -> None:
    obj["status"] = {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}


def _node_selector(obj: Object, now: float) -> str:
    return selectors.format_labels(read(obj, "spec.template.spec.nodeSelector", {})) or "<none>"


DEPLOYMENT = Kind(
    kind="Deployment",
    plural="deployments",
    group="apps",
    short=("deploy",),
    categories=("all",),
    columns=(
        NAME,
        Column("Ready", _ratio("status.readyReplicas", "spec.replicas")),
        Column("Up-to-date", _number("status.updatedReplicas")),
        Column("Available", _number("status.availableReplicas")),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    has_generation=True,
    warns=names_pods,
    annotations_are_spec=True,
    status_keeps=("labels",),
    subresources=(SCALE,),
    defaults=_default_deployment,
    born=_born_deployment,
    validate=_check_deployment,
    validate_status=_check_deployment_status,
    immutable=("spec.selector",),
)

REPLICA_SET = Kind(
    kind="ReplicaSet",
    plural="replicasets",
    group="apps",
    short=("rs",),
    categories=("all",),
    columns=(
        NAME,
        Column("Desired", _number("spec.replicas"), type="integer"),
        Column("Current", _number("status.replicas"), type="integer"),
        Column("Ready", _number("status.readyReplicas"), type="integer"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    has_generation=True,
    warns=names_pods,
    subresources=(SCALE,),
    defaults=_default_replica_set,
    born=_born_replica_set,
    validate=_check_selector_and_template,
    validate_status=_check_replica_set_status,
    immutable=("spec.selector",),
)

STATEFUL_SET = Kind(
    kind="StatefulSet",
    plural="statefulsets",
    group="apps",
    short=("sts",),
    categories=("all",),
    columns=(NAME, Column("Ready", _ratio("status.readyReplicas", "spec.replicas")), AGE, CONTAINERS, IMAGES),
    name_is_label=True,
    name_limit=63,
    has_generation=True,
    warns=names_pods,
    subresources=(SCALE,),
    defaults=_default_stateful_set,
    assigns=_assign_stateful_set,
    born=_born_stateful_set,
    validate=_check_stateful_set,
    validate_status=_check_stateful_set_status,
    immutable=("spec.selector", "spec.volumeClaimTemplates", "spec.serviceName", "spec.podManagementPolicy"),
)

DAEMON_SET = Kind(
    kind="DaemonSet",
    plural="daemonsets",
    group="apps",
    short=("ds",),
    categories=("all",),
    columns=(
        NAME,
        Column("Desired", _number("status.desiredNumberScheduled"), type="integer"),
        Column("Current", _number("status.currentNumberScheduled"), type="integer"),
        Column("Ready", _number("status.numberReady"), type="integer"),
        Column("Up-to-date", _number("status.updatedNumberScheduled"), type="integer"),
        Column("Available", _number("status.numberAvailable"), type="integer"),
        Column("Node Selector", _node_selector),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ),
    has_generation=True,
    defaults=_default_daemon_set,
    born=_born_daemon_set,
    validate=_check_daemon_set,
)
