"""
The sandbox's public face: start one, join one, and ask it things. Only ``assembly`` and ``cli`` import it.

Everything here is synchronous and light: no server, thread or event loop lives in the caller's process. What keeps the sandbox alive is the
lease that :class:`Sandbox` holds; the kernel gives it back when the process dies.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.dataplane.table import LinkFault, fault_to_json
from chaosfw.sandbox.https import Api
from chaosfw.sandbox.keeper import home
from chaosfw.sandbox.keeper.launch import Lease, launch, lease
from chaosfw.sandbox.lines import ask
from chaosfw.sandbox.manifests import apply, read
from chaosfw.sandbox.settling import Cluster, misplaced, unsettled
from chaosfw.sandbox.spec import KUBERNETES, SandboxSpec
from chaosfw.sandbox.upstream import binaries
from chaosfw.timing import SYSTEM, nanoseconds

__all__ = ["VARIABLE", "Exposed", "LinkFault", "Pid", "Sandbox", "SandboxSpec", "down", "env", "join", "running", "start", "status", "up"]

VARIABLE: Final = "CHAOSFW_SANDBOX"
"""Names the directory of a running sandbox to processes that may join it."""

PROXY: Final = "CHAOSFW_PROXY"
"""Says where an HTTP proxy for the cluster's names and addresses is."""

_LOOK: Final = 0.03


@dataclass(frozen=True, slots=True)
class Pid:
    """
    One process of the sandbox: ``keeper``, ``control``, ``plane`` (a part of a real control plane), ``runtime``, ``dataplane`` or ``pod``.
    """

    name: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """
    What one pod carried for one service: connections open at some moment of the interval, how many of them were new, how many still are
    open.
    """

    name: str
    namespace: str
    uid: str
    node: str
    zone: str
    service: str
    connections: int
    new: int
    open: int
    first_ns: int
    last_ns: int


class Sandbox:
    """A running sandbox and this process's lease on it."""

    def __init__(self, directory: Path, held: Lease) -> None:
        facts = _facts(directory)
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self.ca = directory / "ca.pem"
        self.server: str = facts["server"]
        self.token: str = facts["token"]
        self.nodes: Mapping[str, str] = facts["nodes"]
        """Each node's zone."""
        self.control_plane: str = facts["control_plane"]
        self.proxy: str = facts["proxy"]
        """URL of an HTTP proxy for clients outside that know only the cluster's names and addresses."""
        self.zones: tuple[str, ...] = tuple(facts["zones"])
        self._lease = held
        self._api = Api(self.server, token=self.token, authority=self.ca)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def apply(self, manifests: Iterable[Path | Mapping[str, Any]]) -> None:
        """Files, directories or objects; a refusal of the server names the file and the object."""
        apply(self._api, read(manifests))

    def endpoint(self, service: str, *, port: int | str | None = None, namespace: str = "default") -> str:
        """Where clients outside the cluster reach a service. ``namespace/name`` is understood as well."""
        if "/" in service:
            namespace, service = service.split("/", 1)
        return f"http://{self._control({'do': 'endpoint', 'service': service, 'namespace': namespace, 'port': port})['at']}"

    def settle(self, *, timeout: float = 30.0) -> None:
        """Until every deployment is available, spread over the open zones, and routed. Deletes pods that stand in the wrong zone."""
        deadline = SYSTEM.monotonic_ns() + nanoseconds(timeout)
        while True:
            seen = self._look()
            missing = unsettled(seen)
            if not missing:
                pod = misplaced(seen)
                if pod is None:
                    return
                missing = [f"pod {pod['metadata']['namespace']}/{pod['metadata']['name']} stands in a zone that has too many"]
                self._delete(pod)
            if SYSTEM.monotonic_ns() >= deadline:
                raise SandboxError(f"the sandbox did not settle within {timeout:g} s: {'; '.join(missing)}", hint=self._hint())
            SYSTEM.sleep(_LOOK)

    def exposure(self, since_ns: int) -> tuple[Exposed, ...]:
        """Which pods carried connections since that monotonic instant, as the data plane saw it."""
        answer = ask(self.directory / "dataplane.sock", {"do": "exposure", "since_ns": since_ns})
        return tuple(Exposed(**row) for row in answer["pods"])

    def break_links(self, faults: Iterable[LinkFault]) -> None:
        """Makes the faults between places be exactly these; none of them heals all links, on open connections too."""
        ask(self.directory / "dataplane.sock", {"do": "fault", "faults": [fault_to_json(fault) for fault in faults]})

    def machine(self, node: str, state: str) -> None:
        """
        Brings a node's machine into a state, and returns when it is in it: ``off`` (without power: silence, then nothing of it runs),
        ``frozen`` (nothing of it goes on, and all of it later), ``cut`` (it runs, but nothing goes to or comes from it), ``on``. The
        cluster is not told. SandboxError: no such node or state, or the machine is in another state than ``on``.
        """
        self._control({"do": "machine", "node": node, "state": state})

    def machines(self) -> Mapping[str, str]:
        """Each node's state."""
        found: dict[str, str] = self._control({"do": "machines"})["machines"]
        return found

    def lateness(self) -> dict[str, dict[str, float]]:
        """How late the loops of the sandbox's servers ran in the last ten seconds, in milliseconds."""
        request = {"do": "lateness"}
        return {"control": self._control(request)["lateness"], "dataplane": ask(self.directory / "dataplane.sock", request)["lateness"]}

    def processes(self) -> tuple[Pid, ...]:
        """Everything that runs for this sandbox, for audits."""
        found = self._lease.ask({"do": "status"})["processes"]
        return tuple(Pid(name.removesuffix("s") if name == "pods" else name, pid) for name, pids in found.items() for pid in pids)

    def pin(self) -> None:
        """From now on it stays without leases, until :func:`down`."""
        self._lease.ask({"do": "pin"})

    def env(self) -> dict[str, str]:
        """The environment of this process with the variables of :func:`env`, for programs that are to find the sandbox."""
        return {**os.environ, **env(self.directory)}

    def lease(self) -> Lease:
        """One more lease, for a child that inherits its descriptor."""
        return lease(self.directory)

    def close(self) -> None:
        """Gives the lease back. If it was the last one and nobody pinned the sandbox, all is gone when this returns."""
        self._api.close()
        self._lease.give_back()

    def _control(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return ask(self.directory / "control.sock", dict(request))

    def _look(self) -> Cluster:
        return Cluster(
            deployments=self._items("/apis/apps/v1/deployments"),
            stateful=self._items("/apis/apps/v1/statefulsets"),
            daemons=self._items("/apis/apps/v1/daemonsets"),
            pods=self._items("/api/v1/pods"),
            services=self._items("/api/v1/services"),
            nodes=self._items("/api/v1/nodes"),
            backends=self._control({"do": "backends"})["backends"],
        )

    def _items(self, path: str) -> list[Object]:
        items: list[Object] = self._api.get(path)["items"]
        return items

    def _delete(self, pod: Object) -> None:
        meta = pod["metadata"]
        try:
            self._api.call("DELETE", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}", {"preconditions": {"uid": meta["uid"]}})
        except ApiError as error:
            if error.code not in (404, 409):
                raise SandboxError(f"cannot move pod {meta['name']}: {error.message}") from error

    def _hint(self) -> str:
        return f"KUBECONFIG={self.kubeconfig} kubectl get pods,events -A shows why"


def start(spec: SandboxSpec, *, timeout: float = 60.0) -> Sandbox:
    """
    A new sandbox with the manifests applied and settled; this process holds its first lease. Raises SandboxError, at once where the
    programs of the control plane that is asked for are not here.
    """
    if spec.control_plane == KUBERNETES:
        binaries.find()
    directory, held = launch(spec, timeout=timeout)
    return _furnished(directory, held, spec, timeout=timeout)


def join(directory: Path) -> Sandbox:
    """A running sandbox, kept alive from now on by this process too."""
    return _sandbox(directory, lease(directory))


def up(spec: SandboxSpec, *, timeout: float = 60.0) -> Path:
    """A sandbox that stays until :func:`down`."""
    with start(spec, timeout=timeout) as sandbox:
        sandbox.pin()
    return sandbox.directory


def down(directory: Path) -> None:
    """Stops it, whoever uses it; returns when nothing of it is left."""
    held = lease(directory)
    held.ask({"do": "down"})
    held.wait_for_end()
    held.let_go()


def running() -> tuple[Path, ...]:
    """The directories of this user's sandboxes that live."""
    return tuple(sorted(one for one in home.base().iterdir() if (one / "sandbox.json").exists() and home.is_alive(one)))


def status(directory: Path) -> dict[str, Any]:
    """Leases, processes and facts of a running sandbox."""
    with join(directory) as sandbox:
        told = {"machines": dict(sandbox.machines()), **sandbox._lease.ask({"do": "status"})}
    facts = {name: value for name, value in _facts(directory).items() if name != "token"} if directory.exists() else {}
    return {**facts, **told, "directory": str(directory)}


def env(directory: Path) -> dict[str, str]:
    """The variables with which other programs find the sandbox and its services."""
    endpoints = ask(directory / "control.sock", {"do": "endpoints"})["endpoints"]
    variables = {f"CHAOSFW_ENDPOINT_{re.sub('[^A-Z0-9]', '_', name.upper())}": f"http://{at}" for name, at in sorted(endpoints.items())}
    found = {"KUBECONFIG": str(directory / "kubeconfig"), VARIABLE: str(directory), PROXY: _facts(directory)["proxy"]}
    return {**found, **variables}


def _sandbox(directory: Path, held: Lease) -> Sandbox:
    try:
        return Sandbox(directory, held)
    except BaseException:
        held.give_back()
        raise


def _furnished(directory: Path, held: Lease, spec: SandboxSpec, *, timeout: float) -> Sandbox:
    sandbox = _sandbox(directory, held)
    try:
        sandbox.apply([path if path.is_absolute() else spec.workdir / path for path in spec.manifests])
        sandbox.settle(timeout=timeout)
    except BaseException:
        sandbox.close()
        raise
    return sandbox


def _facts(directory: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((directory / "sandbox.json").read_text())
    except OSError as error:
        raise SandboxError(f"no sandbox runs at {os.fspath(directory)}", hint="chaosfw sandbox up starts one") from error
    return facts
