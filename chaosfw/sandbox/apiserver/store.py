"""
Objects in memory, one counter, a bounded log of changes, and whoever follows it.

Only the verbs write here. Entries are never changed after they are stored, and carry their JSON bytes, so that lists and
watches only join. The log makes three things exact: resuming a watch, consistent pages, and saying "too old" (410).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from chaosfw.sandbox.client.verbs import Object
from chaosfw.timing import SYSTEM, Clock, nanoseconds

LOG_LENGTH = 10_000
"""Changes remembered. A watch that starts before the oldest of them is told 410."""

BACKLOG = 10_000
"""Changes a follower may lag behind before it is dropped, as a real server drops slow watchers."""

LIVES = {"events": 3600.0}
"""Seconds after its last write that an object is kept: kube-apiserver's --event-ttl."""

Key = tuple[str, str]
"""(namespace, name); the namespace is empty for cluster-scoped kinds."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A stored object, never changed, with its bytes."""

    obj: Object
    version: int
    data: bytes

    def copy(self) -> Object:
        fresh: Object = json.loads(self.data)
        return fresh


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One write. ``new`` is None for a deletion; ``last`` is what a watcher is shown: it carries the version of the change."""

    version: int
    resource: str
    key: Key
    old: Entry | None
    new: Entry | None
    last: Entry


class Mark(Enum):
    """What may stand in a subscription's queue between changes."""

    SLOW = "the follower lagged too far behind; nothing follows"
    BOOKMARK = "time to tell how far we are"
    END = "time to close"


class TooOldError(Exception):
    """The log no longer reaches back that far; ``oldest`` is the first version it knows."""

    def __init__(self, wanted: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {wanted} ({oldest})")


def entry(obj: Object, version: int) -> Entry:
    """The object as it is stored: with its version, and its bytes."""
    stamped = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}}
    return Entry(stamped, version, json.dumps(stamped, separators=(",", ":")).encode())


def unstored(obj: Object) -> Entry:
    """An object that was only asked about: it has no version."""
    return Entry(obj, 0, json.dumps(obj, separators=(",", ":")).encode())


@dataclass(slots=True, eq=False)
class Subscription:
    """The changes of one resource, in order, from some version on, and marks between them."""

    resource: str
    queue: asyncio.Queue[Change | Mark] = field(default_factory=asyncio.Queue)

    def push(self, change: Change) -> bool:
        """False when the follower has to go."""
        slow = self.queue.qsize() >= BACKLOG
        self.queue.put_nowait(Mark.SLOW if slow else change)
        return not slow


class Store:
    """All objects of the cluster by resource and key."""

    def __init__(self, *, log_length: int = LOG_LENGTH, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._aging: deque[tuple[int, str, Key, int]] = deque()
        """Until when, monotonic ns, what is kept that is not written again after this version."""
        self.version = 1
        self._objects: dict[str, dict[Key, Entry]] = {}
        self._log: deque[Change] = deque(maxlen=log_length)
        self._followers: dict[str, list[Subscription]] = {}
        self._compacted = 1

    # --- reading

    def get(self, resource: str, key: Key) -> Entry | None:
        return self._objects.get(resource, {}).get(key)

    def all(self, resource: str, *, namespace: str = "") -> Iterator[Entry]:
        """In the order of their keys, as etcd gives them."""
        for key, found in sorted(self._objects.get(resource, {}).items()):
            if not namespace or key[0] == namespace:
                yield found

    def count(self, resource: str) -> int:
        return len(self._objects.get(resource, ()))

    def at(self, resource: str, version: int) -> list[tuple[Key, Entry]]:
        """What ``all`` gave when the counter stood at ``version``; raises :class:`TooOldError`."""
        self._check_age(version)
        objects: dict[Key, Entry | None] = dict(self._objects.get(resource, {}))
        for change in reversed(self._log):
            if change.version <= version:
                break
            if change.resource == resource:
                objects[change.key] = change.old
        return sorted((key, found) for key, found in objects.items() if found is not None)

    # --- writing

    def put(self, resource: str, key: Key, obj: Object) -> Entry:
        """Stores the object under the next version. The caller has seen that something changed."""
        self.version += 1
        new = entry(obj, self.version)
        objects = self._objects.setdefault(resource, {})
        old = objects.get(key)
        objects[key] = new
        self._announce(Change(self.version, resource, key, old, new, new))
        if resource in LIVES:
            self._aging.append((self._clock.monotonic_ns() + nanoseconds(LIVES[resource]), resource, key, self.version))
        self._expire()
        return new

    def _expire(self) -> None:
        """At each write; leases are written all the time."""
        while self._aging and self._aging[0][0] <= self._clock.monotonic_ns():
            _, resource, key, version = self._aging.popleft()
            found = self.get(resource, key)
            if found is not None and found.version == version:
                self.remove(resource, key)

    def remove(self, resource: str, key: Key) -> Entry:
        """Deletes; the answer carries the version of the deletion."""
        self.version += 1
        old = self._objects[resource].pop(key)
        last = entry(old.obj, self.version)
        self._announce(Change(self.version, resource, key, old, None, last))
        return last

    # --- following

    def follow(self, resource: str, *, since: int) -> Subscription:
        """Every change after ``since``; raises :class:`TooOldError`."""
        self._check_age(since)
        subscription = Subscription(resource)
        missed = []
        for change in reversed(self._log):
            if change.version <= since:
                break
            if change.resource == resource:
                missed.append(change)
        for change in reversed(missed):
            subscription.push(change)
        self._followers.setdefault(resource, []).append(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        followers = self._followers.get(subscription.resource, [])
        if subscription in followers:
            followers.remove(subscription)

    def close(self) -> None:
        """Ends every follower: the server is going."""
        for followers in self._followers.values():
            for subscription in followers:
                subscription.queue.put_nowait(Mark.END)

    def _announce(self, change: Change) -> None:
        if len(self._log) == self._log.maxlen:
            self._compacted = self._log[0].version
        self._log.append(change)
        for subscription in [*self._followers.get(change.resource, ())]:
            if not subscription.push(change):
                self.leave(subscription)

    def _check_age(self, version: int) -> None:
        if version < self._compacted:
            raise TooOldError(version, self._compacted)
