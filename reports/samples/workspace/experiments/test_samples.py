"""What the verdicts look like: each test ends in another one. ``scripts/samples`` runs them one by one."""

import os
import subprocess
import sys

import chaosfw as cf
from chaosfw.faults import kubernetes as k8s

web = k8s.deployment("web", namespace="shop")
search = k8s.deployment("search", namespace="shop")

base = cf.Experiment(
    steady_state=cf.Hypothesis("the shop serves", cf.http("shop", path="/health", status=200), web.ready(at_least=2)),
    load=cf.Load("shop", rate=100),
    slo=cf.SLO("checkout", availability="99.9%", latency={"p95": "300ms"}, window="30d"),
    during_fault=[cf.availability("97%"), cf.latency(p95="800ms")],
    costs_at_most="0.1%",
)


@cf.experiment(base.but("The shop survives losing a pod", k8s.kill(web, count=1)))
def test_held(chaos: cf.Chaos) -> None:
    """Three replicas that drain: nobody notices."""
    chaos.run()


@cf.experiment(
    base.but(
        "Search survives losing its only pod",
        k8s.kill(search, count=1),
        steady_state=cf.Hypothesis("search answers", cf.http("search", path="/health", status=200), search.ready(at_least=1)),
        load=cf.Load("search", rate=100),
    )
)
def test_one_replica(chaos: cf.Chaos) -> None:
    """One replica: down until the next one is ready."""
    chaos.run()


@cf.experiment(base.but("The shop survives a drained node", k8s.drain(hosting=web), lasts="6s"))
def test_undone_behind_our_back(chaos: cf.Chaos) -> None:
    """Somebody uncordons the node while the fault is held: for how long it was in, nobody can say."""
    kubeconfig = os.environ["KUBECONFIG_OF_MEDDLER"]
    with subprocess.Popen([sys.executable, "meddler.py", kubeconfig, "2"]) as meddler:
        try:
            chaos.run()
        finally:
            meddler.kill()


@cf.experiment(base.but("The shop survives losing a pod of the web tier", k8s.kill(selector="app=webb", namespace="shop")))
def test_wrong_selector(chaos: cf.Chaos) -> None:
    """A typing error in the selector: nothing is injected."""
    chaos.run()


switch = cf.toolkit(
    "brokendriver",
    "switch_off",
    undo=cf.toolkit("brokendriver", "switch_on"),
    proof=cf.probe("brokendriver.is_off", cf.exactly(True), name="it is off"),
)


@cf.experiment(base.but("The shop survives the switch", switch))
def test_revert_fails(chaos: cf.Chaos) -> None:
    """The driver cannot put back what it did."""
    chaos.run()
