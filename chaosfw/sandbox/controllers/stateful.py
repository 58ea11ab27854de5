"""
The stateful set controller: pods with names that stay, made in order and each only when the one before is ready, updated from the last.

A pod that is lost with its node is not replaced while it is still there: two of one name must never run.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.claims import Claims
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.retention import Retention, is_stale, policy
from chaosfw.sandbox.controllers.revisions import LABEL, Revisions, template_of
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects.storage import CLAIMS

RESOURCE = "statefulsets.apps"
AGAIN = 1.0
"""Seconds until it is looked again whether old claims have gone."""

POD_NAME, POD_INDEX = "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"
_MEMBER = re.compile(r"(.*)-([0-9]+)$")


class StatefulSets:
    """Reconciles stateful sets; woken by their own changes and by those of pods."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self.loop = Loop("stateful sets", self.reconcile)
        self._retention = Retention(caches)
        self._claims = Claims(caches, resource=RESOURCE, kind="StatefulSet", loop=self.loop)
        self._revisions = Revisions(caches, hash_label="controller.kubernetes.io/hash")

    def listen(self) -> None:
        self._caches[RESOURCE].listen(self._on_set)
        self._claims.listen()

    def _on_set(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(key_of(new))

    async def reconcile(self, key: Key) -> None:
        owner = self._caches[RESOURCE].get(*key)
        if owner is None:
            return
        pods = await self._claims.claim(owner, takes=lambda pod: _is_member(pod, owner))
        if objects.is_going(owner):
            return
        update = await self._revisions.newest(owner)
        wanted = (owner.get("status") or {}).get("currentRevision")
        current = next((one for one in self._revisions.of(owner) if one["metadata"]["name"] == wanted), update)
        await self._move(owner, pods, current=current, update=update)
        await self._tell_status(owner, self._claims.of(owner), current=current, update=update)
        live = {current["metadata"]["name"], update["metadata"]["name"], *(_revision(pod) for pod in self._claims.of(owner))}
        await self._revisions.trim(owner, live=live)

    # --- towards what is asked for

    async def _move(self, owner: Object, pods: Sequence[Object], *, current: Object, update: Object) -> None:
        """One step, or as many as may be taken at once; the pods' own changes bring the next."""
        spec = owner["spec"]
        start = (spec.get("ordinals") or {}).get("start", 0)
        wanted = range(start, start + spec.get("replicas", 1))
        ordered = spec.get("podManagementPolicy") != "Parallel"
        there = {_ordinal(pod): pod for pod in pods}
        for ordinal in wanted:
            waits = await self._settle(owner, there.get(ordinal), ordinal, start, current=current, update=update)
            if waits and ordered:
                return
        condemned = [there[one] for one in sorted(there, reverse=True) if one not in wanted]
        for one in condemned:
            await self._retention.mind(owner, _claimed(owner, _ordinal(one)), pod=one, scaled_away=True)
        if await self._shrink(owner, condemned, ordered=ordered):
            return
        if (spec.get("updateStrategy") or {}).get("type") == "RollingUpdate":
            replicas = [pod for ordinal in wanted if (pod := there.get(ordinal)) is not None]
            await self._roll(owner, replicas, start, to=update["metadata"]["name"])

    async def _settle(self, owner: Object, pod: Object | None, ordinal: int, start: int, *, current: Object, update: Object) -> bool:
        """One member; True: those behind it wait for it."""
        if pod is None:
            await self._create(owner, ordinal, start, current=current, update=update)
            return True
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            if not objects.is_going(pod):
                await self._delete(owner, pod)
            return True
        if objects.is_going(pod) or not self._available(owner, pod):
            return True
        await self._retention.mind(owner, _claimed(owner, ordinal), pod=pod, scaled_away=False)
        return False

    async def _shrink(self, owner: Object, condemned: Sequence[Object], *, ordered: bool) -> bool:
        """From the last; True: one is on its way out, and in order the next waits for it."""
        for pod in condemned:
            if not objects.is_going(pod):
                await self._delete(owner, pod)
            if ordered:
                return True
        return False

    async def _roll(self, owner: Object, replicas: Sequence[Object], start: int, *, to: str) -> None:
        rolling = owner["spec"]["updateStrategy"].get("rollingUpdate") or {}
        most = max(1, objects.share(rolling.get("maxUnavailable", 1), len(replicas), up=False))
        parallel = owner["spec"].get("podManagementPolicy") == "Parallel"
        missing = [pod for pod in replicas if objects.is_going(pod) or not self._available(owner, pod)]
        old = [pod for pod in missing if parallel and _revision(pod) != to and not objects.is_going(pod)]
        room = most - len(missing) + len(old)
        for pod in reversed(replicas):
            if room <= 0 or _ordinal(pod) < start + rolling.get("partition", 0):
                return
            if _revision(pod) != to and not objects.is_going(pod):
                await self._delete(owner, pod)
                room -= 1

    def _available(self, owner: Object, pod: Object) -> bool:
        return (pod.get("status") or {}).get("phase") == "Running" and self._claims.available(owner, pod)

    # --- pods

    async def _create(self, owner: Object, ordinal: int, start: int, *, current: Object, update: Object) -> None:
        partition = ((owner["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}).get("partition", 0)
        revision = current if ordinal < start + partition else update
        pod = pod_from(owner, ordinal, revision)
        name = pod["metadata"]["name"]
        if going := self._going_claim(owner, ordinal, name):
            words = f"Create Pod {name} in StatefulSet {owner['metadata']['name']} failed error: pvc {going} is being deleted"
            self._recorder.tell(owner, "FailedCreate", words, warning=True)
            self.loop.later(key_of(owner), AGAIN)
            return
        try:
            await self._create_claims(owner, ordinal, name)
            await self._retention.mind(owner, _claimed(owner, ordinal), pod=pod, scaled_away=False)
            await self._claims.create(pod, owner)
        except ApiError as error:
            if error.code != 409:
                words = f"Create Pod {name} in StatefulSet {owner['metadata']['name']} failed error: {error.message}"
                self._recorder.tell(owner, "FailedCreate", words, warning=True)
            raise
        self._recorder.tell(owner, "SuccessfulCreate", f"Create Pod {name} in StatefulSet {owner['metadata']['name']} successful")

    def _going_claim(self, owner: Object, ordinal: int, pod: str) -> str:
        """One of its predecessor: the new member is not to get what is about to be deleted. Empty: there is none."""
        namespace, names = owner["metadata"]["namespace"], _claimed(owner, ordinal)
        found = [claim for name in names if (claim := self._caches[CLAIMS].get(namespace, name)) is not None]
        left = (claim for claim in found if objects.is_going(claim) or (policy(owner)[0] and is_stale(claim, pod=pod)))
        return next((claim["metadata"]["name"] for claim in left), "")

    async def _create_claims(self, owner: Object, ordinal: int, pod: str) -> None:
        for claim in claims_of(owner, ordinal).values():
            name = claim["metadata"]["name"]
            if self._caches[CLAIMS].get(owner["metadata"]["namespace"], name) is not None:
                continue
            written = await self._client.create(CLAIMS, claim, namespace=owner["metadata"]["namespace"])
            await self._caches[CLAIMS].seen(written["metadata"]["resourceVersion"])
            words = f"Create Claim {name} Pod {pod} in StatefulSet {owner['metadata']['name']} success"
            self._recorder.tell(owner, "SuccessfulCreate", words)

    async def _delete(self, owner: Object, pod: Object) -> None:
        if await self._claims.delete(pod):
            words = f"Delete Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']} successful"
            self._recorder.tell(owner, "SuccessfulDelete", words)

    # --- status

    async def _tell_status(self, owner: Object, pods: Sequence[Object], *, current: Object, update: Object) -> None:
        replicas, metadata = owner["spec"].get("replicas", 1), owner["metadata"]
        old, new = current["metadata"]["name"], update["metadata"]["name"]
        members = [pod for pod in pods if _is_member(pod, owner) and (pod.get("status") or {}).get("phase")]
        staying = [pod for pod in members if not objects.is_going(pod)]
        ready = [pod for pod in members if objects.is_ready(pod) and pod["status"]["phase"] == "Running"]
        counts = {
            "readyReplicas": len(ready),
            "currentReplicas": sum(_revision(pod) == old for pod in staying),
            "updatedReplicas": sum(_revision(pod) == new for pod in staying),
        }
        done = counts["updatedReplicas"] == replicas == len(ready) == len(members)
        if done and owner["spec"]["updateStrategy"]["type"] == "RollingUpdate":
            counts["currentReplicas"], old = counts["updatedReplicas"], new
        known = list(objects.conditions(owner))
        status: Object = {
            "observedGeneration": metadata.get("generation", 0),
            "replicas": len(members),
            **objects.without_zeros(counts),
            "currentRevision": old,
            "updateRevision": new,
            "collisionCount": 0,
            "availableReplicas": sum(self._available(owner, pod) for pod in ready),
            **({"conditions": known} if known else {}),
        }
        if status != owner.get("status"):
            body = {**owner, "status": status}
            written = await self._client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"], subresource="status")
            await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])


def pod_from(owner: Object, ordinal: int, revision: Object) -> Object:
    """The member of that number, of the template that a revision keeps."""
    template = template_of(revision)
    name = f"{owner['metadata']['name']}-{ordinal}"
    metadata = template.get("metadata") or {}
    own = {POD_NAME: name, POD_INDEX: str(ordinal), LABEL: revision["metadata"]["name"]}
    kept = {key: metadata[key] for key in ("annotations", "finalizers") if metadata.get(key)}
    spec = {**template["spec"], "hostname": name}
    if owner["spec"].get("serviceName"):
        spec["subdomain"] = owner["spec"]["serviceName"]
    claimed = {volume: claim["metadata"]["name"] for volume, claim in claims_of(owner, ordinal).items()}
    if claimed:
        others = [volume for volume in spec.get("volumes") or () if volume["name"] not in claimed]
        mounted = [{"name": volume, "persistentVolumeClaim": {"claimName": claim}} for volume, claim in claimed.items()]
        spec["volumes"] = [*mounted, *others]
    return {
        "metadata": {
            "name": name,
            **kept,
            "labels": {**(metadata.get("labels") or {}), **own},
            "ownerReferences": [objects.owner_reference(owner)],
        },
        "spec": spec,
    }


def claims_of(owner: Object, ordinal: int) -> dict[str, Object]:
    """The claims of a member by the volume they are: they outlive it."""
    found = {}
    for template in owner["spec"].get("volumeClaimTemplates") or ():
        volume = template["metadata"]["name"]
        labels = {**(template["metadata"].get("labels") or {}), **(owner["spec"]["selector"].get("matchLabels") or {})}
        name = f"{volume}-{owner['metadata']['name']}-{ordinal}"
        claim = {key: value for key, value in copy.deepcopy(template).items() if key != "status"}
        found[volume] = {**claim, "metadata": {**template["metadata"], "name": name, "labels": labels}}
    return found


def _is_member(pod: Object, owner: Object) -> bool:
    found = _MEMBER.match(pod["metadata"]["name"])
    return found is not None and found[1] == owner["metadata"]["name"]


def _ordinal(pod: Object) -> int:
    found = _MEMBER.match(pod["metadata"]["name"])
    assert found is not None, "claimed without a number"
    return int(found[2])


def _revision(pod: Object) -> str:
    return str((pod["metadata"].get("labels") or {}).get(LABEL, ""))


def _claimed(owner: Object, ordinal: int) -> list[str]:
    """Names of the claims of a member."""
    return [claim["metadata"]["name"] for claim in claims_of(owner, ordinal).values()]
