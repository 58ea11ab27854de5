"""
A deletion that asks the disruption budgets first.

The budget's status, which the disruption controller keeps, is the only arithmetic: this door takes one of the allowed
disruptions and writes down which pod took it, so that two evictions at once cannot both have the last one.
"""

from __future__ import annotations

from chaosfw.sandbox.apiserver import errors, writing
from chaosfw.sandbox.apiserver.store import Entry
from chaosfw.sandbox.apiserver.verbs import DeleteOptions, Verbs, WriteOptions
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds.cluster import BUDGET
from chaosfw.sandbox.kinds.pods import POD, is_ready
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.objects import selectors

REFUSAL = "Cannot evict pod as it would violate the pod's disruption budget."
SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def evict(verbs: Verbs, namespace: str, name: str, options: DeleteOptions) -> Object:
    """201 and a Status; 429 when a budget forbids it."""
    pod = verbs.get(POD, namespace, name).obj
    if not _goes_freely(pod):
        _ask(verbs, pod, options)
    if not options.dry_run:
        _tell(verbs, namespace, name)
    verbs.delete(POD, namespace, name, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _goes_freely(pod: Object) -> bool:
    return read(pod, "status.phase") in ("Succeeded", "Failed", "Pending") or bool(read(pod, "metadata.deletionTimestamp"))


def _budgets(verbs: Verbs, pod: Object) -> list[Entry]:
    found = []
    for budget in verbs.store.all(BUDGET.resource, namespace=pod["metadata"]["namespace"]):
        selector = selectors.of_object(read(budget.obj, "spec.selector"))
        if selector is not None and selector.matches(pod["metadata"].get("labels")):
            found.append(budget)
    return found


def _ask(verbs: Verbs, pod: Object, options: DeleteOptions) -> None:
    budgets = _budgets(verbs, pod)
    if len(budgets) > 1:
        raise ApiError(500, "", SEVERAL)
    for budget in budgets:
        if not _unhealthy_may_go(pod, budget.obj):
            _take(verbs, budget.obj, pod, options)


def _unhealthy_may_go(pod: Object, budget: Object) -> bool:
    """Running but not ready: counted as gone already, if the application has what it wants or the budget says so."""
    if is_ready(pod):
        return False
    if read(budget, "spec.unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status", {})
    return bool(status.get("currentHealthy", 0) >= status.get("desiredHealthy", 0) and status.get("desiredHealthy", 0) > 0)


def _take(verbs: Verbs, budget: Object, pod: Object, options: DeleteOptions) -> None:
    status, name = budget.get("status", {}), budget["metadata"]["name"]
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        cause = f"The disruption budget {name} is still being processed by the server."
        raise errors.too_many_requests(REFUSAL, cause=cause)
    if status.get("disruptionsAllowed", 0) <= 0:
        need, have = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        why = f"needs {need} healthy pods and has {have} currently" if have <= need else "does not allow evicting pods currently"
        raise errors.too_many_requests(REFUSAL, cause=f"The disruption budget {name} {why}")
    if options.dry_run:
        return
    spent = {**status, "disruptionsAllowed": status["disruptionsAllowed"] - 1}
    spent["disruptedPods"] = {**status.get("disruptedPods", {}), pod["metadata"]["name"]: writing.now()}
    if spent["disruptionsAllowed"] == 0:
        spent["conditions"] = _conditions(budget)
    manager = WriteOptions(manager="kube-apiserver")
    verbs.patch(BUDGET, budget["metadata"]["namespace"], name, {"status": spent}, "merge", manager, status=True)


def _conditions(budget: Object) -> list[Object]:
    """No further disruption is allowed; since when, where that is new."""
    known = {one["type"]: one for one in read(budget, "status.conditions", ())}
    told = known.get("DisruptionAllowed")
    since = told["lastTransitionTime"] if told and told["status"] == "False" else writing.now()
    known["DisruptionAllowed"] = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": read(budget, "status.observedGeneration", 0),
        "lastTransitionTime": since,
        "reason": "InsufficientPods",
        "message": "",
    }
    return list(known.values())


def _tell(verbs: Verbs, namespace: str, name: str) -> None:
    def condition(pod: Object) -> None:
        status = pod.setdefault("status", {})
        others = [known for known in status.get("conditions", ()) if known["type"] != "DisruptionTarget"]
        told = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": None,
            "lastTransitionTime": writing.now(),
        }
        status["conditions"] = [*others, told]

    verbs.change(POD, namespace, name, condition)
