"""
Questions that several controllers ask of objects: whose is it, is it ready, is it going, how many is 25%. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.objects import moments
from chaosfw.timing import NANOSECONDS, SYSTEM


def now() -> str:
    return moments.stamp(SYSTEM.wall_ns())


def now_seconds() -> float:
    return SYSTEM.wall_ns() / NANOSECONDS


def is_going(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Object) -> Object | None:
    """The owner that manages it."""
    return next((owner for owner in obj["metadata"].get("ownerReferences", ()) if owner.get("controller")), None)


def owned_by(obj: Object, owner: Object) -> bool:
    managing = controller_of(obj)
    return managing is not None and managing["uid"] == owner["metadata"]["uid"]


def owner_reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def conditions(obj: Object) -> Iterator[Object]:
    yield from (obj.get("status") or {}).get("conditions") or ()


def condition(obj: Object, kind: str) -> Object | None:
    return next((found for found in conditions(obj) if found["type"] == kind), None)


def is_ready(pod: Object) -> bool:
    """Ready, and not on its way out."""
    found = condition(pod, "Ready")
    return found is not None and found["status"] == "True"


def ready_since(pod: Object) -> float | None:
    found = condition(pod, "Ready")
    if found is None or found["status"] != "True":
        return None
    return moments.parse(found["lastTransitionTime"]) if found.get("lastTransitionTime") else 0.0


def is_active(pod: Object) -> bool:
    """Neither ended nor going."""
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed") and not is_going(pod)


def worth(pod: Object, *, crowds: Mapping[str, int] | None = None) -> tuple[object, ...]:
    """
    Sorts by who goes first: without a node, pending, not ready, crowded on its node, ready for a shorter time, younger. ``crowds``: how
    many of them each node has.
    """
    node = pod["spec"].get("nodeName", "")
    neighbours = (crowds or {}).get(node, 0)
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}
    return (
        bool(node),
        phases.get((pod.get("status") or {}).get("phase", "Pending"), 2),
        is_ready(pod),
        -neighbours,
        -(ready_since(pod) or 0.0),
        [-ord(char) for char in pod["metadata"].get("creationTimestamp", "")],
    )


def share(value: Any, total: int, *, up: bool) -> int:
    """A number, or a percentage of ``total`` rounded ``up`` or down."""
    if isinstance(value, str) and value.endswith("%"):
        exact = int(value[:-1]) * total / 100
        return math.ceil(exact) if up else math.floor(exact)
    return int(value)


def without_zeros(status: Object) -> Object:
    """As Go leaves them out: clients tell "none" from "0"."""
    return {key: value for key, value in status.items() if value not in (0, [], {}, None)}
