"""
What a Prometheus has to say of a run, asked once when it is over: its clock, the alerts that fired, and the value of some expressions.

Called by name in the executor, as every activity is. Times are seconds of the wall clock of this machine; the server's own is compared
with it first, and its stamps are put right by that.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from chaosfw.errors import DriverError
from chaosfw.timing import NANOSECONDS, SYSTEM

__all__ = ["said_of_run"]

LOOKS = 3
"""Times that the server's clock is asked for; the quickest answer is believed."""

LOST = 2.5
"""Evaluations without an alert after which it has ended: one may be late."""


def said_of_run(
    server: str, since: float, until: float, questions: Sequence[Mapping[str, Any]] = (), timeout: float = 5.0
) -> dict[str, Any]:
    """
    ``alerts``: stretches of firing between ``since`` and ``until``, with ``name``, ``labels``, ``first``, ``last``, ``still``; ``values``:
    of each question (``query``, ``at``) a number, or None with words in ``troubles``; ``skew``: seconds that the server's clock is ahead of
    this machine's, known to ``error``. Raises DriverError when the server does not answer, or not as a Prometheus does.
    """
    skew, error = _clock(server, timeout)
    window = f'ALERTS{{alertstate="firing"}}[{max(1, round(until - since))}s]'
    found = _asked(server, window, at=until + skew, timeout=timeout)
    alerts = [stretch for series in found["result"] for stretch in _stretches(series, until=until, skew=skew)]
    values, troubles = [], []
    for question in questions:
        value, trouble = _value(server, str(question["query"]), at=float(question["at"]) + skew, timeout=timeout)
        values.append(value)
        troubles.append(trouble)
    return {"skew": skew, "error": error, "alerts": alerts, "values": values, "troubles": troubles}


def _clock(server: str, timeout: float) -> tuple[float, float]:
    looks = []
    for _ in range(LOOKS):
        before = SYSTEM.wall_ns() / NANOSECONDS
        theirs = float(_asked(server, "time()", at=None, timeout=timeout)["result"][1])
        after = SYSTEM.wall_ns() / NANOSECONDS
        looks.append(((after - before) / 2, theirs - (before + after) / 2))
    error, skew = min(looks)
    return skew, error


def _stretches(series: Mapping[str, Any], *, until: float, skew: float) -> list[dict[str, Any]]:
    """A series of evaluations that saw it fire, parted where some are missing."""
    stamps = [float(stamp) - skew for stamp, _ in series["values"]]
    step = min((after - before for before, after in itertools.pairwise(stamps)), default=15.0)
    labels = {name: value for name, value in series["metric"].items() if name not in ("__name__", "alertname", "alertstate")}
    found: list[list[float]] = []
    for stamp in stamps:
        if found and stamp - found[-1][1] <= LOST * step:
            found[-1][1] = stamp
        else:
            found.append([stamp, stamp])
    name = series["metric"].get("alertname", "")
    return [{"name": name, "labels": labels, "first": first, "last": last, "still": until - last <= LOST * step} for first, last in found]


def _value(server: str, query: str, *, at: float, timeout: float) -> tuple[float | None, str]:
    try:
        answer = _asked(server, query, at=at, timeout=timeout)
    except DriverError as trouble:
        return None, trouble.message
    if answer["resultType"] == "scalar":
        return float(answer["result"][1]), ""
    if len(answer["result"]) != 1:
        return None, f"{len(answer['result'])} series answered, one was expected" if answer["result"] else "no series answered"
    value = float(answer["result"][0]["value"][1])
    return (value, "") if value == value else (None, "0 of 0")


def _asked(server: str, query: str, *, at: float | None, timeout: float) -> dict[str, Any]:
    told = {"query": query} | ({"time": f"{at:.3f}"} if at is not None else {})
    asked = Request(f"{server.rstrip('/')}/api/v1/query?{urlencode(told)}", headers={"Accept": "application/json"})
    try:
        with urlopen(asked, timeout=timeout) as answer:
            body = json.load(answer)
    except OSError as trouble:
        words = trouble.read().decode(errors="replace")[:300] if hasattr(trouble, "read") else ""
        raise DriverError(f"{server} does not answer {query!r}: {trouble} {words}".strip()) from trouble
    except ValueError as trouble:
        raise DriverError(f"{server} does not answer {query!r} as a Prometheus does: {trouble}") from trouble
    if body.get("status") != "success":
        raise DriverError(f"{server} can not answer {query!r}: {body.get('error', 'without a word')}")
    data: dict[str, Any] = body["data"]
    return data
