"""
Who is on which node, kept up with every event and with what was decided a moment ago, so that nothing has to be counted again for each pod.

Used by the scheduler; :mod:`.fit` and :mod:`.spread` read it. It asks nobody and decides nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import quantity

Family = tuple[str, str]
"""Namespace and the uid of the controller."""


@dataclass(slots=True)
class Tenants:
    """The pods of one node by uid, and what they ask for together."""

    pods: dict[str, Object] = field(default_factory=dict)
    asked: dict[str, Fraction] = field(default_factory=dict)

    def add(self, pod: Object) -> None:
        self.pods[pod["metadata"]["uid"]] = pod
        for name, amount in requests_of(pod).items():
            self.asked[name] = self.asked.get(name, Fraction(0)) + amount

    def remove(self, uid: str) -> Object:
        pod = self.pods.pop(uid)
        for name, amount in requests_of(pod).items():
            self.asked[name] -= amount
        return pod


NOBODY = Tenants()


class Picture:
    """Pods that have a node and have not ended."""

    def __init__(self) -> None:
        self._nodes: dict[str, Tenants] = {}
        self._places: dict[str, str] = {}
        self._families: dict[Family, Counter[str]] = {}

    def tenants(self, node: str) -> Tenants:
        """Not to be changed."""
        return self._nodes.get(node, NOBODY)

    def siblings(self, pod: Object) -> Mapping[str, int]:
        """How many pods with its controller that are not about to go each node has."""
        family = family_of(pod)
        return self._families.get(family, {}) if family else {}

    def put(self, pod: Object, node: str) -> None:
        """As it is now, wherever it was before."""
        uid = pod["metadata"]["uid"]
        self.drop(uid)
        self._places[uid] = node
        self._nodes.setdefault(node, Tenants()).add(pod)
        if family := family_of(pod):
            self._families.setdefault(family, Counter())[node] += 1

    def drop(self, uid: str) -> None:
        if (node := self._places.pop(uid, None)) is None:
            return
        pod = self._nodes[node].remove(uid)
        if family := family_of(pod):
            count = self._families[family]
            count[node] -= 1
            if not count[node]:
                del count[node]
            if not count:
                del self._families[family]


def family_of(pod: Object) -> Family | None:
    """None: it has no controller, or is about to go."""
    if pod["metadata"].get("deletionTimestamp"):
        return None
    owner = next((owner["uid"] for owner in pod["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)
    return (pod["metadata"]["namespace"], owner) if owner else None


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
