"""
The deployment controller: one replica set a template, moved forward within the strategy's bounds, and told as conditions.

The arithmetic is :mod:`.rollout`. Finished replica sets are kept as history, newest first, up to the limit.
"""

from __future__ import annotations

import copy
import json

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects, rollout
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.rollout import SetCount
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects import moments, selectors
from chaosfw.sandbox.objects.names import hashed

RESOURCE, SETS = "deployments.apps", "replicasets.apps"
HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = ("kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MOST, "deprecated.deployment.rollback.to")


class Deployments:
    """Reconciles deployments; woken by their own changes, by their replica sets, and by pods where Recreate waits for them."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self.loop = Loop("deployments", self.reconcile)

    def listen(self) -> None:
        self._caches[RESOURCE].listen(self._on_deployment)
        self._caches[SETS].listen(self._on_set)
        self._caches["pods"].listen(self._on_pod)

    def _on_deployment(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(key_of(new))

    def _on_set(self, old: Object | None, new: Object | None) -> None:
        for found in filter(None, (old, new)):
            owner = objects.controller_of(found)
            if owner is not None and owner["kind"] == "Deployment":
                self.loop.add((found["metadata"]["namespace"], owner["name"]))

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        """Only a vanished pod matters, and only to a deployment that waits for it."""
        owner = objects.controller_of(old) if old is not None and new is None else None
        if old is None or owner is None:
            return
        managing = self._caches[SETS].get(old["metadata"]["namespace"], owner["name"])
        deployment = objects.controller_of(managing) if managing is not None else None
        if deployment is not None:
            self.loop.add((old["metadata"]["namespace"], deployment["name"]))

    async def reconcile(self, key: Key) -> None:
        deployment = self._caches[RESOURCE].get(*key)
        if deployment is None:
            return
        sets = await self._sets(deployment)
        if objects.is_going(deployment):
            await self._tell_status(deployment, sets, None)
            return
        current = find_current(deployment, sets)
        if deployment["spec"].get("paused"):
            await self._scale_proportionally(deployment, sets)
            await self._tell_status(deployment, self._own(deployment), current)
            return
        deployment, current, created = await self._ensure_current(deployment, sets, current)
        if current is None:
            return
        old = [one for one in self._own(deployment) if one["metadata"]["uid"] != current["metadata"]["uid"]]
        await self._move(deployment, current, old)
        current = self._caches[SETS].get(key[0], current["metadata"]["name"]) or current
        await self._tell_status(deployment, self._own(deployment), current, created=created)
        await self._forget_history(deployment, current)

    # --- its replica sets

    def _own(self, deployment: Object) -> list[Object]:
        namespace = deployment["metadata"]["namespace"]
        return [one for one in self._caches[SETS].all(namespace=namespace) if objects.owned_by(one, deployment)]

    async def _sets(self, deployment: Object) -> list[Object]:
        """Its own, and those it adopts."""
        selector = selectors.of_object(deployment["spec"].get("selector"))
        namespace = deployment["metadata"]["namespace"]
        for one in self._caches[SETS].all(namespace=namespace):
            orphan = objects.controller_of(one) is None and not objects.is_going(one) and not objects.is_going(deployment)
            if orphan and selector and selector.matches(one["metadata"].get("labels")):
                change = {"metadata": {"uid": one["metadata"]["uid"], "ownerReferences": [objects.owner_reference(deployment)]}}
                written = await self._client.patch(SETS, one["metadata"]["name"], change, namespace=namespace)
                await self._caches[SETS].seen(written["metadata"]["resourceVersion"])
        return self._own(deployment)

    async def _ensure_current(self, deployment: Object, sets: list[Object], current: Object | None) -> tuple[Object, Object | None, bool]:
        """The set of the present template, with the newest revision, which the deployment carries too."""
        others = [one for one in sets if current is None or one["metadata"]["uid"] != current["metadata"]["uid"]]
        newest = max((revision_of(one) for one in others), default=0)
        created = False
        if current is None:
            current = await self._create(deployment, others, newest + 1)
            created = current is not None
            if current is None:
                return deployment, None, False
        elif revision_of(current) <= newest:
            annotations = current["metadata"].get("annotations") or {}
            past = ",".join(filter(None, (annotations.get(HISTORY, ""), str(revision_of(current)))))
            current = await self._annotate(SETS, current, {REVISION: str(newest + 1), HISTORY: past})
        revision = str(revision_of(current))
        if (deployment["metadata"].get("annotations") or {}).get(REVISION) != revision:
            deployment = await self._annotate(RESOURCE, deployment, {REVISION: revision}, subresource="status")
        return deployment, current, created

    async def _annotate(self, resource: str, obj: Object, annotations: dict[str, str], *, subresource: str = "") -> Object:
        """A Deployment's go through its status: otherwise they would count as a new generation."""
        metadata = obj["metadata"]
        change = {"metadata": {"annotations": annotations}}
        written = await self._client.patch(resource, metadata["name"], change, namespace=metadata["namespace"], subresource=subresource)
        await self._caches[resource].seen(written["metadata"]["resourceVersion"])
        return written

    async def _create(self, deployment: Object, old: list[Object], revision: int) -> Object | None:
        limits = rollout.bounds(deployment["spec"])
        recreating = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
        waits = recreating and any(one["spec"].get("replicas", 0) for one in old)
        first = SetCount("", 0, 0)
        replicas = 0 if waits else rollout.grow(limits, first, [_count(one) for one in old])
        body = set_from(deployment, revision=revision, replicas=replicas, limits=limits)
        try:
            written = await self._client.create(SETS, body, namespace=deployment["metadata"]["namespace"])
        except ApiError as error:
            if error.reason == "AlreadyExists":
                await self._collision(deployment)
                return None
            raise
        await self._caches[SETS].seen(written["metadata"]["resourceVersion"])
        self._recorder.tell(deployment, "ScalingReplicaSet", f"Scaled up replica set {written['metadata']['name']} from 0 to {replicas}")
        return written

    async def _collision(self, deployment: Object) -> None:
        """Another template has our hash: a counter changes it."""
        status = {**(deployment.get("status") or {})}
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await self._write_status(deployment, status)

    # --- moving

    async def _move(self, deployment: Object, current: Object, old: list[Object]) -> None:
        if _was_scaled(deployment, [current, *old]):
            active = [one for one in [current, *old] if one["spec"].get("replicas", 0)]
            if len(active) > 1:
                await self._scale_proportionally(deployment, [current, *old])
                return
        if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
            await self._recreate(deployment, current, old)
            return
        limits = rollout.bounds(deployment["spec"])
        await self._resize(deployment, current, rollout.grow(limits, _count(current), [_count(one) for one in old]))
        current = self._caches[SETS].get(*key_of(current)) or current
        oldest_first = sorted(old, key=lambda one: one["metadata"]["creationTimestamp"])
        left = rollout.shrink(limits, _count(current), [_count(one) for one in oldest_first])
        for one in oldest_first:
            await self._resize(deployment, one, left[one["metadata"]["name"]])

    async def _recreate(self, deployment: Object, current: Object, old: list[Object]) -> None:
        for one in old:
            await self._resize(deployment, one, 0)
        waiting = any(objects.owned_by(pod, one) for one in old for pod in self._caches["pods"].all(namespace=one["metadata"]["namespace"]))
        if not waiting:
            await self._resize(deployment, current, deployment["spec"].get("replicas", 1))

    async def _scale_proportionally(self, deployment: Object, sets: list[Object]) -> None:
        active = [one for one in sets if one["spec"].get("replicas", 0)]
        limits = rollout.bounds(deployment["spec"])
        if len(active) <= 1:
            target = active or sorted(sets, key=revision_of)[-1:]
            for one in target:
                await self._resize(deployment, one, limits.replicas)
            return
        if not _was_scaled(deployment, active):
            return
        sizes = rollout.proportional(limits, [_count(one) for one in active])
        for one in active:
            await self._resize(deployment, one, sizes[one["metadata"]["name"]])

    async def _resize(self, deployment: Object, one: Object, replicas: int) -> None:
        """Also keeps the set's notes of what the deployment wants, by which the next scaling is noticed."""
        before = one["spec"].get("replicas", 0)
        notes = _notes(deployment)
        annotations = one["metadata"].get("annotations") or {}
        if before == replicas and (not replicas or all(annotations.get(name) == value for name, value in notes.items())):
            return
        metadata = one["metadata"]
        change = {"metadata": {"annotations": notes}, "spec": {"replicas": replicas}}
        written = await self._client.patch(SETS, metadata["name"], change, namespace=metadata["namespace"])
        await self._caches[SETS].seen(written["metadata"]["resourceVersion"])
        if before != replicas:
            way = "up" if replicas > before else "down"
            told = f"Scaled {way} replica set {metadata['name']} from {before} to {replicas}"
            self._recorder.tell(deployment, "ScalingReplicaSet", told)

    async def _forget_history(self, deployment: Object, current: Object) -> None:
        if not is_complete(deployment, self._own(deployment), current):
            return
        limit = deployment["spec"].get("revisionHistoryLimit", 10)
        idle = [one for one in self._own(deployment) if one["metadata"]["uid"] != current["metadata"]["uid"] and _is_idle(one)]
        idle.sort(key=revision_of)
        for one in idle[: max(0, len(idle) - limit)]:
            await self._client.delete(SETS, one["metadata"]["name"], namespace=one["metadata"]["namespace"], uid=one["metadata"]["uid"])

    # --- status

    async def _tell_status(self, deployment: Object, sets: list[Object], current: Object | None, *, created: bool = False) -> None:
        status = counts(deployment, sets, current)
        known = {found["type"]: found for found in objects.conditions(deployment)}
        told = [_availability(deployment, status, known.get("Available"))]
        if progress := self._progress(deployment, sets, current, status, known.get("Progressing"), created):
            told.append(progress)
        status["conditions"] = told
        await self._write_status(deployment, status)

    async def _write_status(self, deployment: Object, status: Object) -> None:
        if status == deployment.get("status"):
            return
        metadata = deployment["metadata"]
        body = {**deployment, "status": status}
        written = await self._client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"], subresource="status")
        await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])

    def _progress(
        self, deployment: Object, sets: list[Object], current: Object | None, status: Object, known: Object | None, created: bool
    ) -> Object | None:
        if deployment["spec"].get("paused"):
            return _updated(known, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        if current is None:
            return known
        name = current["metadata"]["name"]
        if is_complete(deployment, sets, current):
            return _updated(known, "Progressing", "True", "NewReplicaSetAvailable", f'ReplicaSet "{name}" has successfully progressed.')
        before = deployment.get("status") or {}
        if created:
            return _updated(known, "Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
        if known is None or _has_progressed(before, status) or known["reason"] in ("DeploymentPaused", "NewReplicaSetAvailable"):
            return _updated(known, "Progressing", "True", "ReplicaSetUpdated", f'ReplicaSet "{name}" is progressing.', fresh=True)
        return self._deadline(deployment, name, known)

    def _deadline(self, deployment: Object, name: str, known: Object) -> Object:
        limit = deployment["spec"].get("progressDeadlineSeconds", 600)
        left = limit - (objects.now_seconds() - moments.parse(known["lastUpdateTime"]))
        if known["reason"] == "ProgressDeadlineExceeded":
            return known
        if left > 0:
            self.loop.later(key_of(deployment), left + 0.5)
            return known
        return _updated(known, "Progressing", "False", "ProgressDeadlineExceeded", f'ReplicaSet "{name}" has timed out progressing.')


# --- pure ------------------------------------------------------------------------------------------------------------


def find_current(deployment: Object, sets: list[Object]) -> Object | None:
    """The oldest set whose template is the deployment's."""
    wanted = _template(deployment)
    same = [one for one in sets if _template(one) == wanted]
    return min(same, key=lambda one: one["metadata"]["creationTimestamp"], default=None)


def _template(owner: Object) -> Object:
    """Without the hash label, which is all that a set adds."""
    template: Object = owner["spec"]["template"]
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def set_from(deployment: Object, *, revision: int, replicas: int, limits: rollout.Bounds) -> Object:
    """A replica set of the deployment's template."""
    template = copy.deepcopy(deployment["spec"]["template"])
    collisions = (deployment.get("status") or {}).get("collisionCount", 0)
    digest = hashed(json.dumps([template, collisions], sort_keys=True))
    labels = {**(template["metadata"].get("labels") or {}), HASH: digest}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(deployment["spec"]["selector"])
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH: digest}
    own = deployment["metadata"].get("annotations") or {}
    annotations = {key: value for key, value in own.items() if key not in _NOT_COPIED}
    spec = {"replicas": replicas, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    return {
        "metadata": {
            "name": f"{deployment['metadata']['name']}-{digest}",
            "labels": labels,
            "annotations": {**annotations, REVISION: str(revision), DESIRED: str(limits.replicas), MOST: str(limits.most)},
            "ownerReferences": [objects.owner_reference(deployment)],
        },
        "spec": spec,
    }


def revision_of(obj: Object) -> int:
    return int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))


def counts(deployment: Object, sets: list[Object], current: Object | None) -> Object:
    """The numbers of the status; nothing that is zero, but of those that are ending."""
    total = sum((one.get("status") or {}).get("replicas", 0) for one in sets)
    available = sum((one.get("status") or {}).get("availableReplicas", 0) for one in sets)
    wanted = sum(one["spec"].get("replicas", 0) for one in sets)
    numbers = {
        "observedGeneration": deployment["metadata"].get("generation", 0),
        "replicas": total,
        "updatedReplicas": (current.get("status") or {}).get("replicas", 0) if current else 0,
        "readyReplicas": sum((one.get("status") or {}).get("readyReplicas", 0) for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
        "collisionCount": (deployment.get("status") or {}).get("collisionCount", 0),
    }
    going = sum((one.get("status") or {}).get("terminatingReplicas", 0) for one in sets)
    return {**objects.without_zeros(numbers), "terminatingReplicas": going}


def is_complete(deployment: Object, sets: list[Object], current: Object) -> bool:
    """Everything is of the new template, available, and known about."""
    wanted = deployment["spec"].get("replicas", 1)
    numbers = counts(deployment, sets, current)
    seen: int = (current.get("status") or {}).get("observedGeneration", 0)
    return bool(
        numbers.get("updatedReplicas", 0) == wanted
        and numbers.get("replicas", 0) == wanted
        and numbers.get("availableReplicas", 0) == wanted
        and seen >= current["metadata"].get("generation", 0)
    )


def _count(one: Object) -> SetCount:
    return SetCount(one["metadata"]["name"], one["spec"].get("replicas", 0), (one.get("status") or {}).get("availableReplicas", 0))


def _notes(deployment: Object) -> dict[str, str]:
    limits = rollout.bounds(deployment["spec"])
    return {DESIRED: str(limits.replicas), MOST: str(limits.most)}


def _was_scaled(deployment: Object, sets: list[Object]) -> bool:
    wanted = str(deployment["spec"].get("replicas", 1))
    active = [one for one in sets if one["spec"].get("replicas", 0)]
    return any((one["metadata"].get("annotations") or {}).get(DESIRED, wanted) != wanted for one in active)


def _is_idle(one: Object) -> bool:
    status = one.get("status") or {}
    return not one["spec"].get("replicas", 0) and not status.get("replicas", 0) and not objects.is_going(one)


def _has_progressed(before: Object, now: Object) -> bool:
    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    old_now = now.get("replicas", 0) - now.get("updatedReplicas", 0)
    grew = any(now.get(name, 0) > before.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))
    return grew or old_now < old_before


def _availability(deployment: Object, status: Object, known: Object | None) -> Object:
    limits = rollout.bounds(deployment["spec"])
    if status.get("availableReplicas", 0) >= limits.fewest_available:
        return _updated(known, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    return _updated(known, "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")


def _updated(known: Object | None, kind: str, status: str, reason: str, message: str, *, fresh: bool = False) -> Object:
    """The known condition if it says the same; a transition is a change of status only."""
    if known is not None and (known["status"], known["reason"], known["message"]) == (status, reason, message) and not fresh:
        return known
    at = objects.now()
    moved = known["lastTransitionTime"] if known is not None and known["status"] == status else at
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastUpdateTime": at, "lastTransitionTime": moved}
