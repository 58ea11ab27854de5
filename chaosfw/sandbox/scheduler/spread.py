"""
Which of the fitting nodes is best: spread over zones and nodes, then the emptiest. Hard constraints rule nodes out. Pure.

Without constraints of its own a pod is spread like any of its siblings: those with the same controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import quantity, selectors
from chaosfw.sandbox.objects.affinity import selects
from chaosfw.sandbox.scheduler import fit

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"

Residents = Mapping[str, Sequence[Object]]
"""Pods by the name of their node."""


def violates(pod: Object, node: Object, nodes: Sequence[Object], residents: Residents) -> bool:
    """Whether a hard constraint (DoNotSchedule) forbids the node."""
    for constraint in pod["spec"].get("topologySpreadConstraints") or ():
        if constraint.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule" and _skews(pod, node, nodes, residents, constraint):
            return True
    return False


def order(pod: Object, fitting: Sequence[Object], residents: Residents) -> list[Object]:
    """Best first. Equal nodes keep the order of their names, so that the same cluster is filled the same way."""
    return sorted(fitting, key=lambda node: (*_crowding(pod, node, fitting, residents), node["metadata"]["name"]))


def _crowding(pod: Object, node: Object, nodes: Sequence[Object], residents: Residents) -> tuple[Fraction, Fraction, int]:
    """Siblings in the zone and on the node count first, then how full the node is."""
    softly = [one for one in pod["spec"].get("topologySpreadConstraints") or () if one.get("whenUnsatisfiable") == "ScheduleAnyway"]
    if softly:
        siblings = Fraction(sum(_count(pod, node, nodes, residents, one) for one in softly))
    else:
        siblings = Fraction(_alike(pod, node, nodes, residents, ZONE)) + Fraction(_alike(pod, node, nodes, residents, HOST))
    here = residents.get(node["metadata"]["name"], ())
    return siblings, _fullness(pod, node, here), len(here)


def _alike(pod: Object, node: Object, nodes: Sequence[Object], residents: Residents, topology: str) -> int:
    domain = _domain(node, topology)
    return sum(
        _is_sibling(pod, other)
        for place in nodes
        if _domain(place, topology) == domain
        for other in residents.get(place["metadata"]["name"], ())
    )


def _is_sibling(pod: Object, other: Object) -> bool:
    if pod["metadata"]["namespace"] != other["metadata"]["namespace"] or other["metadata"].get("deletionTimestamp"):
        return False
    mine, theirs = _controller(pod), _controller(other)
    return mine is not None and mine == theirs


def _controller(pod: Object) -> str | None:
    return next((owner["uid"] for owner in pod["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)


def _fullness(pod: Object, node: Object, here: Sequence[Object]) -> Fraction:
    """The fullest of cpu and memory, with the pod."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    used = {"cpu": Fraction(0), "memory": Fraction(0)}
    for resident in (*here, pod):
        for name, amount in fit.requests_of(resident).items():
            if name in used:
                used[name] += amount
    shares = [amount / total for name, amount in used.items() if (total := quantity.parse(allocatable.get(name, 0)))]
    return max(shares, default=Fraction(0))


def _skews(pod: Object, node: Object, nodes: Sequence[Object], residents: Residents, constraint: Object) -> bool:
    key = constraint["topologyKey"]
    if not _domain(node, key):
        return True
    counts: dict[str, int] = {}
    for place in nodes:
        if (domain := _domain(place, key)) and selects(pod, place):
            counts[domain] = counts.get(domain, 0) + _matching(pod, constraint, residents.get(place["metadata"]["name"], ()))
    least = min(counts.values(), default=0)
    if len(counts) < constraint.get("minDomains", 0):
        least = 0
    most: int = constraint.get("maxSkew", 1)
    return counts.get(_domain(node, key), 0) + 1 - least > most


def _count(pod: Object, node: Object, nodes: Sequence[Object], residents: Residents, constraint: Object) -> int:
    key = constraint["topologyKey"]
    domain = _domain(node, key)
    return sum(_matching(pod, constraint, residents.get(place["metadata"]["name"], ())) for place in nodes if _domain(place, key) == domain)


def _matching(pod: Object, constraint: Object, others: Sequence[Object]) -> int:
    selector = selectors.of_object(constraint.get("labelSelector"))
    keys = constraint.get("matchLabelKeys") or ()
    own = pod["metadata"].get("labels") or {}
    return sum(
        selector is not None
        and other["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and not other["metadata"].get("deletionTimestamp")
        and selector.matches(other["metadata"].get("labels"))
        and all((other["metadata"].get("labels") or {}).get(key) == own.get(key) for key in keys)
        for other in others
    )


def _domain(node: Object, key: str) -> str:
    labels = node["metadata"].get("labels") or {}
    return str(labels.get(key, node["metadata"]["name"] if key == HOST else ""))
