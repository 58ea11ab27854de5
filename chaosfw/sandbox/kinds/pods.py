"""
The pod's row, and what every kind that carries a pod template shares: defaults of containers, probes and volumes, checks.
"""

from __future__ import annotations

from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.row import (
    AGE,
    NAME,
    PROXIED,
    Cause,
    Column,
    Kind,
    Subresource,
    check_labels,
    duplicate,
    forbidden,
    invalid,
    items,
    read,
    required,
    unsupported,
)
from chaosfw.sandbox.objects import moments, quantity
from chaosfw.sandbox.objects.names import DNS_LABEL, DNS_LABEL_RULE

DEFAULT_GRACE = 30
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MODE_SOURCES = ("secret", "configMap", "projected", "downwardAPI")
_FROZEN = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_HOSTNAME = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: "
_POLICIES = ("Always", "OnFailure", "Never")


# --- defaults ---------------------------------------------------------------------------------------------------------


def default_pod_spec(spec: Object) -> None:
    """What both a pod and a template get."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", DEFAULT_GRACE)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    if account := spec.get("serviceAccountName") or spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    for constraint in spec.get("topologySpreadConstraints") or ():
        constraint.setdefault("nodeAffinityPolicy", "Honor")
        constraint.setdefault("nodeTaintsPolicy", "Ignore")


def containers(spec: Object) -> list[Object]:
    """Ordinary and init containers."""
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def default_container(container: Object) -> None:
    image = container.get("image", "")
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    fresh = "@" not in image and tag in ("", "latest")
    container.setdefault("imagePullPolicy", "Always" if fresh else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if "fieldRef" in variable.get("valueFrom", {}):
            variable["valueFrom"]["fieldRef"].setdefault("apiVersion", "v1")
    for name in _PROBES:
        if name in container:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http(hook)


def _default_probe(probe: Object) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    _default_http(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _default_http(handler: Object) -> None:
    if "httpGet" in handler:
        handler["httpGet"].setdefault("path", "/")
        handler["httpGet"].setdefault("scheme", "HTTP")


def _default_volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for source in _MODE_SOURCES:
        if source in volume:
            volume[source].setdefault("defaultMode", 420)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            if "fieldRef" in item:
                item["fieldRef"].setdefault("apiVersion", "v1")


def default_template(template: Object) -> None:
    """A template is always there, and so is its metadata."""
    template.setdefault("metadata", {})
    default_pod_spec(template.setdefault("spec", {"containers": []}))


def _defaults(pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    spec.setdefault("enableServiceLinks", True)
    default_pod_spec(spec)
    for container in containers(spec):
        resources = container["resources"]
        if resources.get("limits"):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}
    for condition in items(pod, "status.conditions"):
        condition.setdefault("lastProbeTime", None)
        condition.setdefault("lastTransitionTime", None)
    for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for status in items(pod, f"status.{field}"):
            status.setdefault("state", {})
            status.setdefault("lastState", {})


def _born(pod: Object) -> None:
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(pod["spec"])}


def qos_class(spec: Object) -> str:
    """Guaranteed if every container limits cpu and memory to its requests, BestEffort if none asks for anything."""
    asks = [container.get("resources") or {} for container in containers(spec)]
    if not any(ask.get("limits") or ask.get("requests") for ask in asks):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= set(ask.get("limits") or ())
        and all(
            quantity.parse((ask.get("requests") or {}).get(name, value)) == quantity.parse(value) for name, value in ask["limits"].items()
        )
        for ask in asks
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _grace(pod: Object) -> int:
    """A pod that no kubelet has, or that has ended, goes at once."""
    if not read(pod, "spec.nodeName") or read(pod, "status.phase") in ("Succeeded", "Failed"):
        return 0
    return int(read(pod, "spec.terminationGracePeriodSeconds", DEFAULT_GRACE))


def strange_name(name: str) -> str:
    """Why a name makes no hostname, as Kubernetes words it; empty where it makes one."""
    why = ["must be no more than 63 characters"] if len(name) > 63 else []
    why += ["must not contain dots"] if "." in name else []
    return f"[{' '.join(why)}]" if why else ""


def _warnings(pod: Object) -> list[str]:
    return [_HOSTNAME + why] if (why := strange_name(pod["metadata"].get("name", ""))) else []


# --- checks -----------------------------------------------------------------------------------------------------------


def check_template(template: Object, path: str, *, always_restart: bool = False) -> list[Cause]:
    """Labels first; the field of them is named as Kubernetes names it, which is not where they stand."""
    labels = check_labels((template.get("metadata") or {}).get("labels") or {}, f"{path}.labels")
    return [*labels, *check_pod_spec(template.get("spec") or {}, f"{path}.spec", always_restart=always_restart)]


def check_pod_spec(spec: Object, path: str, *, always_restart: bool = False) -> list[Cause]:
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    names: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or ()):
            causes += _check_container(container, f"{path}.{field}[{index}]", names)
    policy = spec.get("restartPolicy", "Always")
    for allowed in (_POLICIES, ("Always",)) if always_restart else (_POLICIES,):
        if policy not in allowed:
            causes.append(unsupported(f"{path}.restartPolicy", policy, allowed))
    return causes


def _check_container(container: Object, path: str, names: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{path}.name"))
    elif not DNS_LABEL.match(name):
        causes.append(invalid(f"{path}.name", name, DNS_LABEL_RULE))
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        if not 0 < number < 65536:
            causes.append(invalid(f"{path}.ports[{index}].containerPort", number, "must be between 1 and 65535, inclusive"))
    causes += [required(f"{path}.env[{index}].name") for index, one in enumerate(container.get("env") or ()) if not one.get("name")]
    if container.get("imagePullPolicy", "Always") not in _PULL_POLICIES:
        causes.append(unsupported(f"{path}.imagePullPolicy", container["imagePullPolicy"], _PULL_POLICIES))
    causes += _check_resources(container.get("resources") or {}, f"{path}.resources")
    if name in names:
        causes.append(duplicate(f"{path}.name", name))
    names.add(name)
    return causes


def _check_resources(resources: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("limits", "requests"):
        for name, amount in (resources.get(field) or {}).items():
            try:
                quantity.parse(amount)
            except ValueError as error:
                causes.append(invalid(f"{path}.{field}[{name}]", amount, str(error)))
    return causes or _check_limits(resources, path)


def _check_limits(resources: Object, path: str) -> list[Cause]:
    limits = resources.get("limits") or {}
    wanted = [(name, amount, limits[name]) for name, amount in (resources.get("requests") or {}).items() if name in limits]
    return [
        invalid(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limit}")
        for name, amount, limit in wanted
        if quantity.parse(amount) > quantity.parse(limit)
    ]


def _validate(new: Object, old: Object | None) -> list[Cause]:
    if old is None:
        return check_pod_spec(new["spec"], "spec")
    causes = check_pod_spec(new["spec"], "spec")
    for field in ("containers", "initContainers"):
        if len(new["spec"].get(field) or ()) != len(old["spec"].get(field) or ()):
            return [*causes, forbidden(f"spec.{field}", "pod updates may not add or remove containers")]
    if _frozen_part(new["spec"]) == _frozen_part(old["spec"]):
        return causes
    return [
        *causes,
        forbidden(
            "spec",
            _FROZEN,
        ),
    ]


def _frozen_part(spec: Object) -> Object:
    kept = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")}
    for field in ("containers", "initContainers"):
        if field in kept:
            kept[field] = [{key: value for key, value in container.items() if key != "image"} for container in kept[field]]
    return kept


# --- what kubectl shows -----------------------------------------------------------------------------------------------


def is_ready(pod: Object) -> bool:
    """The Ready condition, and nothing else."""
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in items(pod, "status.conditions"))


def _ready(pod: Object, now: float) -> str:
    statuses = list(items(pod, "status.containerStatuses"))
    return f"{sum(bool(status.get('ready')) for status in statuses)}/{len(read(pod, 'spec.containers', ()))}"


def _restarts(pod: Object, now: float) -> str:
    statuses = list(items(pod, "status.containerStatuses"))
    count = sum(status.get("restartCount", 0) for status in statuses)
    ended = [finished for status in statuses if (finished := read(status, "lastState.terminated.finishedAt"))]
    return f"{count} ({moments.age(max(ended), now)} ago)" if count and ended else str(count)


def _status(pod: Object, now: float) -> str:
    reason = str(read(pod, "status.reason") or read(pod, "status.phase", "Unknown"))
    reason = _init_reason(pod) or _container_reason(pod, reason)
    if read(pod, "metadata.deletionTimestamp") and reason not in ("Succeeded", "Failed"):
        return "Unknown" if read(pod, "status.reason") == "NodeLost" else "Terminating"
    return reason


def _init_reason(pod: Object) -> str:
    statuses = list(items(pod, "status.initContainerStatuses"))
    for index, status in enumerate(statuses):
        ended, waiting = read(status, "state.terminated"), read(status, "state.waiting")
        if (ended and ended.get("exitCode") == 0) or (status.get("started") and status.get("ready")):
            continue
        if ended:
            return f"Init:{ended.get('reason') or 'ExitCode:' + str(ended.get('exitCode'))}"
        if waiting and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len(statuses)}"
    return ""


def _container_reason(pod: Object, reason: str) -> str:
    running = False
    for status in reversed(list(items(pod, "status.containerStatuses"))):
        waiting, ended = read(status, "state.waiting"), read(status, "state.terminated")
        if waiting and waiting.get("reason"):
            reason = waiting["reason"]
        elif ended:
            reason = ended.get("reason") or (f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode')}")
        elif status.get("ready") and read(status, "state.running"):
            running = True
    if reason == "Completed" and running:
        return "Running" if is_ready(pod) else "NotReady"
    return reason


def _or_none(path: str) -> Any:
    return lambda obj, now: read(obj, path) or "<none>"


def _gates(pod: Object, now: float) -> str:
    gates = [gate["conditionType"] for gate in items(pod, "spec.readinessGates")]
    if not gates:
        return "<none>"
    true = {condition["type"] for condition in items(pod, "status.conditions") if condition["status"] == "True"}
    return f"{sum(gate in true for gate in gates)}/{len(gates)}"


COLUMNS = (
    NAME,
    Column("Ready", _ready),
    Column("Status", _status),
    Column("Restarts", _restarts),
    AGE,
    Column("IP", _or_none("status.podIP"), wide=True),
    Column("Node", _or_none("spec.nodeName"), wide=True),
    Column("Nominated Node", _or_none("status.nominatedNodeName"), wide=True),
    Column("Readiness Gates", _gates, wide=True),
)

POD = Kind(
    kind="Pod",
    plural="pods",
    short=("po",),
    categories=("all",),
    columns=COLUMNS,
    fields={
        "spec.nodeName": "spec.nodeName",
        "spec.restartPolicy": "spec.restartPolicy",
        "spec.schedulerName": "spec.schedulerName",
        "spec.serviceAccountName": "spec.serviceAccountName",
        "spec.hostNetwork": "spec.hostNetwork",
        "status.phase": "status.phase",
        "status.podIP": "status.podIP",
        "status.nominatedNodeName": "status.nominatedNodeName",
    },
    has_generation=True,
    status_keeps=("ownerReferences",),
    subresources=(
        Subresource("binding", "Binding", ("create",), "", "v1"),
        Subresource("eviction", "Eviction", ("create",), "policy", "v1"),
        Subresource("exec", "PodExecOptions", ("create", "get"), "", "v1"),
        Subresource("log", "Pod", ("get",), "", "v1"),
        Subresource("portforward", "PodPortForwardOptions", ("create", "get"), "", "v1"),
        Subresource("proxy", "PodProxyOptions", PROXIED, "", "v1"),
    ),
    defaults=_defaults,
    born=_born,
    validate=_validate,
    warns=_warnings,
    grace=_grace,
    answers_deleted_object=True,
)

BINDING = Kind(kind="Binding", plural="bindings", verbs=("create",), has_status=False)
