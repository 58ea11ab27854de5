"""
Whether a pod may run on a node: every reason why not, in the words of Kubernetes' events. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import quantity
from chaosfw.sandbox.objects.affinity import selects
from chaosfw.sandbox.objects.tolerations import tolerates
from chaosfw.sandbox.scheduler.picture import Tenants, requests_of

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_DEFAULT_PODS = 110


def refusals(pod: Object, node: Object, tenants: Tenants) -> list[str]:
    """Empty: it fits. ``tenants`` are the pods that have the node."""
    checks: tuple[Callable[[Object, Object], str], ...] = (_unschedulable, _taint, _affinity)
    found = [reason for check in checks if (reason := check(pod, node))]
    return found or _shortage(pod, node, tenants)


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


def _shortage(pod: Object, node: Object, tenants: Tenants) -> list[str]:
    allocatable: dict[str, Any] = (node.get("status") or {}).get("allocatable") or {}
    reasons = []
    if len(tenants.pods) >= quantity.parse(allocatable.get("pods", _DEFAULT_PODS)):
        reasons.append("Too many pods")
    for name, amount in requests_of(pod).items():
        room = quantity.parse(allocatable.get(name, 0)) - tenants.asked.get(name, Fraction(0))
        if amount > room and amount > 0:
            reasons.append(f"Insufficient {name}")
    return reasons
