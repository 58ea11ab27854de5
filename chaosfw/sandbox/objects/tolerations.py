"""
Which taints of a node a pod puts up with, and for how long. Pure; asked by the scheduler and by the controller that evicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]


def tolerates(pod: Object, taint: Object) -> bool:
    return any(_matches(toleration, taint) for toleration in pod["spec"].get("tolerations") or ())


def patience(pod: Object, taints: Sequence[Object]) -> float:
    """
    Seconds that a pod may stay on a node with these NoExecute taints: 0 where it does not tolerate one of them, the shortest
    ``tolerationSeconds`` of the tolerations that match, infinite without one.
    """
    if not all(tolerates(pod, taint) for taint in taints):
        return 0.0
    used = [one for one in pod["spec"].get("tolerations") or () if any(_matches(one, taint) for taint in taints)]
    return min((max(0.0, float(one["tolerationSeconds"])) for one in used if one.get("tolerationSeconds") is not None), default=math.inf)


def _matches(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")
