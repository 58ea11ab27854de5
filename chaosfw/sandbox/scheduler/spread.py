"""
Which of the fitting nodes is best: spread over zones and nodes, then the emptiest. Hard constraints rule nodes out. Pure.

Without constraints of its own a pod is spread like any of its siblings: those with the same controller.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import cached_property

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import quantity, selectors
from chaosfw.sandbox.objects.affinity import selects
from chaosfw.sandbox.scheduler.picture import Picture, Tenants, requests_of

ZONE, HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_HARD, _SOFT = "DoNotSchedule", "ScheduleAnyway"


class Spreading:
    """One pod among ``nodes``: what is counted is counted once, however many nodes are asked about."""

    def __init__(self, pod: Object, nodes: Sequence[Object], picture: Picture) -> None:
        self._pod, self._nodes, self._picture = pod, nodes, picture
        self._constraints = pod["spec"].get("topologySpreadConstraints") or ()

    def violates(self, node: Object) -> bool:
        """Whether a hard constraint forbids the node."""
        return any(_skews(node, constraint, counts) for constraint, counts in self._hard)

    def best(self, fitting: Sequence[Object], *, among: Sequence[Object] | None = None) -> Object:
        """
        Of equal nodes the first by name, so that the same cluster is filled the same way. Siblings are counted on the nodes ``among``:
        those that fit, if nothing else is said.
        """
        crowds = self._crowds(fitting if among is None else among)
        return min(fitting, key=lambda node: (*self._crowding(node, crowds), node["metadata"]["name"]))

    @cached_property
    def _hard(self) -> list[tuple[Object, Mapping[str, int]]]:
        hard = [one for one in self._constraints if one.get("whenUnsatisfiable", _HARD) == _HARD]
        nodes = [node for node in self._nodes if selects(self._pod, node)] if hard else []
        return [(one, self._count(one, [node for node in nodes if _domain(node, one["topologyKey"])])) for one in hard]

    def _crowds(self, nodes: Sequence[Object]) -> list[tuple[str, Mapping[str, int]]]:
        """By which label, and how many are where."""
        soft = [one for one in self._constraints if one.get("whenUnsatisfiable") == _SOFT]
        if soft:
            return [(one["topologyKey"], self._count(one, nodes)) for one in soft]
        siblings, zones, hosts = self._picture.siblings(self._pod), Counter[str](), Counter[str]()
        for node in nodes if siblings else ():
            if count := siblings.get(node["metadata"]["name"]):
                zones[_domain(node, ZONE)] += count
                hosts[_domain(node, HOST)] += count
        return [(ZONE, zones), (HOST, hosts)]

    def _crowding(self, node: Object, crowds: Iterable[tuple[str, Mapping[str, int]]]) -> tuple[int, Fraction, int]:
        """Siblings in the zone and on the node count first, then how full the node is."""
        here = self._picture.tenants(node["metadata"]["name"])
        siblings = sum(counts.get(_domain(node, key), 0) for key, counts in crowds)
        return siblings, _fullness(self._asked, node, here), len(here.pods)

    @cached_property
    def _asked(self) -> Mapping[str, Fraction]:
        return requests_of(self._pod)

    def _count(self, constraint: Object, nodes: Iterable[Object]) -> Mapping[str, int]:
        """The pods that it is about, by the nodes' value of its label."""
        selector, keys = selectors.of_object(constraint.get("labelSelector")), constraint.get("matchLabelKeys") or ()
        own, namespace = self._pod["metadata"].get("labels") or {}, self._pod["metadata"]["namespace"]
        counts: dict[str, int] = {}
        for node in nodes:
            domain = _domain(node, constraint["topologyKey"])
            pods = self._picture.tenants(node["metadata"]["name"]).pods.values()
            found = sum(
                selector is not None
                and other["metadata"]["namespace"] == namespace
                and not other["metadata"].get("deletionTimestamp")
                and selector.matches(other["metadata"].get("labels"))
                and all((other["metadata"].get("labels") or {}).get(key) == own.get(key) for key in keys)
                for other in pods
            )
            counts[domain] = counts.get(domain, 0) + found
        return counts


def _fullness(asked: Mapping[str, Fraction], node: Object, here: Tenants) -> Fraction:
    """The fullest of cpu and memory, with the pod."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    shares = [Fraction(0)]
    for name in ("cpu", "memory"):
        used = here.asked.get(name, Fraction(0)) + asked.get(name, Fraction(0))
        if used and (total := quantity.parse(allocatable.get(name, 0))):
            shares.append(used / total)
    return max(shares)


def _skews(node: Object, constraint: Object, counts: Mapping[str, int]) -> bool:
    domain = _domain(node, constraint["topologyKey"])
    if not domain:
        return True
    least = min(counts.values(), default=0)
    if len(counts) < constraint.get("minDomains", 0):
        least = 0
    most: int = constraint.get("maxSkew", 1)
    return counts.get(domain, 0) + 1 - least > most


def _domain(node: Object, key: str) -> str:
    labels = node["metadata"].get("labels") or {}
    return str(labels.get(key, node["metadata"]["name"] if key == HOST else ""))
