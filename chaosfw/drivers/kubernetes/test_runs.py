"""
A TestRun of k6-operator (k6.io/v1alpha1): made with its script, its runners looked at, followed, told to stop, removed.

Used by the child that collects what k6 tells in a cluster, and by the assembly before a run and when that child is gone. The script's
config map belongs to the TestRun, so that one deletion removes both. ``cleanup: post`` comes when it runs, because with it the operator
removes what could not start before anybody has read why.
"""

from __future__ import annotations

import email.utils
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.drivers.kubernetes.rights import Need, may, words
from chaosfw.errors import DriverError
from chaosfw.model.load import Runner
from chaosfw.timing import SYSTEM, nanoseconds

GROUP = "/apis/k6.io/v1alpha1"
PORT = 6565
"""Of k6's REST API, which the operator opens."""
NEEDS: tuple[Need, ...] = (
    *((verb, "k6.io", "testruns") for verb in ("create", "get", "patch", "delete")),
    ("create", "", "configmaps"),
    ("list", "", "pods"),
    ("get", "", "pods/log"),
    ("get", "", "pods/proxy"),
    ("patch", "", "pods/proxy"),
)
"""What has to be allowed in its namespace."""
LARGEST = 900_000
"""Bytes of a script: a config map holds a MiB with all that is around."""
GONE_WITHIN = 45.0
"""Seconds. Its pods have no time of grace; but a garbage collector learns of new kinds every 30 s only."""
LOOK = 0.1
TOLD = 2000
"""Characters of a log that an error shows."""
HOW_TO_GET = "https://grafana.com/docs/k6/latest/set-up/set-up-distributed-k6/install-k6-operator/"


@dataclass(slots=True)
class TestRun:
    """ports.Fleet. ``arguments``: of ``k6 run``, without spaces in them. ``env``: of its pods. Raises what the cluster raises."""

    __test__ = False  # for pytest, which takes a class of this name for tests

    cluster: Cluster
    namespace: str
    name: str
    pods_wanted: int = 1
    file: Path = Path()
    image: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    output: Mapping[str, str] = field(default_factory=dict)
    """Variables of the runners only, not of the pod that reads the script first."""

    def unfit(self) -> tuple[str, str] | None:
        """Why none can be made here, with a hint."""
        known = self.cluster.find(GROUP)
        if known is None or not any(one.get("name") == "testruns" for one in known.get("resources") or ()):
            return ("the cluster knows no TestRun: k6-operator is not installed there", HOW_TO_GET)
        if self._is_missing():
            return (f"there is no namespace {self.namespace!r} for the pods of k6", "namespace= of cf.k6 names it")
        lacking = [words(*need, self.namespace) for need in NEEDS if not may(self.cluster, *need, self.namespace)]
        if lacking:
            return (f"these credentials may not {', '.join(lacking)}", "docs/how-to/use-locust-or-k6.md has the Role")
        return None

    def _is_missing(self) -> bool:
        """Whether its namespace is known not to be there: who may make a TestRun in it need not be allowed to look at it."""
        try:
            return self.cluster.find(f"/api/v1/namespaces/{self.namespace}") is None
        except Answered as answer:
            if answer.code != 403:
                raise
            return False

    @property
    def _key(self) -> str:
        """In the config map, where not every file's name is a key."""
        return f"script{self.file.suffix}"

    def begin(self) -> None:
        script = self.file.read_bytes()
        if len(script) > LARGEST:
            raise DriverError(f"{self.file.name} has {len(script):,} bytes, a config map holds {LARGEST:,}", hint="bundle less into it")
        made = self.cluster.post(self._place("testruns", group=GROUP), self._manifest())
        owner = {"apiVersion": "k6.io/v1alpha1", "kind": "TestRun", "name": self.name, "uid": made["metadata"]["uid"]}
        meta = {"name": self.name, "labels": _LABELS, "ownerReferences": [owner]}
        data = {self._key: script.decode("utf-8", "replace")}
        self.cluster.post(self._place("configmaps"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})

    def leave(self) -> None:
        self.cluster.patch(self._place("testruns", self.name, group=GROUP), {"spec": {"cleanup": "post"}})

    def pods(self) -> tuple[Runner, ...]:
        """The runners, by name."""
        found = self._labelled(f"k6_cr={self.name},runner=true")
        return tuple(sorted((_pod(one) for one in found), key=lambda pod: pod.name))

    def unplaced(self) -> str:
        """Why a pod of it has no node, in the scheduler's words: a runner, or the one that reads the script before there are any."""
        found = [one for label in (f"job-name={self.name}-initializer", f"k6_cr={self.name}") for one in self._labelled(label)]
        conditions = [one for pod in found for one in pod.get("status", {}).get("conditions") or ()]
        return next((str(one.get("message", "")) for one in conditions if (one["type"], one["status"]) == ("PodScheduled", "False")), "")

    def trouble(self) -> str:
        """Why it will never run: what the operator, or the script that it read, says."""
        found = self.cluster.find(self._place("testruns", self.name, group=GROUP))
        if found is None:
            return f"TestRun {self.namespace}/{self.name} was deleted"
        if (found.get("status") or {}).get("stage") != "error":
            return ""
        first = self._labelled(f"job-name={self.name}-initializer")
        told = "".join(self._told(one["metadata"]["name"]) for one in first)
        return f"k6-operator could not start TestRun {self.namespace}/{self.name}: {told or 'it says no more than stage: error'}"

    def log(self, pod: str) -> Iterator[bytes]:
        """As it grows. Raises DriverError when the pod has gone, as those do that the operator cleans up after a k6 that ended at once."""
        try:
            yield from self.cluster.follow(self._place("pods", pod, "log"), follow="true", container="k6")
        except Answered as answer:
            if answer.code != 404:
                raise
            raise DriverError(f"pod {pod} had gone before its log was read: its k6 had ended") from answer

    def second(self, pod: str) -> int:
        """Of the ``Date`` that k6's REST API answers with. Needs ``get`` of ``pods/proxy``."""
        shown = self.cluster.date(self._status(pod))
        return int(email.utils.parsedate_to_datetime(shown).timestamp())

    def stop(self, pod: str) -> None:
        """Over k6's REST API, so that it tells its last. Needs ``patch`` of ``pods/proxy``."""
        self.cluster.patch(self._status(pod), {"data": {"type": "status", "id": "default", "attributes": {"stopped": True}}})

    def end(self) -> None:
        """Returns when it is gone with its jobs and pods. Raises DriverError when it is not within ``GONE_WITHIN`` seconds."""
        place, deadline = self._place("testruns", self.name, group=GROUP), SYSTEM.monotonic_ns() + nanoseconds(GONE_WITHIN)
        try:
            self.cluster.delete(place, {"propagationPolicy": "Foreground"})
        except Answered as answer:
            if answer.code != 404:
                raise
        while self.cluster.find(place) is not None or self._has_pods():
            if SYSTEM.monotonic_ns() > deadline:
                raise DriverError(f"TestRun {self.namespace}/{self.name} is not gone {GONE_WITHIN:g} s after it was deleted")
            SYSTEM.sleep(LOOK)

    def _has_pods(self) -> bool:
        """A garbage collector that has learned of the kind just now lets the TestRun go before its pods."""
        return bool(self.cluster.items(self._place("pods"), labelSelector=f"k6_cr={self.name}"))

    def _told(self, pod: str) -> str:
        return b"".join(self.cluster.follow(self._place("pods", pod, "log"), container="k6"))[-TOLD:].decode(errors="replace").strip()

    def _status(self, pod: str) -> str:
        return self._place("pods", f"{pod}:{PORT}", "proxy", "v1", "status")

    def _labelled(self, label: str) -> list[Object]:
        return list(self.cluster.items(self._place("pods"), labelSelector=label))

    def _place(self, *words: str, group: str = "/api/v1") -> str:
        return "/".join([group, "namespaces", self.namespace, *words])

    def _manifest(self) -> Object:
        image = {"image": self.image} if self.image else {}
        where = {"nodeSelector": dict(self.node_selector)} if self.node_selector else {}
        spec: dict[str, Any] = {
            "parallelism": self.pods_wanted,
            "arguments": " ".join(self.arguments),
            "script": {"configMap": {"name": self.name, "file": self._key}},
            "initializer": {**image, **where, "env": _env(self.env)},
            "starter": where,
            "runner": {**image, **where, "env": _env({**self.env, **self.output})},
        }
        meta = {"name": self.name, "namespace": self.namespace, "labels": _LABELS}
        return {"apiVersion": "k6.io/v1alpha1", "kind": "TestRun", "metadata": meta, "spec": spec}


_LABELS = {"app.kubernetes.io/managed-by": "chaosfw"}


def _env(variables: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in variables.items()]


def _pod(found: Object) -> Runner:
    statuses = found.get("status", {}).get("containerStatuses") or ()
    state = next((one.get("state") or {} for one in statuses if one.get("name") == "k6"), {})
    return Runner(
        name=found["metadata"]["name"],
        node=found["spec"].get("nodeName", ""),
        running="running" in state,
        code=(state.get("terminated") or {}).get("exitCode"),
    )
