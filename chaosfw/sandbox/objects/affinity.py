"""
Which nodes a pod asks for, by its node selector and its required node affinity, and a volume by its own. Pure; asked by the scheduler and
by the daemon set controller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chaosfw.sandbox.objects import selectors

Object = dict[str, Any]


def selects(pod: Object, node: Object) -> bool:
    """Node selector and required node affinity; of the pod only the spec counts."""
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if affinity is None:
        return True
    return any_term(affinity.get("nodeSelectorTerms") or (), node)


def any_term(terms: Iterable[Object], node: Object) -> bool:
    """One of a node selector's terms is enough; none is met by nobody."""
    return any(_term(term, node) for term in terms)


def _term(term: Object, node: Object) -> bool:
    expressions, fields = term.get("matchExpressions"), term.get("matchFields")
    if not expressions and not fields:
        return False
    by_label = selectors.of_object({"matchExpressions": expressions or []})
    by_field = selectors.of_object({"matchExpressions": fields or []})
    name = {"metadata.name": node["metadata"]["name"]}
    return bool(
        by_label is not None and by_label.matches(node["metadata"].get("labels")) and by_field is not None and by_field.matches(name)
    )
