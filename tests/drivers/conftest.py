"""One real sandbox for each module, the cluster of this process, and faults taken step by step as a run takes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import kube_config

from chaosfw.assembly import catalogue
from chaosfw.drivers.kubernetes import audit, look, marks, nodes
from chaosfw.drivers.kubernetes.cluster import Answered, Cluster, here
from chaosfw.drivers.toolkit import calls
from chaosfw.model.activity import Action
from chaosfw.model.environment import Environment
from chaosfw.model.fault import Bound, Proof, Reverted, RunMark, UndoRecord, UndoState
from chaosfw.model.struct import Json
from chaosfw.ports import FaultKind, ProviderCall
from chaosfw.sandbox import public as sandbox
from chaosfw.sandbox.spec import CONTROL_PLANES
from chaosfw.timing import SYSTEM

ROOT = Path(__file__).parents[2]
PLACE = Environment(name="sandbox", kind="sandbox")
DEADLINE = 30.0
"""Seconds after which something that must happen counts as never happening."""
_runs = itertools.count()


def until(true: Callable[[], object], what: str) -> None:
    end = SYSTEM.monotonic_ns() + int(DEADLINE * 1e9)
    while not true():
        assert SYSTEM.monotonic_ns() < end, f"never: {what}"
        SYSTEM.sleep(0.02)


@dataclass(frozen=True)
class Taken:
    """One fault, bound, and what can be done with it."""

    kind: FaultKind
    bound: Bound

    def call(self) -> Json:
        """What the engine does to inject."""
        action = self.bound.action
        return calls.call(ProviderCall(name=action.name, provider=action.provider, probe=False))

    def bitten(self) -> Proof:
        return self.kind.bitten(self.bound)

    def revert(self, *, state: UndoState = UndoState.in_) -> list[Reverted]:
        """Every undo record, tried again as long as it asks for it."""
        return [self._reverted(UndoRecord(undo=undo, state=state)) for undo in reversed(self.bound.undo)]

    def healed(self) -> list[bool | None]:
        return [catalogue.kinds()[undo.fault].healed(undo).holds for undo in self.bound.undo]

    def names(self, kind: str) -> list[str]:
        return sorted(target.name for target in self.bound.targets if target.kind == kind)

    def _reverted(self, record: UndoRecord) -> Reverted:
        for _ in range(50):
            made = catalogue.kinds()[record.undo.fault].revert(record, epoch=2)
            if not made.retry:
                return made
        raise AssertionError(f"never done: {made.what}")


def take(action: Action, *, seed: int = 1, run: str = "", epoch: int = 1, expiry: str = "") -> Taken:
    """The action bound by the kind that the catalogue knows for it."""
    kind = catalogue.kind_for(action)
    mark = RunMark(run=run or f"run-{next(_runs)}", epoch=epoch, expiry=expiry)
    return Taken(kind, kind.bind(action, PLACE, seed=seed, mark=mark))


def whole_world() -> dict[str, Json]:
    return dict(audit.KubernetesAuditor().snapshot(PLACE))


def world() -> dict[str, Json]:
    """Without who wrote what last, which a server with managedFields tells: what has been put back was written by us."""
    return {path: value for path, value in whole_world().items() if not path.startswith("writer of ")}


def pod_uids(cluster: Cluster) -> dict[str, str]:
    return {look.uid_of(pod): look.name_of(pod) for pod in look.pods(cluster, namespace="shop") if not look.is_terminating(pod)}


def cordoned(cluster: Cluster) -> list[str]:
    return sorted(look.name_of(node) for node in look.nodes(cluster) if node["spec"].get("unschedulable"))


def gone(cluster: Cluster, path: str) -> None:
    try:
        cluster.delete(path)
    except Answered as answer:
        if answer.code != 404:
            raise
    until(lambda: cluster.find(path) is None, f"{path} is gone")


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def running(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    manifests = tuple(sorted((ROOT / "deploy" / "shop").glob("*.yaml")))
    with (
        sandbox.start(sandbox.SandboxSpec(manifests=manifests, workdir=ROOT, control_plane=request.param), timeout=120.0) as started,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("KUBECONFIG", str(started.kubeconfig))
        patch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(started.kubeconfig))  # frozen when kubernetes is imported
        yield started


@pytest.fixture
def cluster(running: sandbox.Sandbox) -> Iterator[Cluster]:
    """The cluster as it was declared, before and after each test."""
    found = here()
    running.settle()
    yield found
    for node in look.nodes(found):
        clean: dict[str, Any] = {"metadata": {"annotations": {marks.MARK: None, marks.TOUCH: None}}, "spec": {"unschedulable": None}}
        found.patch(nodes.path(look.name_of(node)), clean)
    running.settle()


@pytest.fixture
def spare(cluster: Cluster) -> Iterator[Callable[[], None]]:
    """A node object of its own in zone ``spare`` that nothing runs on; calling it deletes and makes it again, with another uid."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "spare", "labels": {look.ZONE: "spare"}}}

    def again() -> None:
        gone(cluster, nodes.path("spare"))
        cluster.post("/api/v1/nodes", body)

    again()
    yield again
    gone(cluster, nodes.path("spare"))
