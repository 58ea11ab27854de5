"""
Which generator stands behind which name, and what identifies the file of a load that has one.

Called by :mod:`chaosfw.assembly.chaos`. Runs in the pytest process: nothing here imports a load tool.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.drivers.kubernetes.test_runs import TestRun
from chaosfw.errors import ChaosfwError
from chaosfw.load.k6 import program
from chaosfw.load.k6.driver import InCluster, K6Driver
from chaosfw.load.locust.driver import LocustDriver
from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.experiment import Experiment
from chaosfw.model.load import Load
from chaosfw.model.struct import but
from chaosfw.ports import LoadDriver


def load_driver(name: str, *, root: Path, k6: str = "", kubeconfig: str = "") -> LoadDriver:
    """
    The generator of that name. ``root``: what relative paths count from; ``k6``: its binary, where the settings name one;
    ``kubeconfig``: of the cluster, where there is one.
    """
    cluster = InCluster({"KUBECONFIG": kubeconfig}, lambda namespace, name: TestRun(Cluster(kubeconfig), namespace, name))
    found: dict[str, LoadDriver] = {
        "prober": ProberDriver(root),
        "locust": LocustDriver(root),
        "k6": K6Driver(k6, root=root, cluster=cluster if kubeconfig else None),
    }
    return found[name]


def not_here(load: Load | None, *, k6: str = "") -> str:
    """Why an experiment is skipped that may be where its tool is not installed; empty when it is, or when it may not."""
    if load is None or load.missing != "skip":
        return ""
    if load.driver == "locust":
        return "" if find_spec("locust") else "the load asks for Locust, which is not installed here"
    try:
        if load.driver == "k6":
            program.find(k6)
    except ChaosfwError as trouble:
        return trouble.message
    return ""


def with_digest(experiment: Experiment, *, root: Path) -> Experiment:
    """With the digest of its load's file, so that a plan that was approved names what will be sent. A file that is not there has none."""
    load = experiment.load
    script = load.script if load is not None else None
    if load is None or script is None or not (root / script.file).is_file():
        return experiment
    digest = hashlib.sha256((root / script.file).read_bytes()).hexdigest()
    return but(experiment, load=but(load, script=but(script, sha256=digest)))
