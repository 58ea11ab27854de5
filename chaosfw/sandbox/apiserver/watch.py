"""
A watch over HTTP: what is there, then what changes, as lines of JSON until the time is up or the client goes.

Never ends early by itself: clients count silence. Bookmarks only for those who ask. An expired start is HTTP 200 with an
ERROR event, as clients expect it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from chaosfw.sandbox.apiserver import errors, table
from chaosfw.sandbox.apiserver.scope import Scope
from chaosfw.sandbox.apiserver.store import Entry, Mark, Store, Subscription, TooOldError, entry
from chaosfw.sandbox.apiserver.table import Form
from chaosfw.sandbox.apiserver.verbs import resource_of
from chaosfw.sandbox.client.verbs import ApiError, Object

BOOKMARK_EVERY = 60.0
LONGEST = (1800.0, 3600.0)
"""Seconds without a timeout of the client's own; drawn between, so that clients do not come back together."""

INITIAL_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the client asked for. ``initial`` is sendInitialEvents; None when not said."""

    since: str = ""
    match: str = ""
    initial: bool | None = None
    bookmarks: bool = False
    timeout: float | None = None

    @property
    def from_now(self) -> bool:
        return self.since in ("", "0")

    @property
    def shows_all_first(self) -> bool:
        return self.from_now if self.initial is None else self.initial


def check(wish: Wish, scope: Scope, store: Store) -> None:
    """Refuses, before the stream starts, what a real server refuses with a status."""
    if not wish.since.isdigit() and wish.since:
        raise errors.bad_version(wish.since)
    if not wish.from_now and int(wish.since) > store.version:
        details = {"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}], "retryAfterSeconds": 1}
        raise ApiError(504, "Timeout", f"Too large resource version: {wish.since}, current: {store.version}", details=details)


async def lines(store: Store, scope: Scope, form: Form, wish: Wish) -> AsyncIterator[bytes]:
    """Chunks to write, a flush each."""
    try:
        start = store.version if wish.from_now or wish.initial else int(wish.since)
        subscription = store.follow(resource_of(scope.row), since=start)
    except TooOldError as error:
        yield _line("ERROR", _status(errors.expired(str(error))))
        return
    loop = asyncio.get_running_loop()
    seconds = random.uniform(*LONGEST) if wish.timeout is None else wish.timeout
    timers = [loop.call_later(seconds, subscription.queue.put_nowait, Mark.END)]
    try:
        writer = _Writer(scope, form, wish, store)
        if wish.shows_all_first and (first := b"".join(writer.initial(start))):
            yield first
        if wish.bookmarks:
            timers.append(loop.call_later(BOOKMARK_EVERY, subscription.queue.put_nowait, Mark.BOOKMARK))
        async for item in _batches(subscription):
            if Mark.BOOKMARK in item:
                timers.append(loop.call_later(BOOKMARK_EVERY, subscription.queue.put_nowait, Mark.BOOKMARK))
            if chunk := b"".join(writer.later(item)):
                yield chunk
            if Mark.END in item or Mark.SLOW in item:
                return
    finally:
        store.leave(subscription)
        for timer in timers:
            timer.cancel()


async def _batches(subscription: Subscription) -> AsyncIterator[list[object]]:
    """Whatever is there, at least one: changes made together are written together."""
    while True:
        batch: list[object] = [await subscription.queue.get()]
        while not subscription.queue.empty() and len(batch) < 100:
            batch.append(subscription.queue.get_nowait())
        yield batch


class _Writer:
    """Turns changes and marks into lines, remembering whether a Table's head was sent."""

    def __init__(self, scope: Scope, form: Form, wish: Wish, store: Store) -> None:
        self._scope, self._form, self._wish, self._store = scope, form, wish, store
        self._headed = True

    def initial(self, version: int) -> Iterator[bytes]:
        row = self._scope.row
        for found in self._store.all(resource_of(row), namespace=self._scope.namespace):
            key = (found.obj["metadata"].get("namespace", ""), found.obj["metadata"]["name"])
            if self._scope.has(key, found.obj):
                yield self._event("ADDED", found)
        if self._wish.initial and self._wish.bookmarks:
            yield self._bookmark(version, {INITIAL_END: "true"})

    def later(self, batch: list[object]) -> Iterator[bytes]:
        for item in batch:
            if item is Mark.BOOKMARK or (item is Mark.END and self._wish.bookmarks):
                yield self._bookmark(self._store.version, {})
            elif item is Mark.SLOW:
                yield _line("ERROR", _status(errors.expired("too old resource version: the watch fell behind")))
            elif not isinstance(item, Mark) and (event := self._scope.event(item)):  # type: ignore[arg-type]  # the queue holds changes and marks
                yield self._event(*event)

    def _event(self, kind: str, found: Entry) -> bytes:
        shown = table.one(self._scope.row, found, self._form, headed=self._headed)
        self._headed = False
        return _line(kind, shown)

    def _bookmark(self, version: int, annotations: Object) -> bytes:
        row = self._scope.row
        metadata: Object = {"annotations": annotations} if annotations else {}
        empty = {"kind": row.kind, "apiVersion": row.api_version, "metadata": metadata}
        if self._form.shape == "object":
            return _line("BOOKMARK", entry(empty, version).data)
        return _line("BOOKMARK", table.one(row, entry(empty, version), self._form, headed=self._headed))


def _line(kind: str, data: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + data + b"}\n"


def _status(error: ApiError) -> bytes:
    return json.dumps(errors.status_of(error), separators=(",", ":")).encode()
