"""
Makes a place out of declared settings: a sandbox that is started or joined, or a real cluster behind a kubeconfig of our own.

Used by ``session``, the watchdog and the CLI. Knows nothing of experiments.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from chaosfw.errors import EnvironmentTrouble, NoSandbox, SandboxError, UsageError
from chaosfw.load.k6.driver import NAMED
from chaosfw.model.environment import Environment, Identity
from chaosfw.model.load import Endpoint
from chaosfw.planning import hours
from chaosfw.planning.guards import GUARDS, NEVER_SUPPRESSED
from chaosfw.planning.namespaces import real
from chaosfw.sandbox import public as sandbox
from chaosfw.settings import EndpointSettings, EnvironmentSettings, Settings

STARTING = 60.0
"""Seconds that a sandbox may take to come up with all its manifests ready."""
SAFETY = "safety"
"""Folder of ledger and lock in a sandbox's own directory: they go with it."""


class Held(Protocol):
    """Something that is kept alive until closed."""

    def close(self) -> None: ...


class Nothing:
    """Holds nothing: a real cluster stays by itself."""

    def close(self) -> None:
        return


@dataclass(slots=True)
class SandboxPlace:
    """ports.Place: an embedded cluster."""

    environment: Environment
    _sandbox: sandbox.Sandbox
    _endpoints: Mapping[str, EndpointSettings]

    @property
    def directory(self) -> str:
        return str(self._sandbox.directory)

    def variables(self) -> dict[str, str]:
        """What programs inside the run find in their environment, as ``chaosfw sandbox env`` prints it."""
        return sandbox.env(self._sandbox.directory)

    def endpoint(self, name: str) -> Endpoint:
        return _resolved(name, self._endpoints, self.environment.namespaces, self._service)

    def settle(self) -> None:
        self._sandbox.settle(timeout=STARTING)

    def exposure(self, since: int) -> Mapping[str, int]:
        counted: dict[str, int] = {}
        for one in self._sandbox.exposure(since):
            if not one.name.startswith(NAMED):  # pods of the load itself, which are asked how it goes
                counted[one.name] = counted.get(one.name, 0) + one.connections
        return counted

    def lateness(self) -> float:
        return max((one.get("max", 0.0) for one in self._sandbox.lateness().values()), default=0.0) / 1000

    def close(self) -> None:
        self._sandbox.close()

    def _service(self, namespace: str, name: str, port: str) -> str:
        return self._sandbox.endpoint(name, namespace=namespace, port=int(port) if port.isdigit() else port or None)


@dataclass(slots=True)
class ClusterPlace:
    """ports.Place: a real cluster. Its kubeconfig is ours, for this run, and names one context."""

    environment: Environment
    _endpoints: Mapping[str, EndpointSettings]
    directory: str = ""

    def variables(self) -> dict[str, str]:
        return {}

    def endpoint(self, name: str) -> Endpoint:
        return _resolved(name, self._endpoints, self.environment.namespaces, _no_services)

    def settle(self) -> None:
        return

    def exposure(self, since: int) -> Mapping[str, int]:
        return {}

    def lateness(self) -> float:
        return 0.0

    def close(self) -> None:
        Path(self.environment.kubeconfig).unlink(missing_ok=True)


AnyPlace = SandboxPlace | ClusterPlace


def open_place(settings: Settings, *, shared: Path | None = None, joining: bool = False) -> AnyPlace:
    """
    The chosen environment, up. ``shared`` is a folder through which the processes of one game day find one sandbox; with
    ``joining`` no sandbox is started: the one that CHAOSFW_SANDBOX names is meant, or the only one that runs.
    Raises SandboxError, EnvironmentTrouble or UsageError in words.
    """
    chosen = settings.chosen()
    _check(chosen)
    if chosen.kind == "sandbox":
        return _sandbox_place(chosen, _only_one() if joining else _started(settings, chosen, shared))
    return _cluster_place(chosen)


def _check(chosen: EnvironmentSettings) -> None:
    """What settings can not check by themselves. Raises UsageError."""
    for one in chosen.hours:
        hours.read(one)
    for slug in chosen.suppress:
        if slug not in GUARDS or slug in NEVER_SUPPRESSED:
            known = ", ".join(one for one in GUARDS if one not in NEVER_SUPPRESSED)
            what = "can not be suppressed" if slug in GUARDS else "is no guard"
            raise UsageError(f"environments.{chosen.name}.suppress: {slug!r} {what}", hint=f"these can: {known}")


def hold(place: str) -> Held:
    """Keeps a sandbox alive from this process too; nothing to hold elsewhere."""
    return sandbox.join(Path(place)) if place else Nothing()


def is_gone(place: str) -> bool:
    """Whether a sandbox has ended for good. A real cluster never has, as far as anybody here can tell."""
    try:
        return bool(place) and not sandbox.status(Path(place))
    except SandboxError:
        return True


def sandbox_spec(settings: Settings, chosen: EnvironmentSettings) -> sandbox.SandboxSpec:
    """What the settings say a sandbox shall be. Raises UsageError for a manifest pattern that matches nothing."""
    manifests = [path for pattern in chosen.manifests for path in _matching(settings.rootdir, pattern, chosen.name)]
    return sandbox.SandboxSpec(
        nodes=chosen.nodes,
        hollow_nodes=chosen.hollow_nodes,
        zones=chosen.zones,
        profile=chosen.profile,
        control_plane=chosen.control_plane,
        manifests=tuple(manifests),
        images=dict(chosen.images),
        workdir=settings.rootdir,
    )


def state_directory(chosen: EnvironmentSettings) -> Path:
    """Where ledger and lock of a real environment lie: they outlive the checkout, and every user of this host meets there."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(base) / "chaosfw" / f"{chosen.name}-{hashlib.sha256(chosen.server.encode()).hexdigest()[:8]}"


def _only_one() -> sandbox.Sandbox:
    if joined := os.environ.get(sandbox.VARIABLE):
        return sandbox.join(Path(joined))
    running = sandbox.running()
    if not running:
        raise NoSandbox("no sandboxes run", hint="there is nothing to look at then")
    if len(running) != 1:
        raise UsageError(f"{len(running)} sandboxes run", hint="; ".join(map(str, running)))
    return sandbox.join(running[0])


def _sandbox_place(chosen: EnvironmentSettings, started: sandbox.Sandbox) -> SandboxPlace:
    environment = Environment(
        name=chosen.name,
        kind="sandbox",
        identity=Identity(server=started.server),
        namespaces=dict(chosen.namespaces),
        zones=tuple(started.zones),
        limits=chosen.limits,
        beside=chosen.beside,
        hours=chosen.hours,
        budget_left=chosen.budget_left,
        state_namespace=chosen.state_namespace,
        suppress=dict(chosen.suppress),
        kubeconfig=str(started.kubeconfig),
        state=str(started.directory / SAFETY),
        profile=chosen.profile,
        control_plane=started.control_plane,
    )
    return SandboxPlace(environment, started, chosen.endpoints)


def _started(settings: Settings, chosen: EnvironmentSettings, shared: Path | None) -> sandbox.Sandbox:
    """Joins the sandbox that the variable names, or the one of this game day; else starts one."""
    if joined := os.environ.get(sandbox.VARIABLE):
        return sandbox.join(Path(joined))
    if shared is None:
        return sandbox.start(sandbox_spec(settings, chosen), timeout=STARTING)
    with _alone(shared / ".sandbox.lock"):
        note = shared / ".sandbox"
        if note.exists():
            try:
                return sandbox.join(Path(note.read_text()))
            except SandboxError:
                pass  # its last user has gone meanwhile: a new one takes its place
        started = sandbox.start(sandbox_spec(settings, chosen), timeout=STARTING)
        note.write_text(str(started.directory))
        return started


def _cluster_place(chosen: EnvironmentSettings) -> ClusterPlace:
    state = state_directory(chosen)
    state.mkdir(parents=True, exist_ok=True)
    kubeconfig = _own_kubeconfig(chosen, state / f"kubeconfig-{os.getpid()}")
    environment = Environment(
        name=chosen.name,
        kind="kubernetes",
        identity=Identity(server=chosen.server, uid=chosen.identity),
        namespaces=dict(chosen.namespaces),
        zones=chosen.zones,
        limits=chosen.limits,
        beside=chosen.beside,
        hours=chosen.hours,
        budget_left=chosen.budget_left,
        state_namespace=chosen.state_namespace,
        suppress=dict(chosen.suppress),
        kubeconfig=str(kubeconfig),
        state=str(state),
        accept_manual_heal=chosen.accept_manual_heal,
    )
    return ClusterPlace(environment, chosen.endpoints)


def _own_kubeconfig(chosen: EnvironmentSettings, to: Path) -> Path:
    """A kubeconfig with the declared context only, credential plugins kept; refused when it does not point at the declared server."""
    source = Path(
        chosen.kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube" / "config"
    ).expanduser()
    if not source.exists():
        raise EnvironmentTrouble(f"environment {chosen.name!r}: there is no kubeconfig at {source}", hint="set kubeconfig, or KUBECONFIG")
    content: dict[str, Any] = yaml.safe_load(source.read_text()) or {}
    context = _named(content, "contexts", chosen.context, source)
    cluster = _named(content, "clusters", context["context"]["cluster"], source)
    user = _named(content, "users", context["context"]["user"], source)
    points_at = cluster["cluster"].get("server", "")
    if points_at.rstrip("/") != chosen.server.rstrip("/"):
        raise EnvironmentTrouble(
            f"environment {chosen.name!r}: context {chosen.context!r} points at {points_at}, declared is {chosen.server}",
            hint="nothing was touched; correct the context or the declaration",
        )
    own = {**content, "contexts": [context], "clusters": [cluster], "users": [user], "current-context": chosen.context}
    descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(own, file)
    return to


def _named(content: Mapping[str, Any], table: str, name: str, source: Path) -> dict[str, Any]:
    for one in content.get(table) or []:
        if one.get("name") == name:
            return dict(one)
    known = ", ".join(str(one.get("name")) for one in content.get(table) or []) or "none"
    raise EnvironmentTrouble(f"{source} has no {table[:-1]} {name!r}", hint=f"{table} there: {known}")


def _resolved(
    name: str, declared: Mapping[str, EndpointSettings], namespaces: Mapping[str, str], service: Callable[[str, str, str], str]
) -> Endpoint:
    """Where an endpoint is and which Service leads to it. ``service`` turns the namespace, name and port of one into a URL."""
    if name not in declared:
        known = ", ".join(sorted(declared)) or "none"
        raise UsageError(
            f"endpoint {name!r} is not declared for this environment", hint=f"declared: {known}; see [tool.chaosfw.environments]"
        )
    where = declared[name].where
    if "://" in where:
        namespace, slash, behind = declared[name].service.partition("/")
        return Endpoint(name=name, url=where, service=f"{real(namespace, namespaces)}/{behind}" if slash else "")
    if not where.startswith("service/") or where.count("/") != 2:
        raise UsageError(f"endpoint {name!r} is {where!r}: a URL or service/<namespace>/<name>:<port> was expected")
    _, namespace, rest = where.split("/")
    service_name, _, port = rest.partition(":")
    namespace = real(namespace, namespaces)
    return Endpoint(name=name, url=service(namespace, service_name, port), service=f"{namespace}/{service_name}")


def _no_services(namespace: str, name: str, port: str) -> str:
    raise UsageError(
        f"service {namespace}/{name} can not be reached from outside a real cluster by name", hint="declare the endpoint's URL"
    )


def _matching(rootdir: Path, pattern: str, environment: str) -> list[Path]:
    found = sorted(rootdir.glob(pattern))
    if not found:
        raise UsageError(f"environments.{environment}.manifests: {pattern!r} matches no file in {rootdir}")
    return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def command_words(arguments: list[str]) -> str:
    """The command that repeats a game day, for people to copy."""
    return shlex.join(arguments)
