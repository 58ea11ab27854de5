"""
The ``load`` of our block in a Chaos Toolkit file: what ``cf.Load``, ``cf.locust`` and ``cf.k6`` say in Python, key for key.

Called by :mod:`chaosfw.definitions.toolkit_file`. Every problem is noted with its line; nothing here raises.
"""

from __future__ import annotations

from typing import Any, Literal

from chaosfw.authoring import loads
from chaosfw.definitions.located import Place
from chaosfw.errors import UsageError
from chaosfw.model.load import Auth, Load, Request, Script, Stage, Tls

_PODS = ("pods", "namespace", "image", "node_selector")
SCRIPT = ("file", "users", "spawn_rate", "tags", "exclude_tags", "classes", "env", "workers", "listen", *_PODS)
"""Of a load that a locustfile or a k6 script describes."""

REQUEST = ("path", "method", "headers", "body", "status")
OWN = ("connection", "stages", "requests", "auth", "tls", "expect", "processes")
"""Of a load without one."""

BOTH = ("endpoint", "rate", "timeout", "marker", "driver", "missing")


def load_of(block: Place) -> Load | None:
    given = block.get("load")
    if given is None:
        return None
    script = _script(given)
    given.only(*BOTH, *(SCRIPT if script is not None else (*REQUEST, *OWN)))
    rate = given.number("rate", default=0.0 if script else 50.0)
    if rate <= 0 and not (script and given.get("rate") is None):
        (given.get("rate") or given).problem(f"is {rate:g}: more than 0 requests a second was expected")
    driver = _generator(given, script)
    timeout = given.seconds("timeout", default=60.0 if script and driver == "k6" else 5.0)
    marker = given.text("marker", default="x-chaosfw-pod").lower()
    if script is not None:
        workers = _whole(given, "workers")
        if (script.listen or workers) and driver == "k6":
            (given.get("workers") or given).problem("is about Locust: k6 runs in one process, or in 'pods'")
        if script.pods and driver != "k6":
            (given.get("pods") or given).problem("is about k6: Locust has 'workers'")
        if bool(script.pods) != bool(script.namespace) or ((script.image or script.node_selector) and not script.pods):
            (given.get("namespace") or given.get("pods") or given).problem("goes together: 'pods', and the 'namespace' in which they run")
        if script.listen and not workers:
            (given.get("listen") or given).problem("says where workers join, and 'workers' not how many")
        return Load(
            endpoint=given.text("endpoint"),
            rate=rate,
            timeout=timeout,
            connection="keep-alive",
            marker=marker,
            driver=driver,
            script=script,
            processes=workers,
            missing=_missing(given),
        )
    one = _request(given)
    told = _tried(
        given,
        lambda: loads.Load(
            given.text("endpoint"),
            path=one.path,
            rate=max(rate, 1e-9),
            method=one.method,
            headers=one.headers,
            body=one.body,
            timeout=timeout,
            connection="keep-alive" if given.one_of("connection", ("new", "keep-alive"), default="new") == "keep-alive" else "new",
            status=one.expected_status,
            marker=marker,
            driver="k6" if driver == "k6" else "prober",
            stages=[stage for place in given.listed("stages") if (stage := _stage(place)) is not None],
            requests=[kind for place in given.listed("requests") if (kind := _weighted(place)) is not None],
            auth=_auth(given),
            tls=_tls(given),
            expect=given.text("expect", default=""),
            processes=_whole(given, "processes"),
            missing=_missing(given),
        ),
    )
    return told if isinstance(told, Load) else None


def _script(given: Place) -> Script | None:
    if given.get("file") is None:
        return None
    return Script(
        file=given.text("file"),
        users=_whole(given, "users"),
        spawn_rate=given.number("spawn_rate", default=0.0),
        tags=_texts(given, "tags"),
        exclude_tags=_texts(given, "exclude_tags"),
        classes=_texts(given, "classes"),
        listen=given.text("listen", default=""),
        pods=_whole(given, "pods"),
        namespace=given.text("namespace", default=""),
        image=given.text("image", default=""),
        node_selector=_pairs(given, "node_selector"),
        env=_pairs(given, "env"),
    )


def _request(given: Place) -> Request:
    return Request(
        path=given.text("path", default="/"),
        method=given.text("method", default="GET"),
        headers=_pairs(given, "headers"),
        body=given.text("body", default=""),
        expected_status=tuple(one.value for one in given.listed("status") if isinstance(one.value, int)),
    )


def _weighted(given: Place) -> Request | None:
    given.only(*REQUEST, "weight")
    one, weight = _request(given), _whole(given, "weight", default=1)
    told = _tried(
        given,
        lambda: loads.Request(one.path, weight=weight, method=one.method, headers=one.headers, body=one.body, status=one.expected_status),
    )
    return told if isinstance(told, Request) else None


def _stage(given: Place) -> Stage | None:
    given.only("rate", "within")
    told = _tried(given, lambda: loads.ramp(given.number("rate", default=0.0), within=given.seconds("within", default=0.0)))
    return told if isinstance(told, Stage) else None


def _auth(given: Place) -> Auth | None:
    """``{bearer: VARIABLE}``, ``{basic: user, variable: VARIABLE}`` or ``{header: name, variable: VARIABLE}``."""
    auth = given.get("auth")
    if auth is None:
        return None
    auth.only("bearer", "basic", "header", "variable")
    kinds = [kind for kind in ("bearer", "basic", "header") if auth.get(kind) is not None]
    if len(kinds) != 1:
        auth.problem("says nothing, or two things: one of bearer, basic, header was expected")
        return None
    first, variable = auth.text(kinds[0]), auth.text("variable", default="")
    make = {
        "bearer": lambda: loads.bearer(first),
        "basic": lambda: loads.basic(first, password=variable),
        "header": lambda: loads.header(first, variable=variable),
    }
    told = _tried(auth, make[kinds[0]])
    return told if isinstance(told, Auth) else None


def _tls(given: Place) -> Tls | None:
    tls = given.get("tls")
    if tls is None:
        return None
    names = ("ca", "certificate", "key", "server_name")
    tls.only(*names, "verify")
    told = _tried(tls, lambda: loads.tls(**{name: tls.text(name, default="") for name in names}, verify=tls.flag("verify", default=True)))
    return told if isinstance(told, Tls) else None


def _tried(place: Place, make: Any) -> Any:
    """What Python would have made of it; what it would have refused is a problem of the place."""
    try:
        return make()
    except UsageError as trouble:
        place.problem(f"is no use: {trouble.message}" + (f" (hint: {trouble.hint})" if trouble.hint else ""))
        return None


def _whole(given: Place, name: str, *, default: int = 0) -> int:
    number = given.number(name, default=float(default))
    if number < 0 or number != int(number):
        (given.get(name) or given).problem(f"is {number:g}: a whole number above 0 was expected")
        return default
    return int(number)


def _pairs(given: Place, name: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in given.mapping(name).items()}


def _missing(given: Place) -> Literal["refuse", "skip"]:
    return "skip" if given.one_of("missing", ("refuse", "skip"), default="refuse") == "skip" else "refuse"


def _texts(given: Place, name: str) -> tuple[str, ...]:
    return tuple(str(one.value) for one in given.listed(name))


def _generator(given: Place, script: Script | None) -> Literal["prober", "locust", "k6"]:
    """Named, or told by the file's ending."""
    suits = ("locust", "k6") if script else ("prober", "k6")
    default = suits[0] if script is None or not script.file.endswith(".js") else "k6"
    found = given.one_of("driver", suits, default=default)
    return "k6" if found == "k6" else "locust" if found == "locust" else "prober"
