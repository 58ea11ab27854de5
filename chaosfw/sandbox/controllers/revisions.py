"""
The templates that a StatefulSet or a DaemonSet has had, each a ControllerRevision: what ``kubectl rollout history`` and ``undo`` read.

The same template again is the same revision with a new number. Used by the two controllers; it moves no pods.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.objects.names import hashed

RESOURCE = "controllerrevisions.apps"
LABEL = "controller-revision-hash"
_MOST_COLLISIONS = 20


class Revisions:
    """The history of owners of one kind. ``hash_label``: under which a revision carries its hash."""

    def __init__(self, caches: Caches, *, hash_label: str) -> None:
        self._caches, self._client, self._hash_label = caches, caches.client, hash_label

    def of(self, owner: Object) -> list[Object]:
        """Oldest first."""
        found = [one for one in self._caches[RESOURCE].all(namespace=owner["metadata"]["namespace"]) if objects.owned_by(one, owner)]
        return sorted(found, key=lambda one: (one.get("revision", 0), one["metadata"]["creationTimestamp"], one["metadata"]["name"]))

    async def newest(self, owner: Object) -> Object:
        """The revision of the present template, made or brought to the front."""
        known = self.of(owner)
        data = snapshot(owner)
        number = known[-1].get("revision", 0) + 1 if known else 1
        same = [one for one in known if one["data"] == data]
        if not same:
            return await self._make(owner, data, number)
        if same[-1] is known[-1]:
            return known[-1]
        return await self._seen(await self._number(same[-1], number))

    async def trim(self, owner: Object, *, live: Collection[str]) -> None:
        """Deletes what is over the owner's limit, oldest first; never one by a name that is ``live``."""
        history = [one for one in self.of(owner) if one["metadata"]["name"] not in live]
        for one in history[: max(0, len(history) - owner["spec"].get("revisionHistoryLimit", 10))]:
            try:
                gone = await self._client.delete(RESOURCE, one["metadata"]["name"], namespace=one["metadata"]["namespace"])
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                await self._caches[RESOURCE].seen(gone["metadata"].get("resourceVersion", "0"))

    async def _make(self, owner: Object, data: Object, number: int) -> Object:
        """Under the first name that is free; one of that name and content without an owner, as an orphaning deletion leaves it, is ours."""
        metadata, labels = owner["metadata"], owner["spec"]["template"].get("metadata", {}).get("labels") or {}
        for collisions in range(_MOST_COLLISIONS):
            digest = hashed(json.dumps([data, collisions] if collisions else data, sort_keys=True))
            revision = {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {
                    "name": f"{metadata['name']}-{digest}",
                    "namespace": metadata["namespace"],
                    "labels": {**labels, self._hash_label: digest},
                    "annotations": dict(metadata.get("annotations") or {}),
                    "ownerReferences": [objects.owner_reference(owner)],
                },
                "data": data,
                "revision": number,
            }
            if (made := await self._create(revision)) is not None:
                return await self._seen(made)
        raise ApiError(409, "AlreadyExists", f"{metadata['namespace']}/{metadata['name']}: no name is left for a revision of its template")

    async def _create(self, revision: Object) -> Object | None:
        metadata = revision["metadata"]
        try:
            return await self._client.create(RESOURCE, revision, namespace=metadata["namespace"])
        except ApiError as error:
            if error.code != 409:
                raise
        there = await self._client.get(RESOURCE, metadata["name"], namespace=metadata["namespace"])
        if there["data"] != revision["data"] or objects.controller_of(there) is not None:
            return None
        body = {
            **there,
            "metadata": {**there["metadata"], "ownerReferences": metadata["ownerReferences"]},
            "revision": revision["revision"],
        }
        return await self._client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"])

    async def _number(self, one: Object, number: int) -> Object:
        """As a whole: a patch would have the server write the data anew, and a real one compares it byte by byte."""
        metadata, body = one["metadata"], {**one, "revision": number}
        return await self._client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"])

    async def _seen(self, written: Object) -> Object:
        await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])
        return written


def snapshot(owner: Object) -> Object:
    """What a revision keeps: a strategic merge patch that brings the template back."""
    return {"spec": {"template": {**copy.deepcopy(owner["spec"]["template"]), "$patch": "replace"}}}


def template_of(revision: Object) -> Object:
    """The template that a revision keeps."""
    template: Object = copy.deepcopy(revision["data"]["spec"]["template"])
    template.pop("$patch", None)
    return template
