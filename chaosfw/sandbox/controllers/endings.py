"""
What is left of jobs that are over: the finalizers of pods that no job will count any more, and jobs that are to go some time after.

Two loops beside :mod:`.jobs`, as Kubernetes has them (its orphan queue, and the TTL-after-finished controller).
"""

from __future__ import annotations

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import job_rules as rules
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.jobs import RESOURCE
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects import moments


class Uncounted:
    """Reconciles pods with a job's finalizer whose job is gone or over: nothing holds them any more."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self.loop = Loop("pods of jobs that are over", self.reconcile)

    def listen(self) -> None:
        self._caches["pods"].listen(self._on_pod)
        self._caches[RESOURCE].listen(self._on_job)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if new is not None and rules.is_tracked(new):
            self.loop.add(key_of(new))

    def _on_job(self, old: Object | None, new: Object | None) -> None:
        job = new or old
        if job is None or (new is not None and not rules.finished(new)):
            return
        for pod in self._caches["pods"].all(namespace=job["metadata"]["namespace"]):
            if rules.is_tracked(pod):
                self.loop.add(key_of(pod))

    async def reconcile(self, key: Key) -> None:
        pod = self._caches["pods"].get(*key)
        if pod is None or not rules.is_tracked(pod) or self._is_counted(pod):
            return
        left = [known for known in pod["metadata"]["finalizers"] if known != rules.TRACKED]
        change = {"metadata": {"uid": pod["metadata"]["uid"], "finalizers": left or None}}
        try:
            await self._caches.client.patch("pods", key[1], change, namespace=key[0])
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    def _is_counted(self, pod: Object) -> bool:
        """Whether somebody will still look at it: its job, or another kind of owner that wanted the finalizer."""
        owner = objects.controller_of(pod)
        if owner is None:
            return False
        if owner["kind"] != "Job" or owner["apiVersion"] != "batch/v1":
            return True
        job = self._caches[RESOURCE].get(pod["metadata"]["namespace"], owner["name"])
        return job is not None and job["metadata"]["uid"] == owner["uid"] and not rules.finished(job)


class Expiry:
    """Reconciles finished jobs that say how long they are to stay (``ttlSecondsAfterFinished``)."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches
        self.loop = Loop("jobs that are over", self.reconcile)

    def listen(self) -> None:
        self._caches[RESOURCE].listen(lambda old, new: self.loop.add(key_of(new)) if new is not None else None)

    async def reconcile(self, key: Key) -> None:
        job = self._caches[RESOURCE].get(*key)
        if job is None or objects.is_going(job):
            return
        stays, over = job["spec"].get("ttlSecondsAfterFinished"), rules.finished(job)
        if stays is None or over is None:
            return
        left = stays - (objects.now_seconds() - moments.parse(over["lastTransitionTime"]))
        if left > 0:
            self.loop.later(key, left)
            return
        try:
            await self._caches.client.delete(RESOURCE, key[1], namespace=key[0], uid=job["metadata"]["uid"], propagation="Foreground")
        except ApiError as error:
            if error.code not in (404, 409):
                raise
