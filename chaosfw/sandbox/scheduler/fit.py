"""
Whether a pod may run on a node: every reason why not, in the words of Kubernetes' events. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import quantity
from chaosfw.sandbox.objects.affinity import selects
from chaosfw.sandbox.objects.tolerations import tolerates

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_DEFAULT_PODS = 110


def refusals(pod: Object, node: Object, residents: Iterable[Object]) -> list[str]:
    """Empty: it fits. ``residents`` are the pods that have the node."""
    checks: tuple[Callable[[Object, Object], str], ...] = (_unschedulable, _taint, _affinity)
    found = [reason for check in checks if (reason := check(pod, node))]
    return found or _shortage(pod, node, list(residents))


def requests_of(pod: Object) -> dict[str, Fraction]:
    """What the pod asks for: its containers together, or its largest init container."""
    spec = pod["spec"]
    total: dict[str, Fraction] = {}
    for container in spec.get("containers") or ():
        for name, amount in _requests(container).items():
            total[name] = total.get(name, Fraction(0)) + amount
    for container in spec.get("initContainers") or ():
        for name, amount in _requests(container).items():
            total[name] = max(total.get(name, Fraction(0)), amount)
    return total


def _requests(container: Object) -> dict[str, Fraction]:
    asked = (container.get("resources") or {}).get("requests") or {}
    return {name: quantity.parse(amount) for name, amount in asked.items()}


def _unschedulable(pod: Object, node: Object) -> str:
    shut = node["spec"].get("unschedulable") and not tolerates(pod, {"key": UNSCHEDULABLE, "effect": "NoSchedule"})
    return "node(s) were unschedulable" if shut else ""


def _taint(pod: Object, node: Object) -> str:
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] in ("NoSchedule", "NoExecute") and taint["key"] != UNSCHEDULABLE and not tolerates(pod, taint):
            return "node(s) had untolerated taint(s)"
    return ""


def _affinity(pod: Object, node: Object) -> str:
    return "" if selects(pod, node) else "node(s) didn't match Pod's node affinity/selector"


def _shortage(pod: Object, node: Object, residents: list[Object]) -> list[str]:
    allocatable: dict[str, Any] = (node.get("status") or {}).get("allocatable") or {}
    reasons = []
    if len(residents) >= quantity.parse(allocatable.get("pods", _DEFAULT_PODS)):
        reasons.append("Too many pods")
    asked = requests_of(pod)
    if not asked:
        return reasons
    used: dict[str, Fraction] = {}
    for resident in residents:
        for name, amount in requests_of(resident).items():
            used[name] = used.get(name, Fraction(0)) + amount
    for name, amount in asked.items():
        room = quantity.parse(allocatable.get(name, 0)) - used.get(name, Fraction(0))
        if amount > room and amount > 0:
            reasons.append(f"Insufficient {name}")
    return reasons
