"""
What becomes of a StatefulSet's claims when it shrinks or goes: owners on them say it, and the garbage collector does it.

Used by :mod:`.stateful` (Kubernetes' pkg/controller/statefulset/stateful_set_utils.go, ``updateClaimOwnerRefForSetAndPod``).
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.objects.storage import CLAIMS

DELETE = "Delete"


def policy(owner: Object) -> tuple[bool, bool]:
    """Whether claims go when their member is scaled away, and when the set is deleted."""
    said = owner["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
    return said.get("whenScaled") == DELETE, said.get("whenDeleted") == DELETE


def is_stale(claim: Object, *, pod: str, uid: str = "") -> bool:
    """Of an earlier pod of that name, with which it is about to go."""
    refs = claim["metadata"].get("ownerReferences") or ()
    return any(ref["kind"] == "Pod" and ref["name"] == pod and ref["uid"] != uid for ref in refs)


class Retention:
    def __init__(self, caches: Caches) -> None:
        self._caches, self._client = caches, caches.client

    async def mind(self, owner: Object, names: Iterable[str], *, pod: Object, scaled_away: bool) -> None:
        """The claims of one member have the owners that the policy asks for. ``pod`` need not be there yet."""
        for name in names:
            claim = self._caches[CLAIMS].get(owner["metadata"]["namespace"], name)
            if claim is not None:
                await self._own(claim, owner, pod, scaled_away=scaled_away)

    async def _own(self, claim: Object, owner: Object, pod: Object, *, scaled_away: bool) -> None:
        metadata = claim["metadata"]
        refs = metadata.get("ownerReferences") or []
        ours = {("StatefulSet", owner["metadata"]["name"]): owner, ("Pod", pod["metadata"]["name"]): pod}
        named = [ref for ref in refs if (ref["kind"], ref["name"]) in ours]
        if any(ref["uid"] != ours[ref["kind"], ref["name"]]["metadata"].get("uid") for ref in named):
            return  # it belongs to a set or pod that was here before: not ours to touch
        wanted = [ref for ref in refs if ref not in named]
        if not any(ref.get("controller") for ref in wanted):
            wanted += _owners(owner, pod, scaled_away=scaled_away)
        if wanted == refs:
            return
        change = {"metadata": {"ownerReferences": wanted, "resourceVersion": metadata["resourceVersion"]}}
        written = await self._client.patch(CLAIMS, metadata["name"], change, namespace=metadata["namespace"])
        await self._caches[CLAIMS].seen(written["metadata"]["resourceVersion"])


def _owners(owner: Object, pod: Object, *, scaled_away: bool) -> list[Object]:
    when_scaled, when_deleted = policy(owner)
    if when_scaled and scaled_away:
        return [objects.owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})]
    return [objects.owner_reference({**owner, "apiVersion": "apps/v1", "kind": "StatefulSet"})] if when_deleted else []
