"""Load and SLO as users write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from chaosfw.errors import UsageError
from chaosfw.model.load import Auth, Script, Stage, Tls
from chaosfw.model.load import Load as LoadNoun
from chaosfw.model.load import Request as RequestNoun
from chaosfw.model.slo import SLO as SLONoun
from chaosfw.model.slo import BurnRule, LatencyLimit, Queries
from chaosfw.quantities import duration, quantile, share

MOST_TURNS = 1000
"""What weights may add up to."""
MOST_PROCESSES = 64


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
    stages: Sequence[Stage] = (),
    requests: Sequence[RequestNoun] = (),
    auth: Auth | None = None,
    tls: Tls | None = None,
    expect: str = "",
    processes: int = 0,
    protocol: Literal["http/1.1", "http/2"] = "http/1.1",
    missing: Literal["refuse", "skip"] = "refuse",
) -> LoadNoun:
    """
    ``rate`` requests a second at an endpoint, open model: each is sent at its time whether or not earlier ones came back.

    A new connection per request by default, because a few kept ones miss a victim (one of three with one connection: two
    times out of three). ``marker`` is the response header that names the instance which answered. ``driver``: the built-in generator,
    or ``"k6"``, which has to be installed; a locustfile or a k6 script of your own is ``cf.locust(…)``, ``cf.k6(…)``.

    Of the built-in generator only: ``stages`` (``cf.ramp``) take the rate elsewhere from the load's beginning on, and the last one stays;
    ``requests`` (``cf.Request``) are several kinds by weight instead of one ``path``; ``auth`` (``cf.bearer``, ``cf.basic``, ``cf.header``)
    and ``tls`` (``cf.tls``) say who asks and whom is trusted; ``processes`` share the load (default: as many as the rate needs). At an
    endpoint ``tcp://host:port`` a request is one connection: ok when it is up, or, where ``body`` is sent or ``expect`` awaited, when the
    answer contains ``expect``. ``protocol="http/2"`` is agreed on by ALPN at an ``https`` endpoint and spoken at once at an ``http`` one,
    one request at a time on each connection; a gRPC status other than 0 is not ok. Raises UsageError for what can not be sent.
    """
    if driver not in ("prober", "k6"):
        raise UsageError(f"load {endpoint!r}: driver is {driver!r}, 'prober' or 'k6' was expected", hint="cf.locust('locustfile.py', at=…)")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise UsageError(f"load {endpoint!r}: rate is {rate!r}, more than 0 requests a second was expected")
    if not path.startswith("/"):
        raise UsageError(f"load {endpoint!r}: path is {path!r}, a path starts with '/'")
    alone = {"path": path != "/", "method": method != "GET", "body": bool(body), "status": bool(status)}
    if requests and (both := [name for name, given in alone.items() if given]):
        raise UsageError(f"load {endpoint!r}: {both[0]}= and requests= are both given", hint="each cf.Request(…) has its own")
    if sum(one.weight for one in requests) > MOST_TURNS:
        raise UsageError(f"load {endpoint!r}: the weights of requests= add up to more than {MOST_TURNS:,}", hint="smaller ones: 3 and 1")
    if isinstance(processes, bool) or not isinstance(processes, int) or not 0 <= processes <= MOST_PROCESSES:
        raise UsageError(f"load {endpoint!r}: processes is {processes!r}, 1 to {MOST_PROCESSES} were expected, or 0: as the rate needs")
    if protocol not in ("http/1.1", "http/2"):
        raise UsageError(f"load {endpoint!r}: protocol is {protocol!r}, 'http/1.1' or 'http/2' was expected")
    own = {"stages": stages, "requests": requests, "auth": auth, "tls": tls, "expect": expect, "processes": processes}
    own["protocol"] = protocol != "http/1.1"
    if driver == "k6" and (named := [name for name, given in own.items() if given]):
        raise UsageError(
            f"load {endpoint!r}: driver='k6' knows one kind of request at one rate, {named[0]}= is not for it",
            hint="a k6 script of your own can do all of that: cf.k6('load-test.js', at=…); or leave driver= away",
        )
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
        stages=tuple(stages),
        requests=tuple(requests),
        auth=auth,
        tls=tls,
        expect=expect,
        processes=processes,
        protocol=protocol,
        missing=_missing(missing, what=f"load {endpoint!r}"),
    )


def Request(  # reads as the noun that it makes
    path: str,
    *,
    weight: int = 1,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    body: str = "",
    status: tuple[int, ...] | int = (),
) -> RequestNoun:
    """
    One kind of request of a load that sends several: of ``weight`` 3, three come for each one of weight 1, evenly spread and in an order
    that is always the same. ``status``: what counts as ok; default: below 400. Raises UsageError for a path without ``/`` or a weight
    that is no whole number above 0.
    """
    if not path.startswith("/"):
        raise UsageError(f"request {path!r}: a path starts with '/'")
    if isinstance(weight, bool) or not isinstance(weight, int) or not 0 < weight <= MOST_TURNS:
        raise UsageError(f"request {path!r}: weight is {weight!r}, a whole number above 0 was expected")
    statuses = (status,) if isinstance(status, int) else tuple(status)
    return RequestNoun(path=path, method=method, headers=headers or {}, body=body, expected_status=statuses, weight=weight)


def ramp(to: float, within: str | float = 0.0) -> Stage:
    """The rate of a load goes to ``to`` requests a second in a straight line ``within`` that time, or at once. UsageError: not > 0."""
    return Stage(rate=_positive(to, what="ramp: the rate to go to"), seconds=duration(within, what="ramp: within") if within else 0.0)


def bearer(variable: str) -> Auth:
    """``Authorization: Bearer …``, with the token from an environment variable: the secret itself is in no file and no report."""
    return Auth(kind="bearer", variable=_variable(variable))


def basic(user: str, *, password: str) -> Auth:
    """HTTP Basic; ``password`` is the name of the environment variable that holds it."""
    return Auth(kind="basic", user=user, variable=_variable(password))


def header(name: str, *, variable: str) -> Auth:
    """A header of its own, such as ``X-Api-Key``, with its value from an environment variable."""
    return Auth(kind="header", header=name, variable=_variable(variable))


def tls(*, ca: str = "", certificate: str = "", key: str = "", server_name: str = "", verify: bool = True) -> Tls:
    """
    Of an ``https`` endpoint: ``ca`` is a PEM file with what is trusted instead of the system's; ``certificate`` and ``key`` are shown to
    servers that ask; ``server_name`` is what the certificate has to be for, where that is not the URL's host. ``verify=False`` believes
    anybody, and the report says so. Paths count from pytest's rootdir.
    """
    if key and not certificate:
        raise UsageError(f"tls: key is {key!r}, and there is no certificate= that it belongs to")
    return Tls(ca=ca, certificate=certificate, key=key, server_name=server_name, verify=verify)


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
    promql: dict[str, str] | None = None,
) -> SLONoun:
    """
    A service level objective that *prices* a run in error budget. ``requests_per_window`` is the declared traffic; without it
    the load's own rate over the window stands for it, and the report says so.

    ``alerts`` are the burn-rate rules that would tell somebody (default: those of Google's workbook), of series that are scraped each
    ``scrape`` and rules that are evaluated each ``evaluate``; the report says whether they were due to fire.

    ``promql`` is the same SLI as the environment's Prometheus has it: ``good`` or ``bad``, and ``total``, or ``ratio`` (of bad ones). With
    ``{{.window}}`` a query is asked over each phase's length; without, it is a counter, read at both ends. It is shown beside the load's
    own figure and judges nothing. Raises UsageError for a share or a duration that is none, and for queries that do not go together.
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
        queries=_queries(promql, what=f"SLO {name!r}: promql") if promql else None,
    )


def burn(
    severity: str, *, rate: float, long: str | float, short: str | float | None = None, hold: str | float = 0.0, alert: str = ""
) -> BurnRule:
    """
    An alert rule on error budget: true while requests go bad ``rate`` times as fast as the SLO allows, over both windows (``short``: a
    twelfth of ``long``). ``hold`` is the rule's ``for``, ``alert`` the name under which it fires, so that the report tells whether it did.
    Raises UsageError for a rate that is not above 0, or windows the wrong way round.
    """
    if not rate > 0:
        raise UsageError(f"burn {severity!r}: rate is {rate!r}, a number above 0 was expected")
    window = duration(long, what=f"burn {severity!r}: long")
    shorter = window / 12 if short is None else duration(short, what=f"burn {severity!r}: short")
    if not 0 < shorter <= window:
        raise UsageError(f"burn {severity!r}: the short window ({shorter:g} s) is longer than the long one ({window:g} s), or 0")
    holds = duration(hold, what=f"burn {severity!r}: hold")
    return BurnRule(severity=severity, long=window, short=shorter, burn=float(rate), hold=holds, alert=alert)


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
    workers: int = 0,
    listen: str = "",
    missing: Literal["refuse", "skip"] = "refuse",
) -> LoadNoun:
    """
    A locustfile as the load, unchanged, in a process of its own; ``at`` is the endpoint that becomes its host, and ``$TARGET``.

    ``rate``: its tasks are started so many times a second, each at its time whether or not earlier ones are through (an open model; the
    file's own waiting times and its shape are not used). Without it the file's users come and wait as they are written to (``users`` and
    ``spawn_rate``, or its ``LoadTestShape``): a closed loop, of which only times can be claimed. Requests without a time-out of their own
    get ``timeout``. ``workers`` share the users, or the arrivals, in as many processes; with ``listen`` (``host:port``) they are started by
    somebody else, on whatever machine, and join there. Raises UsageError for a rate or a number of users that is not above 0, and for
    ``listen`` without ``workers``.
    """
    what = f"locust {file!r}"
    if isinstance(workers, bool) or not isinstance(workers, int) or not 0 <= workers <= MOST_PROCESSES:
        raise UsageError(f"{what}: workers is {workers!r}, 1 to {MOST_PROCESSES} were expected")
    if listen and not (listen.rpartition(":")[0] and listen.rpartition(":")[2].isdigit()):
        raise UsageError(f"{what}: listen is {listen!r}, host:port was expected", hint="listen='0.0.0.0:5557'")
    if listen and not workers:
        raise UsageError(f"{what}: listen={listen!r} says where workers join, and not how many", hint="workers=…")
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
            listen=listen,
            env=env or {},
        ),
        processes=workers,
        missing=_missing(missing, what=what),
    )


def k6(
    file: str,
    *,
    at: str,
    vus: int | None = None,
    env: dict[str, str] | None = None,
    pods: int = 0,
    namespace: str = "",
    image: str = "",
    node_selector: dict[str, str] | None = None,
    timeout: str | float = 60.0,
    missing: Literal["refuse", "skip"] = "refuse",
) -> LoadNoun:
    """
    A k6 script as the load, unchanged; ``at`` is the endpoint that the report names, and ``__ENV.TARGET``.

    ``vus`` runs its default function with so many VUs for as long as the experiment takes: ``k6 run --vus``, a closed loop, of which only
    times can be claimed. Without it the script's own scenarios run; with arrival-rate executors they are an open model. ``timeout`` is the
    longest that the script lets a request wait (60 s is k6's own default): so long the load goes on when the run is over, because k6 tells
    nothing of requests that still wait when it is stopped. A run in which one waited longer proves nothing. Where k6 is not installed the
    experiment is refused, or with ``missing="skip"`` skipped, and has not run then. With ``pods`` it runs in so many pods of a TestRun of
    k6-operator in ``namespace``, from ``image`` where that is not the operator's own, on nodes with the labels of ``node_selector``.
    Raises UsageError for a number of VUs that is not above 0, and for ``pods`` without a ``namespace`` or the other way round.
    """
    what = f"k6 {file!r}"
    if bool(pods) != bool(namespace) or ((image or node_selector) and not pods):
        raise UsageError(f"{what}: pods, and the namespace in which they run, go together", hint="pods=4, namespace='load'")
    if pods < 0:
        raise UsageError(f"{what}: pods is {pods}, 1 or more was expected")
    return LoadNoun(
        endpoint=at,
        rate=0.0,
        timeout=duration(timeout, what=f"{what}: timeout"),
        connection="keep-alive",
        driver="k6",
        script=Script(
            file=file,
            users=0 if vus is None else int(_positive(vus, what=f"{what}: vus")),
            env=env or {},
            pods=pods,
            namespace=namespace,
            image=image,
            node_selector=node_selector or {},
        ),
        missing=_missing(missing, what=what),
    )


def _queries(given: dict[str, str], *, what: str) -> Queries:
    if set(given) not in ({"good", "total"}, {"bad", "total"}, {"ratio"}):
        raise UsageError(f"{what} has {', '.join(sorted(given))}: good and total, bad and total, or ratio was expected")
    return Queries(**given)


def _variable(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise UsageError(
            f"{name[:3]}… is no name of an environment variable", hint="the secret goes into a variable, and its name is given here"
        )
    return name


def _missing(given: Literal["refuse", "skip"], *, what: str) -> Literal["refuse", "skip"]:
    if given not in ("refuse", "skip"):
        raise UsageError(f"{what}: missing is {given!r}, 'refuse' or 'skip' was expected")
    return given


def _positive(value: float, *, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise UsageError(f"{what} is {value!r}, a number above 0 was expected")
    return float(value)
