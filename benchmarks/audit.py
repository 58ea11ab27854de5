"""
Is what the audit calls residue really ours? Clean runs of every fault, and runs beside which somebody deploys, scales or restarts: in
none of them may anything be found. (That each kind of residue is found when it is there is in the tests.)

``python -m benchmarks.audit [CLEAN [BESIDE]]``; ends with 1 where a run had residue.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.heal.lane import DEADLINE, FAULTS, Lane, until
from benchmarks.table import machine
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.timing import SYSTEM, iso

DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/myapp"


def deploys(lane: Lane) -> Callable[[], None]:
    """A change of the pod template, as a pipeline makes it; it stays."""
    _somebody(lane).patch(DEPLOYMENT, {"spec": {"template": {"metadata": {"annotations": {"deployed": iso(SYSTEM.wall_ns())}}}}})
    return lambda: None


def scales(lane: Lane) -> Callable[[], None]:
    """Somebody wants one replica more."""
    _somebody(lane).patch(DEPLOYMENT, {"spec": {"replicas": 4}})
    return lambda: _patched(lane, DEPLOYMENT, {"spec": {"replicas": 3}})


def restarts(lane: Lane) -> Callable[[], None]:
    """A pod goes, as pods do."""
    pods = lane.cluster.items("/api/v1/namespaces/shop/pods", labelSelector="app=myapp")
    lane.cluster.delete(f"/api/v1/namespaces/shop/pods/{pods[0]['metadata']['name']}")
    return lambda: None


def configures(lane: Lane) -> Callable[[], None]:
    """Somebody changes a setting that no fault of ours touches."""
    path = "/api/v1/namespaces/shop/configmaps/myapp"
    _somebody(lane).patch(path, {"data": {"LOG_LEVEL": "debug"}})
    return lambda: _patched(lane, path, {"data": {"LOG_LEVEL": "info"}})


BESIDE = (deploys, scales, restarts, configures)
AMONG = ("kill", "cordon", "drain", "zone", "taint", "selector", "delete-budget")
"""Faults beside which the others work: those that do not change the very fields."""


def residues(lane: Lane, fault: str, beside: Callable[[Lane], Callable[[], None]] | None = None) -> tuple[Any, Any]:
    """What the audit of one run called residue (None: it could not look) and foreign."""
    runner = lane.start(fault)
    back: Callable[[], None] = lambda: None  # noqa: E731  replaced as soon as somebody has done something
    if beside is not None:
        until(lambda: runner.poll() is not None or '"phase":"hold"' in lane.journal(), "the run reaches hold")
        back = beside(lane)
    runner.wait(DEADLINE)
    (path,) = lane.folder.glob("reports/2*/runs/*/record.json")
    record = json.loads(path.read_text())
    lane.idle()
    back()
    lane.sandbox.settle()
    return record["residue"], record.get("foreign", [])


def main() -> int:
    clean, beside = (int(one) for one in (sys.argv[1:] + ["50", "20"][len(sys.argv) - 1 :])[:2])
    print(machine() + "\n")
    lane, bad = Lane(), 0
    try:
        for name, asked in (("clean", _clean(lane, clean)), ("beside others", _beside(lane, beside))):
            runs = found = foreign = 0
            for what, (residue, others) in asked:
                runs += 1
                found += residue != []
                foreign += bool(others)
                if residue != []:
                    print(f"{name}: {what}: {residue}", flush=True)
            bad += found
            print(f"{name:<16}{runs:>4} runs{found:>4} with residue{foreign:>4} with changes of others", flush=True)
    finally:
        lane.close()
    return 1 if bad else 0


def _clean(lane: Lane, times: int) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for number in range(times):
        fault = list(FAULTS)[number % len(FAULTS)]
        yield fault, residues(lane, fault)


def _beside(lane: Lane, times: int) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for number in range(times):
        fault, other = AMONG[number % len(AMONG)], BESIDE[number % len(BESIDE)]
        yield f"{fault} beside somebody who {other.__name__}", residues(lane, fault, other)


def _somebody(lane: Lane) -> Cluster:
    """Who is not we, and says so."""
    return Cluster(str(lane.sandbox.kubeconfig), manager="somebody")


def _patched(lane: Lane, path: str, body: dict[str, Any]) -> None:
    _somebody(lane).patch(path, body)


if __name__ == "__main__":
    sys.exit(main())
