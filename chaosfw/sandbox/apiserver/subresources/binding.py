"""A pod gets its node: once, and never another one."""

from __future__ import annotations

from chaosfw.sandbox.apiserver import errors, writing
from chaosfw.sandbox.apiserver.admission import topology
from chaosfw.sandbox.apiserver.verbs import Outcome, Verbs
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kinds.pods import POD
from chaosfw.sandbox.kinds.row import invalid, read


def bind(verbs: Verbs, namespace: str, name: str, body: Object) -> Outcome:
    """409 for a pod that has a node or is going; the PodScheduled condition comes with the node."""
    node = read(body, "target.name", "")
    if not node:
        raise errors.invalid(POD, name, [invalid("target.name", node, "must be set")])
    pod = verbs.get(POD, namespace, name).obj
    if read(body, "metadata.uid") not in (None, "", pod["metadata"]["uid"]):
        raise errors.precondition(POD, name, field="UID", wanted=body["metadata"]["uid"], have=pod["metadata"]["uid"])
    if read(pod, "metadata.deletionTimestamp"):
        raise _refused(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if assigned := read(pod, "spec.nodeName"):
        raise _refused(name, f'pod {name} is already assigned to node "{assigned}"')
    place = topology(verbs.store, node)
    return verbs.change(POD, namespace, name, lambda copy: _assign(copy, node, place))


def _assign(pod: Object, node: str, place: dict[str, str]) -> None:
    pod["spec"]["nodeName"] = node
    if place:
        pod["metadata"]["labels"] = {**(pod["metadata"].get("labels") or {}), **place}
    status = pod.setdefault("status", {})
    others = [condition for condition in status.get("conditions", ()) if condition["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": writing.now()}
    if pod["metadata"].get("generation"):
        scheduled["observedGeneration"] = pod["metadata"]["generation"]
    status["conditions"] = [*others, scheduled]


def _refused(name: str, why: str) -> ApiError:
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on pods/binding "{name}": {why}')
