"""
The environment's lock where several hosts share it: one Lease a cluster, every change of it a compare-and-swap. Its
``leaseTransitions`` are the epoch, which only grows, so the object stays when nobody holds it.

Asked through the executor by ``safety.lease``, which knows about time; this room only reads and swaps. Source of the fields:
coordination.k8s.io/v1.
"""

from __future__ import annotations

import json
import os

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.errors import DriverError
from chaosfw.model.lease import Held
from chaosfw.model.struct import Json
from chaosfw.timing import SYSTEM, iso

NAME = "chaosfw"
HALT = "chaosfw.dev/halt"
"""Annotation of the Lease while runs have to halt: who asked for it, when and why, in words."""
VARIABLE = "CHAOSFW_LEASE"
"""Namespace of the Lease that a writer has to look at before it writes; not set: there is none to look at."""


def held(cluster: Cluster, *, namespace: str) -> Held | None:
    """Who holds it; None where there is no Lease yet."""
    thing = cluster.find(_path(namespace) + f"/{NAME}")
    return _held(thing) if thing is not None else None


def take(cluster: Cluster, *, namespace: str, holder: str, seconds: int, seen: str) -> Held | None:
    """Ours with the next epoch, if it is still as ``seen`` (a resourceVersion; empty: none there). None: somebody was quicker."""
    path = _path(namespace)
    thing = cluster.find(f"{path}/{NAME}")
    if (look_version(thing) if thing is not None else "") != seen:
        return None
    epoch = (_held(thing).epoch if thing is not None else 0) + 1
    spec = {
        "holderIdentity": holder,
        "leaseDurationSeconds": seconds,
        "leaseTransitions": epoch,
        "acquireTime": _now(),
        "renewTime": _now(),
    }
    try:
        if thing is None:
            body = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": NAME, "namespace": namespace},
                "spec": spec,
            }
            return _held(cluster.post(path, body))
        return _swapped(cluster, namespace, thing, spec)
    except Answered as answer:
        if answer.code == 409:
            return None
        if answer.code == 403:
            hint = f"allow get, create and patch of leases in {namespace}, or name another state_namespace"
            raise DriverError(f"the environment's lease can not be taken: {answer}", hint=hint) from answer
        raise


def renew(cluster: Cluster, *, namespace: str, holder: str, epoch: int) -> bool:
    """Whether it is still ours, and now for longer."""
    for _ in range(5):
        thing = cluster.find(_path(namespace) + f"/{NAME}")
        if thing is None or (_held(thing).holder, _held(thing).epoch) != (holder, epoch):
            return False
        if _swapped(cluster, namespace, thing, {"renewTime": _now()}) is not None:
            return True
    return False


def release(cluster: Cluster, *, namespace: str, holder: str, epoch: int) -> None:
    """Lets it go if it is ours. Safe twice."""
    thing = cluster.find(_path(namespace) + f"/{NAME}")
    if thing is not None and (_held(thing).holder, _held(thing).epoch) == (holder, epoch):
        _swapped(cluster, namespace, thing, {"holderIdentity": None, "renewTime": None})


def pull(cluster: Cluster, *, namespace: str, words: str) -> None:
    """Asks every run of the environment to halt, on whatever host, and lets none start."""
    metadata: Object = {"name": NAME, "namespace": namespace, "annotations": {HALT: words}}
    for _ in range(5):
        try:
            if cluster.find(_path(namespace) + f"/{NAME}") is None:
                cluster.post(_path(namespace), {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}})
            else:
                cluster.patch(_path(namespace) + f"/{NAME}", {"metadata": {"annotations": {HALT: words}}})
            return
        except Answered as answer:
            if answer.code not in (404, 409):
                raise
    raise DriverError(f"the lease in {namespace} came and went while the cord was pulled", hint="again")


def lift(cluster: Cluster, *, namespace: str) -> bool:
    """Lets runs start again; False when nobody had asked for a halt."""
    thing = cluster.find(_path(namespace) + f"/{NAME}")
    if thing is None or not _held(thing).halt:
        return False
    cluster.patch(_path(namespace) + f"/{NAME}", {"metadata": {"annotations": {HALT: None}}})
    return True


def check(cluster: Cluster, *, mark: str) -> None:
    """
    Right before a write of ours: the epoch that the mark names is still the Lease's. Raises DriverError when it has gone to somebody
    else: whatever was broken by us is theirs to put back.
    """
    namespace = os.environ.get(VARIABLE, "")
    if not (namespace and mark):
        return
    now, epoch = held(cluster, namespace=namespace), json.loads(mark).get("epoch", 0)
    if now is None or now.epoch != epoch or not now.holder:
        raise DriverError(f"the environment's lease is not this run's any more (epoch {now.epoch if now else 0}, not {epoch})")


def look_version(thing: Object) -> str:
    return str(thing["metadata"].get("resourceVersion", ""))


def _swapped(cluster: Cluster, namespace: str, thing: Object, spec: Json) -> Held | None:
    metadata = {"resourceVersion": look_version(thing), "uid": look.uid_of(thing)}
    try:
        return _held(cluster.patch(_path(namespace) + f"/{NAME}", {"metadata": metadata, "spec": spec}))
    except Answered as answer:
        if answer.code == 409:
            return None
        raise


def _held(thing: Object) -> Held:
    spec = thing.get("spec") or {}
    return Held(
        holder=spec.get("holderIdentity") or "",
        epoch=int(spec.get("leaseTransitions") or 0),
        seconds=int(spec.get("leaseDurationSeconds") or 0),
        version=look_version(thing),
        halt=str((thing["metadata"].get("annotations") or {}).get(HALT, "")),
    )


def _now() -> str:
    """MicroTime, as the API writes it. A label: nobody's expiry is judged by it."""
    return iso(SYSTEM.wall_ns()).replace("Z", "000Z")


def _path(namespace: str) -> str:
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
