"""
The FaultKind of killed pods: stock ``chaosk8s.pod.actions`` called with exactly the names that were found.

Heals itself, because a controller replaces the pods; refused where nothing would, and where names return (StatefulSet),
since a stock call is bound to names. Nothing is put back here.
"""

from __future__ import annotations

import re

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.choose import chosen, how_many
from chaosfw.drivers.kubernetes.cluster import Cluster, Object, here
from chaosfw.drivers.kubernetes.cordon import with_arguments
from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, PythonProvider
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import Bound, Proof, Reverted, RunMark, Undo, UndoRecord
from chaosfw.model.struct import Json, but


class Kill:
    """Pods deleted, with their grace (SIGTERM first) or without (SIGKILL)."""

    name = "kubernetes.kill/1"
    functions: tuple[str, ...] = ("chaosk8s.pod.actions.terminate_pods", "chaosk8s.pod.actions.delete_pods")

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        cluster = here()
        victims = selected_pods(cluster, action, seed)
        for pod in victims:
            _refuse_without_way_back(action, pod)
        zones = look.zones_by_node(cluster)
        grace = _arguments(action).get("grace_period", -1)
        how = "abruptly" if grace == 0 else "gracefully"
        return Bound(
            action=_rewritten(action, victims),
            fault=self.name,
            targets=tuple(look.pod_target(pod, zones) for pod in victims),
            changes=tuple(f"delete pod {pod['metadata']['namespace']}/{look.name_of(pod)} {how}" for pod in victims),
            self_heals=True,
        )

    def bitten(self, bound: Bound) -> Proof:
        cluster = here()
        abrupt = _arguments(bound.action).get("grace_period") == 0
        offered = look.ready_endpoints(cluster, bound.targets[0].namespace)
        for victim in bound.targets:
            if why := _still_there(cluster, victim, abrupt=abrupt, offered=offered):
                return Proof(holds=False, what=why)
        names = tuple(victim.name for victim in bound.targets)
        return Proof(
            holds=True,
            what=f"{', '.join(names)} {'gone' if abrupt else 'terminating or gone'}, and out of the ready endpoints",
            victims=names,
        )

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        return Reverted(ending="gone", what="a killed pod is replaced by its controller")

    def healed(self, undo: Undo) -> Proof:
        return Proof(holds=True, what="nothing to put back")


def _still_there(cluster: Cluster, victim: Target, *, abrupt: bool, offered: set[str]) -> str:
    if victim.uid in offered:
        return f"pod {victim.name} is still a ready endpoint"
    pod = cluster.find(f"/api/v1/namespaces/{victim.namespace}/pods/{victim.name}")
    if pod is None or look.uid_of(pod) != victim.uid:
        return ""
    if abrupt:
        return f"pod {victim.name} is still there"
    return "" if look.is_terminating(pod) else f"pod {victim.name} has no deletionTimestamp"


def selected_pods(cluster: Cluster, action: Action, seed: int) -> tuple[Object, ...]:
    """The pods that an action means, chosen by seed among several. Raises UsageError when there are not as many."""
    select = action.select or _stock_selection(action)
    what = f"{action.name!r}"
    there = [pod for pod in _candidates(cluster, select) if not look.is_terminating(pod) and not look.is_finished(pod)]
    if zone := select.get("zone"):
        zones = look.zones_by_node(cluster)
        there = [pod for pod in there if zones.get(pod["spec"].get("nodeName", "")) == zone]
        what += f" in zone {zone!r}"
    if pattern := select.get("pattern"):
        there = [pod for pod in there if re.search(str(pattern), look.name_of(pod))]
    wanted = how_many(len(there), count=select.get("count"), share=select.get("share"), every=bool(select.get("all")))
    if select.get("first"):
        ordered = sorted(there, key=(lambda pod: str(pod["metadata"]["creationTimestamp"])) if select.get("oldest") else look.name_of)
        return (
            chosen(ordered, min(wanted, len(ordered)), seed=seed, salt=action.name, what=what) if not ordered else tuple(ordered[:wanted])
        )
    return chosen(sorted(there, key=_stable_order), wanted, seed=seed, salt=action.name, what=what)


def _candidates(cluster: Cluster, select: dict[str, Json]) -> list[Object]:
    if owner := select.get("workload"):
        return look.pods_of(cluster, kind=owner["kind"], name=owner["name"], namespace=owner["namespace"])
    return look.pods(cluster, namespace=str(select.get("namespace") or "default"), selector=str(select.get("selector") or ""))


def _stable_order(pod: Object) -> tuple[str, str]:
    """By node, then name: replacement pods have new random names, their nodes are the same; so a seed repeats the choice."""
    return str(pod["spec"].get("nodeName", "")), look.name_of(pod)


def _stock_selection(action: Action) -> dict[str, Json]:
    """What terminate_pods would have selected by these arguments; ``rand`` becomes our seeded choice."""
    given = _arguments(action)
    percentage = given.get("mode") == "percentage"
    quantity = given.get("qty", 1)
    return {
        "namespace": given.get("ns", "default"),
        "selector": given.get("label_selector"),
        "pattern": given.get("name_pattern") or (f"^{re.escape(given['name'])}$" if given.get("name") else None),
        "all": given.get("all", False),
        "count": None if percentage else quantity,
        "share": quantity / 100 if percentage else None,
        "first": not given.get("rand", False),
        "oldest": given.get("order") == "oldest",
    }


def _rewritten(action: Action, victims: tuple[Object, ...]) -> Action:
    namespaces = sorted({pod["metadata"]["namespace"] for pod in victims})
    if len(namespaces) != 1:
        raise UsageError(f"{action.name!r}: victims in several namespaces {namespaces}: one action kills in one")
    exact = "^(" + "|".join(re.escape(look.name_of(pod)) for pod in victims) + ")$"
    arguments: dict[str, Json] = {"name_pattern": exact, "all": True, "ns": namespaces[0]}
    if "grace_period" in (given := _arguments(action)):
        arguments["grace_period"] = given["grace_period"]
    bound = with_arguments(action, arguments)
    assert isinstance(bound.provider, PythonProvider)
    return but(bound, provider=but(bound.provider, func="terminate_pods"))  # delete_pods cannot be told exact names


def _refuse_without_way_back(action: Action, pod: Object) -> None:
    kind, name = look.owner(pod)
    if not kind:
        raise UsageError(f"{action.name!r}: pod {look.name_of(pod)} has no controller: nothing would bring it back")
    if kind == "StatefulSet":
        raise UsageError(
            f"{action.name!r}: pod {look.name_of(pod)} belongs to StatefulSet {name}: names return, a call by name could hit the new one"
        )


def _arguments(action: Action) -> dict[str, Json]:
    assert isinstance(action.provider, PythonProvider)
    return dict(action.provider.arguments)
