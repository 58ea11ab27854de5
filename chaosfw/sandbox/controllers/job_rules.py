"""
When a pod of a job has failed, when a job has, and how long it waits before it tries again. Pure: from objects to answers.

Used by :mod:`.jobs`, which does what follows. The rules are those of Kubernetes 1.37 (pkg/controller/job).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.controllers import objects
from chaosfw.sandbox.objects import indexes, moments

TRACKED: Final = "batch.kubernetes.io/job-tracking"
"""The finalizer of pods that no job has counted yet."""
INDEX: Final = "batch.kubernetes.io/job-completion-index"
FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED: Final = "batch.kubernetes.io/job-index-ignored-failure-count"
FIRST_BACK_OFF, LONGEST_BACK_OFF = 10.0, 600.0
"""Seconds: ``DefaultJobPodFailureBackOff`` and ``MaxJobPodFailureBackOff``."""
OURS: Final = "kubernetes.io/job-controller"
COMPLETE, FAILED, TO_FAIL, TO_COMPLETE = "Complete", "Failed", "FailureTarget", "SuccessCriteriaMet"


# --- of a job


def holds(job: Object, kind: str) -> Object | None:
    """Its condition of that kind, if it is true."""
    found = objects.condition(job, kind)
    return found if found is not None and found["status"] == "True" else None


def finished(job: Object) -> Object | None:
    """The condition that says so."""
    return holds(job, COMPLETE) or holds(job, FAILED)


def suspended(job: Object) -> bool:
    return bool(job["spec"].get("suspend"))


def indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def per_index(job: Object) -> bool:
    return job["spec"].get("backoffLimitPerIndex") is not None


def replaces_only_failed(job: Object) -> bool:
    """Whether a pod that is ending is waited for before there is another."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def condition(kind: str, reason: str, message: str, *, status: str = "True") -> Object:
    at = objects.now()
    return {"type": kind, "status": status, "lastProbeTime": at, "lastTransitionTime": at, "reason": reason, "message": message}


def time_left(job: Object) -> float | None:
    """Seconds until its deadline; None: it has none, or its time does not run."""
    allowed, began = job["spec"].get("activeDeadlineSeconds"), (job.get("status") or {}).get("startTime")
    if allowed is None or began is None or suspended(job):
        return None
    return float(allowed) - (objects.now_seconds() - moments.parse(began))


# --- of its pods


def is_tracked(pod: Object) -> bool:
    return TRACKED in (pod["metadata"].get("finalizers") or ())


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase", ""))


def is_ending(pod: Object) -> bool:
    return objects.is_going(pod) and phase(pod) not in ("Succeeded", "Failed")


def has_failed(pod: Object, job: Object) -> bool:
    """One that is deleted has, unless the job waits for how it ends: it may never come to say."""
    if phase(pod) == "Failed":
        return True
    return not replaces_only_failed(job) and objects.is_going(pod) and phase(pod) != "Succeeded"


def index_of(pod: Object) -> int | None:
    return _number(pod, INDEX)


def valid_index(pod: Object, job: Object) -> bool:
    index = index_of(pod)
    return index is not None and index < job["spec"]["completions"]


def failures_of_index(pod: Object, *, ignored: bool = False) -> int:
    """How often its index had failed before it."""
    return _number(pod, IGNORED if ignored else FAILURES) or 0


def _number(pod: Object, annotation: str) -> int | None:
    text = (pod["metadata"].get("annotations") or {}).get(annotation, "")
    return int(text) if text.isdigit() else None


def restarts(pods: Iterable[Object]) -> int:
    """Of all containers of those that run or will."""
    counts = (
        one.get("restartCount", 0)
        for pod in pods
        if phase(pod) in ("Running", "Pending")
        for part in ("initContainerStatuses", "containerStatuses")
        for one in pod["status"].get(part) or ()
    )
    return sum(counts)


def ended_at(pod: Object) -> float:
    """Seconds since 1970: when its last container ended, or when it was ready last, or was told to go."""
    status, metadata = pod.get("status") or {}, pod["metadata"]
    ends = [(one.get("state") or {}).get("terminated", {}).get("finishedAt") for one in status.get("containerStatuses") or ()]
    if ends and all(ends):
        return max(map(moments.parse, ends))
    ready = objects.condition(pod, "Ready")
    if ready is not None and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return moments.parse(ready["lastTransitionTime"])
    if objects.is_going(pod):
        return moments.parse(metadata["deletionTimestamp"]) - float(metadata.get("deletionGracePeriodSeconds", 0))
    return moments.parse(metadata["creationTimestamp"])


# --- what a failure means


@dataclass(frozen=True, slots=True)
class Policy:
    """What a job's podFailurePolicy says of one pod: ``message``: the job has failed, and why."""

    action: str = ""
    counts: bool = True
    message: str = ""


def policy_of(job: Object, pod: Object) -> Policy:
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        if (words := _matched(rule, pod)) is not None:
            fails = rule["action"] == "FailJob"
            message = f"{words} matching FailJob rule at index {number}" if fails else ""
            return Policy(rule["action"], rule["action"] != "Ignore", message)
    return Policy()


def _matched(rule: Object, pod: Object) -> str | None:
    metadata, status = pod["metadata"], pod.get("status") or {}
    name = f"{metadata['namespace']}/{metadata['name']}"
    if (wanted := rule.get("onExitCodes")) is not None:
        for part in ("containerStatuses", "initContainerStatuses"):
            for one in status.get(part) or ():
                if (code := _exit_code(one, wanted)) is not None:
                    return f"Container {one['name']} for pod {name} failed with exit code {code}"
        return None
    patterns = {(one["type"], one.get("status", "True")) for one in rule.get("onPodConditions") or ()}
    for known in objects.conditions(pod):
        if (known["type"], known["status"]) in patterns:
            return f"Pod {name} has condition {known['type']}"
    return None


def _exit_code(container: Object, wanted: Object) -> int | None:
    code = (container.get("state") or {}).get("terminated", {}).get("exitCode", 0)
    if code == 0 or wanted.get("containerName") not in (None, container["name"]):
        return None
    listed = code in wanted.get("values", ())
    return int(code) if listed is (wanted["operator"] == "In") else None


def index_has_failed(pod: Object, job: Object) -> bool:
    if not has_failed(pod, job):
        return False
    policy = policy_of(job, pod)
    return policy.action == "FailIndex" or (policy.counts and failures_of_index(pod) >= job["spec"]["backoffLimitPerIndex"])


def success_rule(job: Object, succeeded: frozenset[int]) -> str:
    """Which rule of its successPolicy holds, in words; empty: none."""
    for number, rule in enumerate((job["spec"].get("successPolicy") or {}).get("rules") or ()):
        wanted, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        needed = indexes.parse(wanted, below=job["spec"]["completions"]) if wanted is not None else None
        if needed is not None and not needed:
            continue
        there = len(succeeded if needed is None else succeeded & needed)
        if there == len(needed or ()) != 0 or (count is not None and there >= count):
            return f"Matched rules at index {number}"
    return ""


# --- when to try again


@dataclass(frozen=True, slots=True)
class BackOff:
    """Failures since the last success, and when the last of them was, in seconds since 1970."""

    failures: int = 0
    last: float = 0.0

    def after(self, succeeded: Sequence[Object], failed: Sequence[Object]) -> BackOff:
        if not failed:
            return BackOff() if succeeded else self
        times = sorted(map(ended_at, failed))
        if not succeeded:
            return BackOff(self.failures + len(times), times[-1])
        later = [at for at in times if at > max(map(ended_at, succeeded))]
        return BackOff(len(later), later[-1]) if later else BackOff()

    def left(self) -> float:
        """Seconds until another pod may be made."""
        if not self.failures:
            return 0.0
        whole = min(FIRST_BACK_OFF * 2.0 ** min(self.failures - 1, 16), LONGEST_BACK_OFF)
        return max(0.0, whole - (objects.now_seconds() - self.last))


def back_off_of_index(last: Object | None) -> BackOff:
    """After its last failed pod."""
    if last is None:
        return BackOff()
    return BackOff(failures_of_index(last) + failures_of_index(last, ignored=True) + 1, ended_at(last))
