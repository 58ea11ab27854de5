"""
A pod's status from the states of its containers. Pure.

Called by :mod:`.pod`, which sends it. Container states are the API's own JSON (``{"running": {...}}``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaosfw.sandbox.client.verbs import Object

PAUSED: Final = "chaosfw.dev/paused"
"""Annotation (``"true"``) that stops the processes of a pod, and the condition that says so. No other kubelet knows it."""
OURS: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled", PAUSED)
TERMINAL: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the kubelet knows of one pod at one moment. ``before`` are the conditions the pod has."""

    pod: Object
    init: Sequence[Object]
    main: Sequence[Object]
    initialized: bool
    sandbox_made: bool
    pod_ip: str
    host_ip: str
    started_at: str
    before: Sequence[Object]
    now: str
    final: bool = False
    """Nothing of it runs or will run again."""
    paused: bool | None = None
    """None: it never was."""


def pod_status(seen: Observed) -> Object:
    phase = _phase(seen)
    status: Object = {
        "phase": phase,
        "conditions": _conditions(seen, phase),
        "hostIP": seen.host_ip,
        "hostIPs": [{"ip": seen.host_ip}],
        "startTime": seen.started_at,
        "qosClass": quality_of_service(seen.pod["spec"]),
        "containerStatuses": list(seen.main),
    }
    if seen.init:
        status["initContainerStatuses"] = list(seen.init)
    if seen.pod_ip:
        status["podIP"] = seen.pod_ip
        status["podIPs"] = [{"ip": seen.pod_ip}]
    return status


def _phase(seen: Observed) -> str:
    policy = seen.pod["spec"].get("restartPolicy", "Always")
    if not seen.final and not seen.initialized:
        return "Failed" if policy == "Never" and _has_failed(seen.init) else "Pending"
    if seen.final:
        return "Failed" if not seen.initialized or _has_failed(seen.main) or not _all_ended(seen.main) else "Succeeded"
    if _all_ended(seen.main) and not any("running" in status["state"] for status in seen.init):  # a sidecar may run on
        if policy == "Never":
            return "Failed" if _has_failed(seen.main) else "Succeeded"
        return "Succeeded" if policy == "OnFailure" and not _has_failed(seen.main) else "Running"
    return "Running" if any(_has_run(status) for status in seen.main) else "Pending"


def _conditions(seen: Observed, phase: str) -> list[Object]:
    ended = phase in TERMINAL
    unready = [status["name"] for status in seen.main if not status["ready"]]
    ready = seen.initialized and not unready and not ended
    why = {"reason": "PodCompleted"} if phase == "Succeeded" else {"reason": "PodFailed"} if phase == "Failed" else _not_ready(unready)
    gates = [gate["conditionType"] for gate in seen.pod["spec"].get("readinessGates", [])]
    open_gates = [gate for gate in gates if not any(c["type"] == gate and c["status"] == "True" for c in seen.before)]
    init_why: Object = {} if seen.initialized else _incomplete(seen.init)
    gate_why = {
        "reason": "ReadinessGatesNotReady",
        "message": f"corresponding condition of pod readiness gate {open_gates} does not exist or is false",
    }
    wanted: tuple[tuple[str, bool, Object], ...] = (
        ("PodReadyToStartContainers", seen.sandbox_made and not ended, {}),
        ("Initialized", seen.initialized, {"reason": "PodCompleted"} if phase == "Succeeded" else init_why),
        ("Ready", ready and not open_gates, {} if ready and not open_gates else gate_why if ready else why),
        ("ContainersReady", ready, {} if ready else why),
        ("PodScheduled", True, {}),
    )
    if seen.paused is not None:
        wanted += ((PAUSED, seen.paused, {}),)
    before = {condition["type"]: condition for condition in seen.before}
    return [_condition(kind, holds, reason, before=before.get(kind), seen=seen) for kind, holds, reason in wanted]


def _condition(kind: str, holds: bool, why: Mapping[str, str], *, before: Object | None, seen: Observed) -> Object:
    status = "True" if holds else "False"
    unchanged = before is not None and before["status"] == status
    since = before["lastTransitionTime"] if before is not None and unchanged and before.get("lastTransitionTime") else seen.now
    generation = seen.pod["metadata"].get("generation")
    numbered = {"observedGeneration": generation} if generation else {}
    told = {"reason": None, "message": None, **why}  # a strategic patch keeps what it is not told to drop
    return {"type": kind, **numbered, "status": status, "lastProbeTime": None, "lastTransitionTime": since, **told}


def _not_ready(unready: list[str]) -> Object:
    return {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"} if unready else {}


def _incomplete(init: Sequence[Object]) -> Object:
    names = [status["name"] for status in init if not status["ready"]]
    return {"reason": "ContainersNotInitialized", "message": f"containers with incomplete status: [{' '.join(names)}]"}


def _all_ended(statuses: Sequence[Object]) -> bool:
    return all("terminated" in status["state"] for status in statuses)


def _has_failed(statuses: Iterable[Object]) -> bool:
    return any(status["state"].get("terminated", {}).get("exitCode", 0) != 0 for status in statuses)


def _has_run(status: Object) -> bool:
    return "waiting" not in status["state"] or bool(status.get("lastState"))


def quality_of_service(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by the rules of the API."""
    sides = [container.get("resources", {}) for container in (*spec["containers"], *spec.get("initContainers", []))]
    if not any(side.get("requests") or side.get("limits") for side in sides):
        return "BestEffort"
    same = all(
        {"cpu", "memory"} <= side.get("limits", {}).keys() and side.get("requests", side["limits"]) == side["limits"] for side in sides
    )
    return "Guaranteed" if same else "Burstable"
