"""
Probes as users write them. A probe reads; its tolerance says which values are normal.

Python functions are called by name in the executor, not here: they must be importable (``probes/shop.py``), take JSON
arguments and return a JSON value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chaosfw.authoring.tolerances import as_tolerance
from chaosfw.errors import UsageError
from chaosfw.model.activity import HttpProvider, LoadProvider, Probe, ProcessProvider, PythonProvider
from chaosfw.model.activity import Hypothesis as HypothesisNoun
from chaosfw.model.slo import Objective
from chaosfw.model.struct import Json
from chaosfw.model.tolerance import Between, Exactly, OneOf, Tolerance
from chaosfw.quantities import duration, quantile, share


def Hypothesis(title: str, *probes: Probe | Objective) -> HypothesisNoun:  # reads as the noun that it makes
    """
    Named probes with tolerances that describe normal. ``cf.availability("99%")`` in it watches the run's own load over a
    sliding window. Raises UsageError without probes, or when two have one name.
    """
    made = tuple(_watched(one) if isinstance(one, Objective) else one for one in probes)
    if not made:
        raise UsageError(f"hypothesis {title!r} has no probes: it would hold whatever happens")
    names = [one.name for one in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"hypothesis {title!r} has several probes named {twice[0]!r}", hint="give one of them name=…")
    return HypothesisNoun(title=title, probes=made)


def endpoint(name: str, path: str = "") -> dict[str, str]:
    """The URL of an endpoint that the environment resolves, as an argument of a probe or an action."""
    return {"$endpoint": name, "path": path}


def http(
    where: str,
    *,
    path: str = "/",
    status: int | tuple[int, ...] = 200,
    method: str = "GET",
    headers: dict[str, str] | None = None,
    timeout: str | float = 1.0,
    name: str = "",
) -> Probe:
    """One request; normal is the given ``status``. ``where``: an endpoint's name, or a URL."""
    url: Json = f"{where.rstrip('/')}{path}" if "://" in where else endpoint(where, path)
    tolerance: Tolerance = Exactly(value=status) if isinstance(status, int) else OneOf(values=status)
    limit = duration(timeout, what="timeout")
    provider = HttpProvider(url=url, method=method, headers=headers or {}, timeout=limit)
    return Probe(name=name or f"{method} {where}{path} answers {status}", provider=provider, tolerance=tolerance, timeout=limit)


def tcp(where: str, *, timeout: str | float = 1.0, name: str = "") -> Probe:
    """Whether a port accepts connections. ``where``: an endpoint's name, or ``host:port``."""
    limit = duration(timeout, what="timeout")
    address: Json = where if ":" in where else endpoint(where)
    provider = PythonProvider(module="chaosfw.activities.net", func="tcp_accepts", arguments={"address": address, "timeout": limit})
    return Probe(name=name or f"{where} accepts connections", provider=provider, tolerance=Exactly(value=True), timeout=limit)


def probe(
    function: Callable[..., Any] | str,
    tolerance: Json,
    *,
    timeout: str | float = 1.0,
    name: str = "",
    arguments: Mapping[str, Json] | None = None,
    **more: Json,
) -> Probe:
    """
    Any Python function, with the value that it must return. ``function``: the function itself, or ``"package.module.name"``.
    It is called with ``arguments`` and whatever other keywords are given; ``name`` and ``timeout`` are the probe's own, so a
    function's arguments of these names go into ``arguments={"name": …}``.

    A lambda or a nested function can not be called by name from another process: UsageError.
    """
    module, func = _importable(function)
    provider = PythonProvider(module=module, func=func, arguments={**(arguments or {}), **more})
    limit = duration(timeout, what="timeout")
    return Probe(name=name or func.replace("_", " "), provider=provider, tolerance=as_tolerance(tolerance), timeout=limit)


def process(path: str, *, arguments: Json = None, tolerance: Json = 0, timeout: str | float = 5.0, name: str = "") -> Probe:
    """A program; normal is its exit code. ``arguments`` as Chaos Toolkit takes them."""
    limit = duration(timeout, what="timeout")
    return Probe(
        name=name or f"{path} succeeds",
        provider=ProcessProvider(path=path, arguments=arguments, timeout=limit),
        tolerance=as_tolerance(tolerance),
        timeout=limit,
    )


def availability(target: str | float, *, endpoint: str = "") -> Objective:
    """At least this share of requests is good. ``endpoint`` is needed when the load has several."""
    return Objective(sli="availability", target=share(target, what="availability"), endpoint=endpoint)


def latency(*, endpoint: str = "", **limits: str | float) -> Objective:
    """``cf.latency(p95="800ms")``: at least 95 % of requests are good and take at most 800 ms."""
    if len(limits) != 1:
        raise UsageError(f"latency takes one quantile, not {len(limits)}", hint='write cf.latency(p95="800ms"), and another for the next')
    ((name, limit),) = limits.items()
    target = quantile(name.replace("_", "."))
    return Objective(sli="latency", target=target, limit=duration(limit, what=f"latency {name}"), endpoint=endpoint)


def _watched(objective: Objective, window: float = 5.0) -> Probe:
    if objective.sli == "availability":
        provider = LoadProvider(sli="availability", window=window, endpoint=objective.endpoint)
        return Probe(name=f"load: {objective}", provider=provider, tolerance=Between(low=objective.target))
    provider = LoadProvider(sli="latency", quantile=objective.target, window=window, endpoint=objective.endpoint)
    return Probe(name=f"load: {objective}", provider=provider, tolerance=Between(high=objective.limit))


def _importable(function: Callable[..., Any] | str) -> tuple[str, str]:
    if isinstance(function, str):
        module, _, func = function.rpartition(".")
        if not module:
            raise UsageError(f"{function!r} is not a dotted name", hint="write 'package.module.function'")
        return module, func
    name = getattr(function, "__qualname__", repr(function))
    if "<" in name or "." in name or function.__module__ == "__main__":
        raise UsageError(
            f"probe function {name!r} can not be called by name from another process",
            hint="put it at the top level of a module such as probes/shop.py",
        )
    return function.__module__, name
