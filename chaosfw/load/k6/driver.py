"""
Starts k6 under a collector in a process of its own. Implements ``ports.LoadDriver``; called by the engine, and by the assembly for
``check``, which asks k6 what the script declares before anything is touched.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from chaosfw.errors import ChaosfwError
from chaosfw.load.child import START_WITHIN, ChildRun, start
from chaosfw.load.k6 import program
from chaosfw.load.k6.pods import PODS_WITHIN
from chaosfw.load.k6.script import vus, written
from chaosfw.load.orders import Orders
from chaosfw.model.load import Endpoint, Load, Script
from chaosfw.model.struct import but
from chaosfw.ports import Fleet

SPARE = 1.5
"""The script goes on for so many times what the run is expected to take: injecting, proving and healing come on top of the phases."""
EACH_VU = 0.01
"""Seconds that k6 may take to make a VU, on a busy machine."""
NAMED = "chaosfw-k6-"
"""How what is made in a cluster begins."""
COMPARING = 60.0
"""Seconds beyond the pods' coming that comparing their clocks may take."""
LEAST = 120.0
"""Seconds beyond what is expected, at least."""


class K6Driver:
    """k6 1.x or 2.x: the binary that the settings name, or the one on PATH."""

    name = "k6"

    def __init__(self, binary: str = "", *, root: Path = Path(), cluster: InCluster | None = None) -> None:
        self._wanted, self._root, self._cluster = binary, root.resolve(), cluster

    def check(self, load: Load, *, at: Endpoint, seconds: float, claims: bool) -> tuple[tuple[str, str], ...]:
        try:
            binary = program.find(self._wanted)
            program.version(binary)
            if load.script is None:
                return ()
            file = self._root / load.script.file
            if not file.is_file():
                return ((f"the k6 script {load.script.file!r} is not there", f"paths count from {self._root}"),)
            found = program.declared(binary, str(file), env=_env(load.script, at))
            if load.script.pods and (trouble := self._no_pods(load.script)):
                return (trouble,)
        except ChaosfwError as trouble:
            return ((trouble.message, trouble.hint),)
        return tuple(_unfit(found, load=load, seconds=seconds, claims=claims))

    def _no_pods(self, script: Script) -> tuple[str, str] | None:
        if self._cluster is None:
            return ("pods of k6 need a cluster, and this environment has none", "without pods= it runs here")
        return self._cluster.fleet(script.namespace, "none").unfit()

    def start(self, load: Load, *, at: Endpoint, out: Path, seconds: float = 0.0) -> ChildRun:
        binary = program.find(self._wanted)
        long, stream = max(seconds * SPARE, seconds + LEAST), "/dev/fd/{stream}"
        model: Literal["open", "closed"] = "open"
        tags: tuple[str, ...] = ()
        thresholds = False
        if load.script is None:
            script, most = Script(file=str(out.resolve() / "load.js")), vus(load)
            Path(script.file).write_text(written(load, url=at.url, seconds=long))
        else:
            script = load.script
            file = str(self._root / script.file)
            declared = program.declared(binary, file, env=_env(script, at))
            most = script.users or declared.vus
            model, tags = "open" if declared.open and not script.users else "closed", declared.tags
            thresholds = declared.thresholds
            if script.pods:
                return self._in_pods(load, at=at, out=out, seconds=long, model=model, tags=(*program.TAGS, *tags))
        words = program.command(
            binary,
            str(self._root / script.file),
            stream=stream,
            env=_env(script, at),
            vus=script.users,
            seconds=long,
            tags=(*program.TAGS, *tags),
            thresholds=thresholds,
        )
        return start(
            self.name,
            Orders(load=load, url=at.url, out=str(out.resolve()), seconds=long, command=tuple(words), model=model),
            within=START_WITHIN + load.timeout + EACH_VU * (vus(load) if load.script is None else script.users),
            env=program.surroundings(os.environ, vus=most) | {"PYTHONPATH": str(Path(__file__).resolve().parents[3])},
            cwd=str(self._root),
        )

    def _in_pods(
        self, load: Load, *, at: Endpoint, out: Path, seconds: float, model: Literal["open", "closed"], tags: tuple[str, ...]
    ) -> ChildRun:
        cluster, script, name = self._cluster, load.script, f"{NAMED}{secrets.token_hex(3)}"
        assert cluster is not None and script is not None
        env = _env(script, at)
        words = program.arguments(env=env, vus=script.users, seconds=seconds, tags=tags)
        there = but(script, file=str(self._root / script.file))
        orders = Orders(
            load=but(load, script=there),
            url=at.url,
            out=str(out.resolve()),
            seconds=seconds,
            command=tuple(words),
            model=model,
            name=name,
            env=env,
        )
        return start(
            "k6_pods", orders, within=PODS_WITHIN + COMPARING, env=cluster.variables, gone=_removing(cluster.fleet(script.namespace, name))
        )


@dataclass(frozen=True, slots=True)
class InCluster:
    """What k6 in pods needs. ``variables``: with which a child finds the cluster; ``fleet``: of a namespace and a name."""

    variables: Mapping[str, str]
    fleet: Callable[[str, str], Fleet]


def _removing(fleet: Fleet) -> Callable[[], None]:
    """Removes what a child left that did not end by itself. Where that fails too, it ends after its time and the operator removes it."""

    def gone() -> None:
        with suppress(ChaosfwError):
            fleet.end()

    return gone


def _unfit(found: program.Declared, *, load: Load, seconds: float, claims: bool) -> Iterator[tuple[str, str]]:
    """Why what the script declares does not do for this experiment."""
    script = load.script
    assert script is not None
    name = Path(script.file).name
    if script.users and script.users < script.pods:
        yield (f"{script.users} VUs can not be shared by {script.pods} pods", "each pod of k6-operator needs one at least")
    if script.users:
        if not found.only_vus:
            yield (f"{name} declares scenarios of its own, and vus={script.users} would replace them", "leave out vus=")
    elif not found.seconds:
        yield (f"{name} does not say for how long it runs", "vus=… runs it with so many VUs for as long as the experiment takes")
    elif found.seconds < seconds:
        how = "vus=… runs it for as long as the experiment takes" if found.only_vus else "make its duration longer"
        yield (f"{name} runs for {found.seconds:g} s, and the experiment needs about {seconds:.0f} s", how)
    if claims and not (found.open and not script.users):
        kinds = ", ".join(dict.fromkeys(found.executors)) or "constant-vus"
        yield (
            f"shares of requests are claimed of a closed loop ({name}: {kinds}), whose VUs wait for answers: they can not be decided",
            "an arrival-rate executor, or cf.Load(…, driver='k6'); or claim only times (recover_within, mitigate_within)",
        )
    needed = found.rate * load.timeout
    if found.open and not script.users and found.vus < needed:
        yield (
            f"{name} has {found.vus} preAllocatedVUs; {found.rate:g} arrivals a second that may wait {load.timeout:g} s need {needed:.0f}",
            "with fewer it becomes a closed loop just when the fault bites",
        )


def _env(script: Script, at: Endpoint) -> dict[str, str]:
    return {"TARGET": at.url, **script.env}
