"""Load and SLO as users write them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from chaosfw.errors import UsageError
from chaosfw.model.load import Load as LoadNoun
from chaosfw.model.load import Script
from chaosfw.model.slo import SLO as SLONoun
from chaosfw.model.slo import BurnRule, LatencyLimit
from chaosfw.quantities import duration, quantile, share


def Load(  # reads as the noun that it makes
    endpoint: str,
    *,
    path: str = "/",
    rate: float = 50.0,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: str = "",
    timeout: str | float = 5.0,
    connection: Literal["new", "keep-alive"] = "new",
    status: tuple[int, ...] | int = (),
    marker: str = "x-chaosfw-pod",
    driver: Literal["prober", "k6"] = "prober",
) -> LoadNoun:
    """
    ``rate`` requests a second at an endpoint, open model: each is sent at its time whether or not earlier ones came back.

    A new connection per request by default, because a few kept ones miss a victim (one of three with one connection: two
    times out of three). ``marker`` is the response header that names the instance which answered. ``driver``: the built-in generator,
    or ``"k6"``, which has to be installed; a locustfile or a k6 script of your own is ``cf.locust(…)``, ``cf.k6(…)``.
    """
    if driver not in ("prober", "k6"):
        raise UsageError(f"load {endpoint!r}: driver is {driver!r}, 'prober' or 'k6' was expected", hint="cf.locust('locustfile.py', at=…)")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise UsageError(f"load {endpoint!r}: rate is {rate!r}, more than 0 requests a second was expected")
    if not path.startswith("/"):
        raise UsageError(f"load {endpoint!r}: path is {path!r}, a path starts with '/'")
    return LoadNoun(
        endpoint=endpoint,
        path=path,
        rate=float(rate),
        method=method,
        headers=headers or {},
        body=body,
        timeout=duration(timeout, what=f"load {endpoint!r}: timeout"),
        connection=connection,
        expected_status=(status,) if isinstance(status, int) else tuple(status),
        marker=marker.lower(),
        driver=driver,
    )


def SLO(
    name: str,
    *,
    availability: str | float,
    latency: dict[str, str | float] | None = None,
    window: str | float = "30d",
    requests_per_window: float = 0.0,
    alerts: Sequence[BurnRule] = (),
    scrape: str | float = 30.0,
    evaluate: str | float = 30.0,
) -> SLONoun:
    """
    A service level objective that *prices* a run in error budget. ``requests_per_window`` is the declared traffic; without it
    the load's own rate over the window stands for it, and the report says so.

    ``alerts`` are the burn-rate rules that would tell somebody (default: those of Google's workbook), of series that are scraped each
    ``scrape`` and rules that are evaluated each ``evaluate``; the report says whether they were due to fire.
    """
    target = share(availability, what=f"SLO {name!r}: availability")
    if target >= 1:
        raise UsageError(f"SLO {name!r}: availability is 100 %: there is no error budget to price anything in")
    limits = tuple(
        LatencyLimit(quantile=quantile(which), limit=duration(limit, what=f"SLO {name!r}: latency {which}"))
        for which, limit in (latency or {}).items()
    )
    return SLONoun(
        name=name,
        availability=target,
        latency=limits,
        window=duration(window, what=f"SLO {name!r}: window"),
        requests_per_window=requests_per_window,
        alerts=tuple(alerts),
        scrape=_interval(scrape, what=f"SLO {name!r}: scrape"),
        evaluate=_interval(evaluate, what=f"SLO {name!r}: evaluate"),
    )


def burn(severity: str, *, rate: float, long: str | float, short: str | float | None = None, hold: str | float = 0.0) -> BurnRule:
    """
    An alert rule on error budget: true while requests go bad ``rate`` times as fast as the SLO allows, over both windows (``short``: a
    twelfth of ``long``). ``hold`` is the rule's ``for``. Raises UsageError for a rate that is not above 0, or windows the wrong way round.
    """
    if not rate > 0:
        raise UsageError(f"burn {severity!r}: rate is {rate!r}, a number above 0 was expected")
    window = duration(long, what=f"burn {severity!r}: long")
    shorter = window / 12 if short is None else duration(short, what=f"burn {severity!r}: short")
    if not 0 < shorter <= window:
        raise UsageError(f"burn {severity!r}: the short window ({shorter:g} s) is longer than the long one ({window:g} s), or 0")
    return BurnRule(severity=severity, long=window, short=shorter, burn=float(rate), hold=duration(hold, what=f"burn {severity!r}: hold"))


def _interval(value: str | float, *, what: str) -> float:
    seconds = duration(value, what=what)
    if seconds <= 0:
        raise UsageError(f"{what} is {value!r}, a length above 0 was expected")
    return seconds


def locust(
    file: str,
    *,
    at: str,
    rate: float | None = None,
    users: int | None = None,
    spawn_rate: float | None = None,
    tags: Sequence[str] = (),
    exclude_tags: Sequence[str] = (),
    classes: Sequence[str] = (),
    env: dict[str, str] | None = None,
    timeout: str | float = 5.0,
    marker: str = "x-chaosfw-pod",
) -> LoadNoun:
    """
    A locustfile as the load, unchanged, in a process of its own; ``at`` is the endpoint that becomes its host, and ``$TARGET``.

    ``rate``: its tasks are started so many times a second, each at its time whether or not earlier ones are through (an open model; the
    file's own waiting times and its shape are not used). Without it the file's users come and wait as they are written to (``users`` and
    ``spawn_rate``, or its ``LoadTestShape``): a closed loop, of which only times can be claimed. Requests without a time-out of their own
    get ``timeout``. Raises UsageError for a rate or a number of users that is not above 0.
    """
    what = f"locust {file!r}"
    return LoadNoun(
        endpoint=at,
        rate=0.0 if rate is None else _positive(rate, what=f"{what}: rate"),
        timeout=duration(timeout, what=f"{what}: timeout"),
        connection="keep-alive",
        marker=marker.lower(),
        driver="locust",
        script=Script(
            file=file,
            users=0 if users is None else int(_positive(users, what=f"{what}: users")),
            spawn_rate=0.0 if spawn_rate is None else _positive(spawn_rate, what=f"{what}: spawn_rate"),
            tags=tuple(tags),
            exclude_tags=tuple(exclude_tags),
            classes=tuple(classes),
            env=env or {},
        ),
    )


def k6(file: str, *, at: str, vus: int | None = None, env: dict[str, str] | None = None, timeout: str | float = 60.0) -> LoadNoun:
    """
    A k6 script as the load, unchanged; ``at`` is the endpoint that the report names, and ``__ENV.TARGET``.

    ``vus`` runs its default function with so many VUs for as long as the experiment takes: ``k6 run --vus``, a closed loop, of which only
    times can be claimed. Without it the script's own scenarios run; with arrival-rate executors they are an open model. ``timeout`` is the
    longest that the script lets a request wait (60 s is k6's own default): so long the load goes on when the run is over, because k6 tells
    nothing of requests that still wait when it is stopped. A run in which one waited longer proves nothing. Raises UsageError for a number
    of VUs that is not above 0.
    """
    what = f"k6 {file!r}"
    return LoadNoun(
        endpoint=at,
        rate=0.0,
        timeout=duration(timeout, what=f"{what}: timeout"),
        connection="keep-alive",
        driver="k6",
        script=Script(file=file, users=0 if vus is None else int(_positive(vus, what=f"{what}: vus")), env=env or {}),
    )


def _positive(value: float, *, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{what} is {value!r}, a number above 0 was expected")
    return float(value)
