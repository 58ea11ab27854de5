"""
The loop every controller shares: keys in, ``reconcile(key)`` out, once at a time a key, again with back-off when it fails.

A reconciler is called after the caches have seen everything it wrote last time for that key, so it may count what it finds.
Nothing is polled: keys come from events, or from :meth:`Loop.later` where only time makes a difference.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from chaosfw.sandbox.client.verbs import ApiError

LOG = logging.getLogger("chaosfw.sandbox")
FIRST_DELAY, LONGEST_DELAY = 0.005, 10.0
"""Seconds before a failed key is tried again: doubled each time, up to the longest."""

WORKERS = 4

Key = tuple[str, str]
"""(namespace, name)."""

Reconcile = Callable[[Key], Awaitable[None]]


class Loop:
    """A queue of keys and the tasks that work on it."""

    def __init__(self, name: str, reconcile: Reconcile) -> None:
        self._name, self._reconcile = name, reconcile
        self._waiting: dict[Key, None] = {}
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, key: Key) -> None:
        if key in self._busy:
            self._again.add(key)
        else:
            self._waiting[key] = None
            self._something.set()

    def later(self, key: Key, seconds: float) -> None:
        """Adds the key after a while; of several, the earliest stays."""
        loop = asyncio.get_running_loop()
        known = self._timers.get(key)
        if known is not None and not known.cancelled() and known.when() <= loop.time() + seconds and known.when() > loop.time():
            return
        if known is not None:
            known.cancel()
        self._timers[key] = loop.call_later(seconds, self.add, key)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work(), name=f"{self._name} {number}") for number in range(WORKERS)]

    async def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            while not self._waiting:
                self._something.clear()
                await self._something.wait()
            key = next(iter(self._waiting))
            del self._waiting[key]
            self._busy.add(key)
            try:
                await self._try(key)
            finally:
                self._busy.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    async def _try(self, key: Key) -> None:
        try:
            await self._reconcile(key)
            self._failures.pop(key, None)
        except ApiError as error:
            if error.code != 409:
                LOG.warning("%s: %s: %s; trying again", self._name, "/".join(key), error)
            self._retry(key)
        except Exception:
            LOG.exception("%s: %s failed; trying again", self._name, "/".join(key))
            self._retry(key)

    def _retry(self, key: Key) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.later(key, min(FIRST_DELAY * 2**failures, LONGEST_DELAY))
