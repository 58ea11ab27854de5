"""
Watches a cluster while a run is on, and says what it saw: pods that come and go, nodes that leave and return, workloads that
somebody changes. One thread a resource, started at the first look; whoever asks gets what is new since the last time.

Called by the executor's dispatch. It decides nothing: what is drawn and what counts as foreign is other rooms' work. A watch
that breaks is opened again; what happened in between is seen as one step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from chaosfw.drivers.kubernetes import look
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, Object
from chaosfw.errors import ChaosfwError
from chaosfw.model.environment import Target
from chaosfw.model.event import ClusterSaw, Sight
from chaosfw.timing import Clock, nanoseconds, seconds

Seen = tuple[Sight, str]
"""What happened, and in words."""
Tell = Callable[[Object | None, Object | None], None]
"""Told what an object was and is; None: it was not, or is no more."""

WORKLOADS = ("deployments", "statefulsets", "daemonsets")
AGAIN = 0.5
LONGEST = 10.0
"""Seconds before a watch that broke is opened again, at first and at most."""
FIRST = 3.0
"""Seconds that the first look may wait for the lists that the watches start from."""
FINAL = (401, 403, 404)
"""Answers after which a resource is not asked for again."""
KEPT = 5000
"""Sightings that are kept for whoever asks next."""


class Sights:
    """What one cluster was seen to do, in order. Safe to ask from several threads."""

    def __init__(self, cluster: Cluster, *, clock: Clock) -> None:
        self._cluster = cluster
        self._clock = clock
        self._guard = threading.Lock()
        self._seen: list[ClusterSaw] = []
        self._dropped = 0
        self._zones: dict[str, str] = {}
        self._autoscaled: set[str] = set()
        self._listed: list[threading.Event] = []

    def open(self) -> None:
        """Starts the watches and waits until each knows what it starts from, or for ``FIRST`` seconds."""
        self._autoscaled = autoscaled(self._cluster)
        paths: list[tuple[str, Tell]] = [
            ("/api/v1/nodes", self._node),
            ("/api/v1/pods", self._pod),
            *((f"/apis/apps/v1/{kind}", self._workload) for kind in WORKLOADS),
        ]
        for path, tell in paths:
            listed = threading.Event()
            self._listed.append(listed)
            threading.Thread(target=self._follow, args=(path, tell, listed), name=f"sight {path}", daemon=True).start()
        until = self._clock.monotonic_ns() + nanoseconds(FIRST)
        for listed in self._listed:
            listed.wait(max(0.0, seconds(until - self._clock.monotonic_ns())))

    def since(self, cursor: int) -> tuple[int, list[ClusterSaw]]:
        """The next cursor and what was seen after ``cursor``; a cursor of another process counts as none."""
        with self._guard:
            end = self._dropped + len(self._seen)
            start = cursor if self._dropped <= cursor <= end else self._dropped
            return end, self._seen[start - self._dropped :]

    def _follow(self, path: str, tell: Tell, listed: threading.Event) -> None:
        known: dict[str, Object] = {}
        troubles = 0
        while True:
            try:
                items, version = self._cluster.listed(path)
                fresh = {look.uid_of(thing): thing for thing in items}
                self._caught_up(path, known, fresh, tell, first=not listed.is_set())
                known = fresh
                listed.set()
                troubles = 0
                for kind, thing in self._cluster.watch(path, since=version):
                    _changed(known, kind, thing, tell)
            except Answered as answer:
                if answer.code in FINAL:
                    self._blind(path, answer)
                    listed.set()
                    return
                troubles += 1  # expired: the list is read again
            except ChaosfwError:
                troubles += 1  # away: what it is, probes tell
            self._clock.sleep(min(LONGEST, AGAIN * 2**troubles))

    def _blind(self, path: str, answer: Answered) -> None:
        """One sentence for the time axis: what can not be watched can not be noticed."""
        what = f"{path.rpartition('/')[2]} can not be watched ({answer.code} {answer.reason}): what happens to them is not noticed"
        with self._guard:
            self._seen.append(ClusterSaw(at=self._clock.monotonic_ns(), what=what))

    def _caught_up(self, path: str, known: Mapping[str, Object], fresh: Mapping[str, Object], tell: Tell, *, first: bool) -> None:
        """Tells what happened while nobody watched; the first list is where everything starts from, and nothing happened."""
        if first and path.endswith("/nodes"):
            self._zones |= {look.name_of(thing): look.zone_of(thing) for thing in fresh.values()}
        if not first:
            for uid in known.keys() | fresh.keys():
                tell(known.get(uid), fresh.get(uid))

    def _node(self, was: Object | None, now: Object | None) -> None:
        thing = now or was
        assert thing is not None
        self._zones[look.name_of(thing)] = look.zone_of(thing)
        self._tell(look.node_target(thing), "", node_steps(was, now))

    def _pod(self, was: Object | None, now: Object | None) -> None:
        thing = now or was
        assert thing is not None
        self._tell(look.pod_target(thing, self._zones), look.workload_words(thing), pod_steps(was, now))

    def _workload(self, was: Object | None, now: Object | None) -> None:
        if was is None or now is None:
            return
        kind = str(now.get("kind") or _kind_of(now)).lower()
        where = f"{kind} {now['metadata']['namespace']}/{look.name_of(now)}"
        subject = Target(kind=kind, name=look.name_of(now), namespace=now["metadata"]["namespace"], uid=look.uid_of(now))
        self._tell(subject, where, workload_steps(was, now, autoscaled=where in self._autoscaled))

    def _tell(self, subject: Target, of: str, steps: Iterator[Seen]) -> None:
        at = self._clock.monotonic_ns()
        told = [ClusterSaw(at=at, what=what, subject=subject, reason=reason, of=of) for reason, what in steps]
        with self._guard:
            self._seen += told
            if (over := len(self._seen) - KEPT) > 0:
                del self._seen[:over]
                self._dropped += over


def _changed(known: dict[str, Object], kind: str, thing: Object, tell: Tell) -> None:
    uid = look.uid_of(thing)
    if kind == "DELETED":
        tell(known.pop(uid, thing), None)
    elif kind in ("ADDED", "MODIFIED"):
        tell(known.get(uid), thing)
        known[uid] = thing


def pod_steps(was: Object | None, now: Object | None) -> Iterator[Seen]:
    """What a pod went through between two sights of it, in the order in which pods do."""
    if now is None:
        assert was is not None
        yield Sight.gone, f"pod {look.name_of(was)} is gone"
        return
    name, node = look.name_of(now), now["spec"].get("nodeName", "")
    if was is None:
        yield Sight.created, f"pod {name} was created"
    if node and not (was and was["spec"].get("nodeName")):
        yield Sight.scheduled, f"pod {name} was scheduled to {node}"
    if _is_started(now) and not (was and _is_started(was)):
        yield Sight.started, f"pod {name} started"
    if look.is_terminating(now) and not (was and look.is_terminating(was)):
        yield Sight.terminating, f"pod {name} was told to end"
        return
    before = was is not None and look.is_ready(was)
    if look.is_ready(now) and not before:
        yield Sight.ready, f"pod {name} is ready"
    if before and not look.is_ready(now) and not look.is_terminating(now):
        yield Sight.not_ready, f"pod {name} is not ready any more"


def node_steps(was: Object | None, now: Object | None) -> Iterator[Seen]:
    """What became of a node between two sights of it."""
    if was is None or now is None:
        thing = now or was
        assert thing is not None
        name = look.name_of(thing)
        yield (Sight.node_lost, f"node {name} is gone") if now is None else (Sight.node_back, f"node {name} joined")
        return
    name = look.name_of(now)
    out, back = bool(was["spec"].get("unschedulable")), bool(now["spec"].get("unschedulable"))
    if out != back:
        yield (Sight.cordoned, f"node {name} was cordoned") if back else (Sight.uncordoned, f"node {name} is schedulable again")
    if look.is_ready(was) != look.is_ready(now):
        yield (Sight.node_back, f"node {name} is ready again") if look.is_ready(now) else (Sight.node_lost, f"node {name} is not ready")


def workload_steps(was: Object, now: Object, *, autoscaled: bool) -> Iterator[Seen]:
    """Whether somebody deployed or scaled."""
    name = look.name_of(now)
    if was["spec"].get("template") != now["spec"].get("template"):
        yield Sight.deployed, f"{name} was deployed: its template changed"
    before, after = was["spec"].get("replicas"), now["spec"].get("replicas")
    if before != after:
        how = (Sight.autoscaled, "autoscaled") if autoscaled else (Sight.scaled, "scaled")
        yield how[0], f"{name} was {how[1]} from {before} to {after}"


def autoscaled(cluster: Cluster) -> set[str]:
    """Workloads whose replicas an autoscaler owns, as ``deployment shop/myapp``; none where autoscalers may not be read."""
    try:
        scalers = cluster.items("/apis/autoscaling/v2/horizontalpodautoscalers")
    except ChaosfwError:
        return set()
    return {_scaled(one) for one in scalers}


def _scaled(scaler: Mapping[str, Object]) -> str:
    target = scaler["spec"]["scaleTargetRef"]
    return f"{str(target['kind']).lower()} {scaler['metadata']['namespace']}/{target['name']}"


def _is_started(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return bool(statuses) and all("running" in (one.get("state") or {}) for one in statuses)


def _kind_of(thing: Object) -> str:
    """Items of a list carry no kind: their shape tells the three apart."""
    if "replicas" not in thing["spec"]:
        return "DaemonSet"
    return "StatefulSet" if "serviceName" in thing["spec"] else "Deployment"
