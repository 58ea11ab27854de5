"""
Arrivals on a schedule for User classes that were written to wait: each task has its turn at ``on + n / rate``, whether or not earlier
ones are through. An idle user takes it; where none is idle it is dropped, and counts as demand that nobody met.

Runs in the child ``python -m chaosfw.processes.locust`` only. The file's own waiting times are not kept: an arrival is one task.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import AsyncResult
from locust.exception import StopUser
from locust.user.task import DefaultTaskSet, TaskSet

from chaosfw.load.locust.recording import Arrival, Recording
from chaosfw.timing import NANOSECONDS, Clock

HEAD_START = NANOSECONDS // 20
"""The first arrival is due so long after the users are there: 50 ms."""

_STOPPING, _WAITING, _RUNNING = "stopping", "waiting", "running"
"""What Locust calls the states of a user: it kills one that waits at once, and lets one that runs finish its task."""


class Pacing:
    """Hands out turns. ``install`` before the users are made, ``run`` when they are there."""

    def __init__(self, recording: Recording, *, rate: float, clock: Clock) -> None:
        self._recording, self._clock = recording, clock
        self._step = NANOSECONDS / rate
        self._idle: deque[AsyncResult] = deque()

    def install(self) -> None:
        """A task waits for its turn, and there is no other waiting."""
        for kind in (TaskSet, DefaultTaskSet):
            kind.execute_task = self._paced(kind.execute_task)
        TaskSet.wait = lambda taskset: None

    def run(self, on: int = 0, *, part: int = 0, of: int = 1) -> None:
        """For ever, as a greenlet: one arrival after another, or of several workers each ``of``-th, from number ``part`` on."""
        number = part
        on = on or self._clock.monotonic_ns() + HEAD_START
        self._recording.begin(on)
        while True:
            due = on + int(number * self._step)
            if self._recording.off and due >= self._recording.off:
                return  # what was due before is given out all the same, however late this process is
            wait = due - self._clock.monotonic_ns()
            if wait > 0:
                gevent.sleep(wait / NANOSECONDS)
                continue
            self._give(due)
            number += of
            if number // of % 64 == 0:
                gevent.sleep(0)

    def _give(self, due: int) -> None:
        while self._idle:
            waiter = self._idle.popleft()
            if not waiter.ready():
                waiter.set(Arrival(due=due))
                return
        self._recording.drop(due)

    def _take(self, user: Any) -> Arrival:
        if user._state == _STOPPING:
            raise StopUser()
        waiter = AsyncResult()
        self._idle.append(waiter)
        user._state = _WAITING
        try:
            arrival: Arrival = waiter.get()
        except BaseException:
            if waiter.ready():  # killed between the turn and its beginning: what would have become of it nobody knows
                self._recording.over(waiter.get())
            else:
                waiter.set(None)  # killed while it waited: nobody gives it a turn any more
            raise
        user._state = _RUNNING
        return arrival

    def _paced(self, execute: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
        def execute_task(taskset: Any, task: Any) -> None:
            if hasattr(task, "tasks"):  # a nested TaskSet: its own tasks have turns
                execute(taskset, task)
                return
            arrival, greenlet = self._take(taskset.user), gevent.getcurrent()
            self._recording.arrivals[greenlet] = arrival
            try:
                execute(taskset, task)
            finally:
                self._recording.arrivals.pop(greenlet, None)
                self._recording.over(arrival)

        return execute_task
