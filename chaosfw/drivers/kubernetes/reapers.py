"""
What the reaper and a run tell each other through the cluster: the reaper's sign of life (a Lease), the publications that it watches
over, its word on each of them (an annotation), and an Event on whatever it put back.

Asked through the executor by ``safety.reaper`` and by whoever needs its word before anything is broken. Decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import msgspec

from chaosfw.drivers.kubernetes import fields, look, published, rights
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.drivers.kubernetes.lease import look_version
from chaosfw.model.fault import Undo, UndoRecord
from chaosfw.model.reaping import Publication, Word
from chaosfw.model.struct import to_json
from chaosfw.timing import SYSTEM, iso

NAME = "chaosfw-reaper"
"""Of the Lease that reapers renew. Several share it: what matters is that one of them lives."""
WORD = "chaosfw.dev/reaper"
"""Annotation of a publication with a reaper's word: JSON of who it is, and what it could not do."""
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


def beat(cluster: Cluster, *, namespace: str, who: str, seconds: int) -> None:
    """A sign of life. Of two reapers that renew at once one is enough."""
    path, now = _LEASES.format(namespace=namespace), iso(SYSTEM.wall_ns()).replace("Z", "000Z")
    spec = {"holderIdentity": who, "leaseDurationSeconds": seconds, "renewTime": now}
    metadata: Object = {"name": NAME, "namespace": namespace}
    try:
        thing = cluster.find(f"{path}/{NAME}")
        if thing is None:
            cluster.post(path, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})
        else:
            cluster.patch(f"{path}/{NAME}", {"metadata": {"resourceVersion": look_version(thing)}, "spec": spec})
    except Answered as answer:
        if answer.code != 409:
            raise


def leave(cluster: Cluster, *, namespace: str, who: str) -> None:
    """Says goodbye, if nobody else has spoken since."""
    path = f"{_LEASES.format(namespace=namespace)}/{NAME}"
    thing = cluster.find(path)
    if thing is not None and (thing.get("spec") or {}).get("holderIdentity") == who:
        try:
            cluster.patch(path, {"metadata": {"resourceVersion": look_version(thing)}, "spec": {"holderIdentity": None}})
        except Answered as answer:
            if answer.code != 409:
                raise


def known(cluster: Cluster, *, namespace: str) -> str:
    """The reaper that spoke last and has not said goodbye; whether it still lives, only its word on a publication proves."""
    thing = cluster.readable_one(f"{_LEASES.format(namespace=namespace)}/{NAME}")
    return str((thing.get("spec") or {}).get("holderIdentity") or "") if thing is not None else ""


def publications(cluster: Cluster, *, namespace: str) -> tuple[Publication, ...]:
    """Every run that has published something to put back, and the word that a reaper gave on it."""
    found = (thing for thing in _published(cluster, namespace) if published.is_published(thing))
    return tuple(Publication(run=str((thing.get("data") or {}).get("run", "")), word=_word(thing)) for thing in found)


def vow(cluster: Cluster, *, namespace: str, who: str, revertible: Iterable[str]) -> tuple[Word, ...]:
    """Reads every publication that nobody has spoken about with the credentials that would heal it, and says so on it."""
    given: list[Word] = []
    for thing in _published(cluster, namespace):
        if not published.is_published(thing) or _word(thing) is not None:
            continue
        word = Word(by=who, lacking=_lacking(cluster, published.undos_in(thing), frozenset(revertible)))
        path = f"/api/v1/namespaces/{namespace}/configmaps/{look.name_of(thing)}"
        if fields.swapped(cluster, path, thing, {}, annotations={WORD: json.dumps(to_json(word), sort_keys=True)}):
            given.append(word)
    return tuple(given)


def word_on(cluster: Cluster, *, namespace: str, run: str) -> Word | None:
    """A reaper's word on the publication of one run."""
    thing = cluster.find(f"/api/v1/namespaces/{namespace}/configmaps/{published.name_of(run)}")
    return _word(thing) if thing is not None else None


def withdraw_if_done(cluster: Cluster, *, namespace: str, run: str, revertible: Iterable[str]) -> bool:
    """Takes the publication of a run away, unless there is something in it that can not be read, or that only others can put back."""
    thing = cluster.find(f"/api/v1/namespaces/{namespace}/configmaps/{published.name_of(run)}")
    undos = published.undos_in(thing) if thing is not None else None
    if undos is None or _foreign(undos, frozenset(revertible)):
        return False
    published.withdraw(cluster, run=run, namespace=namespace)
    return True


def tell(cluster: Cluster, *, record: UndoRecord, who: str, what: str) -> None:
    """An Event on the object: ``kubectl describe`` shows it to whoever wonders. One that may not be written changes nothing."""
    subject, now = record.undo.subject, iso(SYSTEM.wall_ns())
    namespace = subject.namespace or "default"
    kind, version = _named(subject.kind)
    involved = {"apiVersion": version, "kind": kind, "name": subject.name, "uid": subject.uid}
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{subject.name}.", "namespace": namespace},
        "involvedObject": {**involved, **({"namespace": subject.namespace} if subject.namespace else {})},
        "type": "Normal" if record.ending is not None else "Warning",
        "reason": "ChaosHealed" if record.ending is not None else "ChaosNotHealed",
        "message": f"{what} (run {record.undo.run} is dead; by {who})"[:1000],
        "source": {"component": NAME},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        cluster.post(f"/api/v1/namespaces/{namespace}/events", body)
    except Answered as answer:
        if answer.code not in (403, 404):
            raise


def _named(kind: str) -> tuple[str, str]:
    """Kind and apiVersion of an object as the API writes them."""
    parts = fields.PATHS.get(kind, "/api/v1/").strip("/").split("/")
    return fields.WRITTEN.get(kind, kind.capitalize()), "/".join(parts[1:3]) if parts[0] == "apis" else "v1"


def _lacking(cluster: Cluster, undos: Sequence[Undo] | None, revertible: frozenset[str]) -> tuple[str, ...]:
    """What would keep this reaper from putting all of them back."""
    if undos is None:
        return ("read what is published: is it of another version?",)
    foreign = _foreign(undos, revertible)
    mine = [undo for undo in undos if undo not in foreign]
    return (*dict.fromkeys(f"put back {undo.fault}" for undo in foreign), *rights.lacking_to_heal(cluster, mine))


def _foreign(undos: Sequence[Undo], revertible: frozenset[str]) -> list[Undo]:
    return [undo for undo in undos if undo.fault not in revertible or undo.subject.kind not in fields.PATHS]


def _word(thing: Object) -> Word | None:
    written = (thing["metadata"].get("annotations") or {}).get(WORD)
    try:
        return msgspec.json.decode(written, type=Word) if written else None
    except msgspec.MsgspecError:
        return None


def _published(cluster: Cluster, namespace: str) -> list[Object]:
    return cluster.items(f"/api/v1/namespaces/{namespace}/configmaps", labelSelector=f"{published.LABEL}=chaosfw")
