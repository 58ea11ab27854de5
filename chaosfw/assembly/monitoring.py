"""
Asks the environment's Prometheus about a run that is over: alerts that fired, and the SLI of each phase. It is asked in the executor.

Called by :mod:`chaosfw.assembly.chaos` before the journal is sealed. Nothing is judged by the answer, so that a server that gives none
costs the report a table and no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chaosfw.analysis import alerts
from chaosfw.analysis.story import read
from chaosfw.errors import ChaosfwError
from chaosfw.model.activity import PythonProvider
from chaosfw.model.event import AnyEvent, Monitored, RunOpened
from chaosfw.model.monitoring import AlertSeen
from chaosfw.ports import Caller, ProviderCall
from chaosfw.timing import NANOSECONDS, Clock

ACTIVITIES = "chaosfw.activities.prometheus"
TIMEOUT = 5.0
"""Seconds that one question may take."""
WHOLE = 30.0
"""Seconds that all of them may take."""
BEFORE = 60.0
"""Seconds before the run in which an alert that fires already is looked for."""


def monitored(events: Sequence[AnyEvent], *, server: str, caller: Caller, clock: Clock) -> Monitored:
    story = read(events)
    opened = story.last(RunOpened)
    slo = story.experiment.slo if story.experiment else None
    if opened is None:
        return Monitored(at=clock.monotonic_ns(), server=server, trouble="the run has no beginning")
    asked = alerts.questions(story, slo=slo) if slo is not None else ()
    arguments = {
        "server": server,
        "since": opened.wall / NANOSECONDS - BEFORE,
        "until": clock.wall_ns() / NANOSECONDS,
        "questions": [{"query": query, "at": at} for query, at in asked],
        "timeout": TIMEOUT,
    }
    call = ProviderCall(name="prometheus", provider=PythonProvider(module=ACTIVITIES, func="said_of_run", arguments=arguments), probe=True)
    try:
        told = caller.provider(call, timeout=WHOLE)
    except ChaosfwError as trouble:
        return Monitored(at=clock.monotonic_ns(), server=server, trouble=trouble.message)
    return Monitored(
        at=clock.monotonic_ns(),
        server=server,
        skew=told["skew"],
        error=told["error"],
        alerts=msgspec.convert([{"type": "AlertSeen", **one} for one in told["alerts"]], tuple[AlertSeen, ...]),
        readings=alerts.readings(story, slo=slo, values=told["values"], troubles=told["troubles"]) if slo is not None else (),
    )
