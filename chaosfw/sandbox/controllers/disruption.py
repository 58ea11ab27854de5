"""
The disruption controller: how many pods of each budget may be disturbed now. Eviction reads what is written here.
"""

from __future__ import annotations

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects import moments, selectors

RESOURCE = "poddisruptionbudgets.policy"
FORGET_AFTER = 120.0
"""Seconds after which an evicted pod that never went is counted again."""

_SCALED = {"Deployment": "deployments.apps", "ReplicaSet": "replicasets.apps", "StatefulSet": "statefulsets.apps"}


class Disruption:
    """Reconciles budgets; woken by budgets, by pods they select, and by scaled workloads."""

    def __init__(self, caches: Caches) -> None:
        self._caches, self._client = caches, caches.client
        self.loop = Loop("disruption budgets", self.reconcile)

    def listen(self) -> None:
        self._caches[RESOURCE].listen(self._on_budget)
        self._caches["pods"].listen(self._on_pod)
        for resource in _SCALED.values():
            self._caches[resource].listen(self._on_workload)

    def _on_budget(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(key_of(new))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        for pod in filter(None, (old, new)):
            for budget in self._caches[RESOURCE].all(namespace=pod["metadata"]["namespace"]):
                if _selects(budget, pod):
                    self.loop.add(key_of(budget))

    def _on_workload(self, old: Object | None, new: Object | None) -> None:
        if new is None or (old is not None and old["spec"].get("replicas") == new["spec"].get("replicas")):
            return
        for budget in self._caches[RESOURCE].all(namespace=new["metadata"]["namespace"]):
            self.loop.add(key_of(budget))

    async def reconcile(self, key: Key) -> None:
        budget = self._caches[RESOURCE].get(*key)
        if budget is None or objects.is_going(budget):
            return
        pods = [pod for pod in self._caches["pods"].all(namespace=key[0]) if _selects(budget, pod)]
        status = self._status(budget, pods)
        if status != budget.get("status"):
            body = {**budget, "status": status}
            written = await self._client.replace(RESOURCE, key[1], body, namespace=key[0], subresource="status")
            await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])

    def _status(self, budget: Object, pods: list[Object]) -> Object:
        taken = self._still_taken(budget, pods)
        expected, wanted = self._wanted(budget, pods)
        healthy = sum(objects.is_ready(pod) and not objects.is_going(pod) and pod["metadata"]["name"] not in taken for pod in pods)
        allowed = max(0, healthy - wanted) if expected > 0 else 0
        status: Object = {
            "observedGeneration": budget["metadata"].get("generation", 0),
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": wanted,
            "expectedPods": expected,
            "conditions": [_condition(budget, allowed)],
        }
        if taken:
            status["disruptedPods"] = taken
        return status

    def _still_taken(self, budget: Object, pods: list[Object]) -> dict[str, str]:
        """Evicted, and not yet seen to go."""
        present = {pod["metadata"]["name"]: pod for pod in pods}
        taken = {}
        for name, since in ((budget.get("status") or {}).get("disruptedPods") or {}).items():
            age = objects.now_seconds() - moments.parse(since)
            if name in present and not objects.is_going(present[name]) and age < FORGET_AFTER:
                taken[name] = since
                self.loop.later(key_of(budget), FORGET_AFTER - age + 0.1)
        return taken

    def _wanted(self, budget: Object, pods: list[Object]) -> tuple[int, int]:
        """(expected pods, how many must stay healthy)."""
        spec = budget["spec"]
        if "maxUnavailable" in spec:
            expected = self._expected(pods)
            return expected, max(0, expected - objects.share(spec["maxUnavailable"], expected, up=True))
        least = spec.get("minAvailable", 1)
        if isinstance(least, str):
            expected = self._expected(pods)
            return expected, objects.share(least, expected, up=True)
        return len(pods), least

    def _expected(self, pods: list[Object]) -> int:
        """The replicas that the owners of these pods want."""
        owners: dict[str, int] = {}
        for pod in pods:
            workload = self._workload(pod)
            if workload is not None:
                owners[workload["metadata"]["uid"]] = workload["spec"].get("replicas", 1)
        return sum(owners.values())

    def _workload(self, pod: Object) -> Object | None:
        found: Object = pod
        while (owner := objects.controller_of(found)) is not None and owner["kind"] in _SCALED:
            above = self._caches[_SCALED[owner["kind"]]].get(pod["metadata"]["namespace"], owner["name"])
            if above is None:
                break
            found = above
        return found if found is not pod else None


def _selects(budget: Object, pod: Object) -> bool:
    selector = selectors.of_object(budget["spec"].get("selector"))
    return selector is not None and selector.matches(pod["metadata"].get("labels")) and not _has_ended(pod)


def _has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _condition(budget: Object, allowed: int) -> Object:
    status, reason = ("True", "SufficientPods") if allowed > 0 else ("False", "InsufficientPods")
    known = objects.condition(budget, "DisruptionAllowed")
    same = known is not None and known["status"] == status
    return {
        "type": "DisruptionAllowed",
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": budget["metadata"].get("generation", 0),
        "lastTransitionTime": known["lastTransitionTime"] if same and known is not None else objects.now(),
    }
