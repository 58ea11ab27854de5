"""
The job controller: pods until as many have succeeded as were asked for, or one failure too many; each counted once.

A pod has a finalizer until its end is in its job's status, so that none is forgotten that somebody deletes: first its uid is written
there, then the finalizer is taken away, then it becomes a number. What decides is in :mod:`.job_rules`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from chaosfw.sandbox.client.informer import key_of
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.controllers import job_rules as rules
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.claims import Claims
from chaosfw.sandbox.controllers.job_rules import BackOff
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.replicas import pod_from
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.objects import indexes

RESOURCE = "jobs.batch"
BURST = 500
"""Pods created, deleted or counted in one pass."""
_COUNTS = ("active", "succeeded", "failed")
_LEFT_OUT = (*_COUNTS, "completedIndexes")
"""Of a status, when there is nothing to say."""


@dataclass(slots=True, kw_only=True)
class Look:
    """A job and its pods as they are now, and what becomes of the status. ``counted``: uids of pods that have no finalizer any more."""

    job: Object
    pods: list[Object]
    counted: set[str]
    status: Object
    active: list[Object]
    ending: int
    ready: int
    succeeded: int = 0
    failed: int = 0
    back_off: BackOff = field(default_factory=BackOff)
    succeeded_before: frozenset[int] = frozenset()
    succeeded_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] | None = None
    last_failed: dict[int, Object] = field(default_factory=dict)
    """By index, where failures of each count on their own: whose finalizer stays until there is another that knows how often it failed."""

    def uncounted(self, end: str) -> list[str]:
        return list(self.status["uncountedTerminatedPods"].setdefault(end, []))

    def is_new(self, pod: Object, end: str) -> bool:
        """Whether its end is in no figure yet."""
        uid = pod["metadata"]["uid"]
        if not rules.is_tracked(pod) or uid in self.counted or uid in self.uncounted(end):
            return False
        return not rules.indexed(self.job) or rules.valid_index(pod, self.job)

    def new(self, end: str) -> list[Object]:
        def holds(pod: Object) -> bool:
            return rules.phase(pod) == "Succeeded" if end == "succeeded" else rules.has_failed(pod, self.job)

        return [pod for pod in self.pods if self.is_new(pod, end) and holds(pod)]


class Jobs:
    """Reconciles jobs; woken by their own changes, by those of their pods, and by time."""

    def __init__(self, caches: Caches, recorder: Recorder) -> None:
        self._caches, self._client, self._recorder = caches, caches.client, recorder
        self.loop = Loop("jobs", self.reconcile)
        self._claims = Claims(caches, resource=RESOURCE, kind="Job", loop=self.loop, finalizer=rules.TRACKED)
        self._back_offs: dict[str, BackOff] = {}
        self._counted: set[str] = set()
        """Pods whose finalizer was taken away, until the cache knows."""

    def listen(self) -> None:
        self._caches[RESOURCE].listen(self._on_job)
        self._caches["pods"].listen(self._on_pod)
        self._claims.listen()

    def _on_job(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self.loop.add(key_of(new))
        elif old is not None:
            self._back_offs.pop(old["metadata"]["uid"], None)

    def _on_pod(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or not rules.is_tracked(new)):
            self._counted.discard(old["metadata"]["uid"])

    async def reconcile(self, key: Key) -> None:
        job = self._caches[RESOURCE].get(*key)
        if job is None or job["spec"].get("managedBy", rules.OURS) != rules.OURS or rules.finished(job):
            return
        look = self._look(job, await self._claims.claim(job))
        end = self._judge(look)
        known = look.status.get("conditions")
        if end is not None:
            for pod in list(look.active):
                await self._delete(look, pod)
        else:
            end = await self._work(look)
        told = {"active": len(look.active), "ready": look.ready, "terminating": look.ending}
        changed = known != look.status.get("conditions") or any(look.status.get(name) != value for name, value in told.items())
        look.status.update(told)
        await self._track(look, end, changed=changed)

    async def _work(self, look: Look) -> Object | None:
        """The condition that says it is done, when nothing is left to do."""
        going = objects.is_going(look.job)
        if not going:
            await self._manage(look)
        if self._is_complete(look):
            return rules.condition(rules.TO_COMPLETE, "CompletionsReached", "Reached expected number of succeeded pods")
        if not going:
            self._tell_suspension(look)
        return None

    # --- what there is

    def _look(self, job: Object, pods: list[Object]) -> Look:
        status = copy.deepcopy(job.get("status") or {})
        status.setdefault("uncountedTerminatedPods", {})
        active = [pod for pod in pods if objects.is_active(pod)]
        ending, ready = sum(map(rules.is_ending, pods)), sum(map(objects.is_ready, active))
        look = Look(job=job, pods=pods, counted=self._counted, status=status, active=active, ending=ending, ready=ready)
        for name in _COUNTS:
            status.setdefault(name, 0)
        succeeded, failed = look.new("succeeded"), look.new("failed")
        counting = [pod for pod in failed if rules.policy_of(job, pod).counts]
        look.succeeded = status["succeeded"] + len(succeeded) + len(look.uncounted("succeeded"))
        look.failed = status["failed"] + len(counting) + len(look.uncounted("failed"))
        look.back_off = self._back_offs.get(job["metadata"]["uid"], BackOff()).after(succeeded, failed)
        if "startTime" not in status and not rules.suspended(job):
            status["startTime"] = objects.now()
        if rules.indexed(job):
            _look_at_indexes(look)
        return look

    # --- whether it is over

    def _judge(self, look: Look) -> Object | None:
        """The condition that ends it: what was decided before comes first, then failures, then successes."""
        job, pods = look.job, look.pods
        if (known := rules.holds(job, rules.TO_COMPLETE)) is not None:
            return known
        if (known := rules.holds(job, rules.TO_FAIL)) is not None:
            return rules.condition(rules.FAILED, known["reason"], known["message"])
        for pod in pods:
            if rules.has_failed(pod, job) and (message := rules.policy_of(job, pod).message):
                return rules.condition(rules.TO_FAIL, "PodFailurePolicy", message)
        limit = job["spec"]["backoffLimit"]
        restarts = rules.restarts(pods) if job["spec"]["template"]["spec"].get("restartPolicy") == "OnFailure" else 0
        if look.failed > limit or restarts >= max(1, limit):
            return rules.condition(rules.TO_FAIL, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        left = rules.time_left({**job, "status": look.status})
        if left is not None and left <= 0:
            return rules.condition(rules.TO_FAIL, "DeadlineExceeded", "Job was active longer than specified deadline")
        if left is not None:
            self.loop.later(key_of(job), left)
        return _judge_indexes(look) if rules.indexed(job) else None

    def _is_complete(self, look: Look) -> bool:
        wanted = look.job["spec"].get("completions")
        return not look.active and (look.succeeded > 0 if wanted is None else look.succeeded >= wanted)

    def _tell_suspension(self, look: Look) -> None:
        known = objects.condition({"status": look.status}, "Suspended")
        if rules.suspended(look.job):
            if known is None or known["status"] != "True":
                _put(look.status, rules.condition("Suspended", "JobSuspended", "Job suspended"))
                self._recorder.tell(look.job, "Suspended", "Job suspended")
                look.status.pop("startTime", None)
        elif known is not None and known["status"] == "True":
            _put(look.status, rules.condition("Suspended", "JobResumed", "Job resumed", status="False"))
            self._recorder.tell(look.job, "Resumed", "Job resumed")
            look.status["startTime"] = objects.now()

    # --- its pods

    async def _manage(self, look: Look) -> None:
        wanted = self._wanted(look)
        if surplus := _surplus(look, len(look.active) - wanted)[:BURST]:
            for pod in surplus:
                await self._let_go(pod)
                await self._delete(look, pod)
            return
        missing = wanted - len(look.active) - (look.ending if rules.replaces_only_failed(look.job) else 0)
        if missing <= 0:
            return
        if not rules.per_index(look.job) and (left := look.back_off.left()) > 0:
            self.loop.later(key_of(look.job), left)
            return
        for index in self._which(look, min(missing, BURST)):
            if not await self._create(look, index):
                return

    def _wanted(self, look: Look) -> int:
        spec = look.job["spec"]
        if rules.suspended(look.job):
            return 0
        if spec.get("completions") is None:
            return len(look.active) if look.succeeded else int(spec["parallelism"])
        return max(0, min(int(spec["completions"]) - look.succeeded, int(spec["parallelism"])))

    def _which(self, look: Look, count: int) -> Sequence[int | None]:
        """The indexes of so many pods that are missing, those first whose turn it is."""
        if not rules.indexed(look.job):
            return [None] * count
        there = {rules.index_of(pod) for pod in look.active} | look.succeeded_indexes | (look.failed_indexes or frozenset())
        if rules.replaces_only_failed(look.job):
            there |= {rules.index_of(pod) for pod in look.pods if rules.is_ending(pod)}
        pending = [index for index in range(look.job["spec"]["completions"]) if index not in there][:count]
        if not rules.per_index(look.job):
            return pending
        left = {index: rules.back_off_of_index(look.last_failed.get(index)).left() for index in pending}
        now = [index for index in pending if not left[index]]
        if pending and not now:
            self.loop.later(key_of(look.job), min(left.values()))
        return now

    async def _create(self, look: Look, index: int | None) -> bool:
        try:
            pod = await self._claims.create(_pod_from(look, index), look.job)
        except ApiError as error:
            self._recorder.tell(look.job, "FailedCreate", f"Error creating: {error.message}", warning=True)
            self.loop.later(key_of(look.job), 0.05 if error.code == 403 else 1.0)
            return False
        look.active.append(pod)
        self._recorder.tell(look.job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return True

    async def _delete(self, look: Look, pod: Object) -> None:
        if await self._claims.delete(pod):
            self._recorder.tell(look.job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        look.active.remove(pod)
        look.ending += 1
        look.ready -= objects.is_ready(pod)

    async def _let_go(self, pod: Object) -> None:
        """Without the finalizer: it is in the status, or is not to be counted."""
        metadata = pod["metadata"]
        left = [known for known in metadata.get("finalizers", ()) if known != rules.TRACKED]
        change = {"metadata": {"uid": metadata["uid"], "finalizers": left or None}}
        try:
            await self._client.patch("pods", metadata["name"], change, namespace=metadata["namespace"])
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        known = self._caches["pods"].get(metadata["namespace"], metadata["name"])
        if known is not None and known["metadata"]["uid"] == metadata["uid"]:
            self._counted.add(metadata["uid"])

    # --- its status

    async def _track(self, look: Look, end: Object | None, *, changed: bool) -> None:
        job, status = look.job, look.status
        still = {pod["metadata"]["uid"] for pod in look.pods if rules.is_tracked(pod)} - self._counted
        changed |= _count(status, still)
        ended, new, all_seen = _take_note(look, end)
        changed |= new
        if rules.indexed(job):
            changed |= _tell_indexes(look)
        if end is not None and end["type"] == rules.TO_FAIL:
            _put(status, end)
            end, changed = rules.condition(rules.FAILED, end["reason"], end["message"]), True
        elif end is not None and end["type"] == rules.TO_COMPLETE:
            if not any(one["type"] == rules.TO_COMPLETE for one in objects.conditions({"status": status})):
                _put(status, end)
                changed = True
            end = rules.condition(rules.COMPLETE, end["reason"], end["message"])
        if changed:
            job = await self._write(job, status)
            self._back_offs[job["metadata"]["uid"]] = look.back_off
        for pod in ended:
            await self._let_go(pod)
            still.discard(pod["metadata"]["uid"])
        changed = _count(status, still)
        over = all_seen and end is not None and not look.ending and not any(status["uncountedTerminatedPods"].values())
        if over and end is not None:
            _finish(status, end)
        if changed or over:
            await self._write(job, status)
        if over and end is not None:
            self._back_offs.pop(job["metadata"]["uid"], None)
            self._tell_end(look, end)

    def _tell_end(self, look: Look, end: Object) -> None:
        if end["type"] == rules.FAILED:
            self._recorder.tell(look.job, end["reason"], end["message"], warning=True)
            return
        wanted = look.job["spec"].get("completions")
        if wanted is not None and look.status["succeeded"] > wanted:
            why = "Too many succeeded pods running after completion count reached"
            self._recorder.tell(look.job, "TooManySucceededPods", why, warning=True)
        self._recorder.tell(look.job, "Completed", "Job completed")

    async def _write(self, job: Object, status: Object) -> Object:
        metadata, told = job["metadata"], {name: value for name, value in status.items() if name not in _LEFT_OUT or value}
        told["uncountedTerminatedPods"] = {end: uids for end, uids in status["uncountedTerminatedPods"].items() if uids}
        body = {**job, "status": told}
        written = await self._client.replace(RESOURCE, metadata["name"], body, namespace=metadata["namespace"], subresource="status")
        await self._caches[RESOURCE].seen(written["metadata"]["resourceVersion"])
        return written


# --- figures


def _look_at_indexes(look: Look) -> None:
    job = look.job
    below = job["spec"]["completions"]
    tracked = [pod for pod in look.pods if rules.is_tracked(pod) and rules.valid_index(pod, job)]
    look.succeeded_before = indexes.parse(look.status.get("completedIndexes", ""), below=below)
    look.succeeded_indexes = look.succeeded_before | _indexes(pod for pod in tracked if rules.phase(pod) == "Succeeded")
    look.succeeded = len(look.succeeded_indexes)
    if not rules.per_index(job):
        return
    before = indexes.parse(look.status.get("failedIndexes", ""), below=below)
    look.failed_indexes = before | _indexes(pod for pod in tracked if rules.index_has_failed(pod, job))
    closed = look.succeeded_indexes | look.failed_indexes | _indexes(look.active)
    for pod in sorted(tracked, key=_seniority):
        index = rules.index_of(pod)
        if index is not None and index not in closed and rules.has_failed(pod, job) and pod["metadata"]["uid"] not in look.counted:
            look.last_failed[index] = pod


def _seniority(pod: Object) -> tuple[int, float]:
    return rules.failures_of_index(pod) + rules.failures_of_index(pod, ignored=True), rules.ended_at(pod)


def _indexes(pods: Iterable[Object]) -> frozenset[int]:
    return frozenset(index for pod in pods if (index := rules.index_of(pod)) is not None)


def _judge_indexes(look: Look) -> Object | None:
    spec = look.job["spec"]
    if look.failed_indexes is not None:
        most, count = spec.get("maxFailedIndexes"), len(look.failed_indexes)
        if most is not None and count > most:
            why = "Job has exceeded the specified maximal number of failed indexes"
            return rules.condition(rules.TO_FAIL, "MaxFailedIndexesExceeded", why)
        if count and count + len(look.succeeded_indexes) >= spec["completions"]:
            return rules.condition(rules.TO_FAIL, "FailedIndexes", "Job has failed indexes")
    if words := rules.success_rule(look.job, look.succeeded_indexes):
        return rules.condition(rules.TO_COMPLETE, "SuccessPolicy", words)
    return None


def _surplus(look: Look, count: int) -> list[Object]:
    """So many at least; of an indexed job all that have no index of their own, too."""
    out: list[Object] = []
    left = sorted(look.active, key=objects.worth)
    if rules.indexed(look.job):
        best = {rules.index_of(pod): pod for pod in left if rules.valid_index(pod, look.job)}
        out = [pod for pod in left if best.get(rules.index_of(pod)) is not pod]
        left = [pod for pod in left if pod not in out]
    return [*out, *left[: max(0, count - len(out))]]


def _take_note(look: Look, end: Object | None) -> tuple[list[Object], bool, bool]:
    """The pods that may lose their finalizer, whether one of them is new in the status, and whether there was room for all."""
    fails = end is not None and end["type"] in (rules.TO_FAIL, rules.FAILED)
    over = end is not None or objects.is_going(look.job)
    ended, news = [], 0
    pods = sorted(look.pods, key=lambda pod: rules.index_of(pod) or 0) if rules.indexed(look.job) else look.pods
    for pod in pods:
        uid, failed = pod["metadata"]["uid"], rules.has_failed(pod, look.job)
        if not rules.is_tracked(pod) or uid in look.counted or not (over or _may_go(look, pod, failed=failed)):
            continue
        ended.append(pod)
        if rules.phase(pod) == "Succeeded" and uid not in look.uncounted("failed"):
            news += _note_success(look, pod)
        elif (failed or fails) and look.is_new(pod, "failed") and rules.policy_of(look.job, pod).counts:
            look.status["uncountedTerminatedPods"]["failed"].append(uid)
            news += 1
        if news >= BURST:
            return ended, True, False
    return ended, news > 0, True


def _may_go(look: Look, pod: Object, *, failed: bool) -> bool:
    index = rules.index_of(pod)
    delayed = index is not None and look.last_failed.get(index) is pod
    return rules.phase(pod) == "Succeeded" or (failed and not delayed)


def _note_success(look: Look, pod: Object) -> bool:
    """An index is remembered as such, any other by its uid."""
    if rules.indexed(look.job):
        return rules.valid_index(pod, look.job) and rules.index_of(pod) not in look.succeeded_before
    if new := look.is_new(pod, "succeeded"):
        look.status["uncountedTerminatedPods"]["succeeded"].append(pod["metadata"]["uid"])
    return new


def _tell_indexes(look: Look) -> bool:
    told: Object = {"succeeded": len(look.succeeded_indexes), "completedIndexes": indexes.show(look.succeeded_indexes)}
    if look.failed_indexes is not None:
        told["failedIndexes"] = indexes.show(look.failed_indexes)
    changed = any(look.status.get(name, "") != value for name, value in told.items() if name != "succeeded")
    look.status.update(told)
    return changed


def _count(status: Object, still: set[str]) -> bool:
    """Uids whose pods have no finalizer any more become numbers."""
    changed = False
    for end in ("succeeded", "failed"):
        uids = status["uncountedTerminatedPods"].get(end) or []
        left = [uid for uid in uids if uid in still]
        status[end] += len(uids) - len(left)
        status["uncountedTerminatedPods"][end] = left
        changed |= len(left) != len(uids)
    return changed


def _finish(status: Object, end: Object) -> None:
    _put(status, end)
    if end["type"] == rules.COMPLETE:
        status["completionTime"] = end["lastTransitionTime"]


def _put(status: Object, condition: Object) -> None:
    others = [known for known in status.get("conditions") or () if known["type"] != condition["type"]]
    status["conditions"] = [*others, condition]


# --- a new pod


def _pod_from(look: Look, index: int | None) -> Object:
    job = look.job
    pod = pod_from(job)
    metadata, spec = pod["metadata"], pod["spec"]
    metadata["finalizers"] = list(dict.fromkeys([*metadata.get("finalizers", ()), rules.TRACKED]))
    if index is None:
        return pod
    metadata["annotations"] = {**metadata.get("annotations", {}), rules.INDEX: str(index), **_failures(look, index)}
    metadata["labels"] = {**metadata.get("labels", {}), rules.INDEX: str(index)}
    metadata["generateName"] = f"{job['metadata']['name']}-{index}-"
    spec["hostname"] = f"{job['metadata']['name']}-{index}"
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        variables = container.setdefault("env", [])
        if not any(one["name"] == "JOB_COMPLETION_INDEX" for one in variables):
            source = {"fieldRef": {"fieldPath": f"metadata.labels['{rules.INDEX}']"}}
            variables.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": source})
    return pod


def _failures(look: Look, index: int) -> dict[str, str]:
    """How often this index has failed, handed on from the last pod of it to the next."""
    if not rules.per_index(look.job):
        return {}
    last = look.last_failed.get(index)
    if last is None:
        return {rules.FAILURES: "0"}
    counts = rules.policy_of(look.job, last).counts
    failures = rules.failures_of_index(last) + counts
    ignored = rules.failures_of_index(last, ignored=True) + (not counts)
    return {rules.FAILURES: str(failures), **({rules.IGNORED: str(ignored)} if ignored else {})}
