"""
What is said to Locust, and what is said of it: its command line, what its classes hide, what it told at the end.

Runs in the processes ``chaosfw.processes.locust`` and ``locust_worker`` only.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import locust
from locust.contrib.fasthttp import FastHttpUser

from chaosfw.load.locust.driver import spawn_rate, users
from chaosfw.load.orders import Orders
from chaosfw.model.load import Generator, Load


def arguments(orders: Orders) -> list[str]:
    """Locust's command line."""
    load, script = orders.load, orders.load.script
    assert script is not None
    found = [*script.classes, "-f", str(Path(script.file).resolve()), "--headless", "--only-summary", "--host", orders.url]
    found += ["--stop-timeout", str(math.ceil(load.timeout)), "--exit-code-on-error", "0"]
    if users(load):
        found += ["--users", str(users(load)), "--spawn-rate", f"{spawn_rate(load):g}"]
    found += ["--tags", *script.tags] if script.tags else []
    found += ["--exclude-tags", *script.exclude_tags] if script.exclude_tags else []
    return found


def worker_arguments(orders: Orders, *, host: str, port: int, file: str) -> list[str]:
    """Of a worker; ``file`` is ``-`` where the master has to send it. Users, tags and host come from the master."""
    assert orders.load.script is not None
    return [*orders.load.script.classes, "-f", file, "--worker", "--master-host", host, "--master-port", str(port)]


def generator(load: Load, *, on: int, classes: list[Any]) -> Generator:
    return Generator(
        name="locust",
        version=locust.__version__,
        model="open" if load.open else "closed",
        schedule="listed",
        on=on,
        pid=os.getpid(),
        blind=tuple(blind(classes, load=load)),
    )


def summary(environment: Any) -> list[str]:
    """Locust's own words of the run: shown, never judged by."""
    total = environment.stats.total if environment is not None else None
    if total is None or not total.num_requests:
        return []
    figures = f"{total.num_requests:,} requests, {total.num_failures:,} failed, p95 {total.get_response_time_percentile(0.95):g} ms"
    return [f"Locust's own summary: {figures}"]


def raised(errors: dict[str, int]) -> list[str]:
    return [f"{amount:,} times the locustfile raised {words}" for words, amount in errors.items()]


def blind(classes: list[Any], *, load: Load) -> list[str]:
    """What these User classes hide or can not see."""
    found = []
    for one in classes:
        if retries := getattr(one, "max_retries", 0):
            found.append(f"{one.__name__} retries up to {retries} times by itself: failed attempts are hidden in a longer answer")
        if not issubclass(one, FastHttpUser):
            continue
        if getattr(one, "insecure", False) and str(getattr(one, "host", "")).startswith("https"):
            found.append(f"{one.__name__} checks no certificates")
        longest = max(float(one.network_timeout), float(one.connection_timeout))
        if longest > load.timeout:
            found.append(f"{one.__name__} waits up to {longest:g} s, longer than the load's time-out of {load.timeout:g} s")
    return found
