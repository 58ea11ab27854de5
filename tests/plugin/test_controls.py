"""Positive and negative controls on the real sandbox: instruments that would not have noticed are found before anything is broken."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import Workspace
from tests.plugin.test_loads import k6_is

ONE = """
sees = cf.Hypothesis("the shop serves", %s, web.ready(at_least=2))


@cf.experiment(base.but("The shop survives losing a pod", k8s.kill(web, count=1), steady_state=sees, load=%s))
def test_losing_a_pod(chaos):
    chaos.run()
"""
KUBECTL = Path("~/.cache/chaosfw/bin/kubectl").expanduser()
PROBE, LOAD = "cf.http('shop', path='/health')", "cf.Load('shop', rate=120)"


def controls(workspace: Workspace, *, probe: str = PROBE, load: str = LOAD) -> tuple[str, dict[str, object], dict[str, object], str]:
    """The verdict, both controls, and the condition's words."""
    workspace.experiments(ONE % (probe, load))
    record = workspace.run("--chaos-controls").record()
    quiet, loud = record["controls"]
    (condition,) = (one for one in record["judgement"]["conditions"] if one["slug"] == "controls")
    return record["judgement"]["verdict"], quiet, loud, condition["reason"]


def test_instruments_that_see_leave_the_verdict_alone(workspace: Workspace) -> None:
    verdict, quiet, loud, words = controls(workspace)
    probes = {one["name"]: one for one in loud["probes"]}  # type: ignore[attr-defined]

    assert (verdict, quiet["bad"], loud["good"]) == ("held", 0, 0), words
    assert quiet["intended"] == quiet["good"] >= 200  # type: ignore[operator]
    assert loud["intended"] == loud["bad"] >= 200  # type: ignore[operator]
    assert sorted(one["redirected"] for one in probes.values()) == [False, True]
    assert next(one for one in probes.values() if one["redirected"])["false"] > 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"probe": "cf.http('shop', path='/health', status=(200, 503))"}, "is blind: it is well with a server that refuses everything"),
        ({"load": "cf.Load('shop', rate=120, status=(200, 503))"}, "the load is blind"),
        ({"load": "cf.k6('load-test.js', at='shop', vus=4, timeout='1s')"}, "the load is blind"),
    ],
    ids=["probe", "load", "script with its own host"],
)
def test_blind_instruments_are_found(workspace: Workspace, cluster: sandbox.Sandbox, given: dict[str, str], words: str) -> None:
    k6_is(workspace, "2.0.0")
    url = cluster.endpoint("shop/myapp", port=80)
    workspace.write(
        "load-test.js", f"import http from 'k6/http';\nexport default function () {{ http.get('{url}', {{timeout: '1s'}}); }}\n"
    )

    verdict, _, _, said = controls(workspace, **given)

    assert verdict == "inconclusive"
    assert words in said


def test_a_load_that_fails_by_itself_is_found(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Against an endpoint where half of the requests go wrong without any fault: what it shows later would not be the fault's."""
    workspace.write("unlucky.yaml", UNLUCKY)
    cluster.apply([workspace.path / "unlucky.yaml"])
    settings = workspace.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace("endpoints = {", 'endpoints = { unlucky = "service/shop/unlucky:80",'))

    try:
        _, quiet, _, said = controls(workspace, load="cf.Load('unlucky', rate=120)")
    finally:
        subprocess.run([KUBECTL, "--kubeconfig", cluster.kubeconfig, "delete", "-f", workspace.path / "unlucky.yaml"], check=True)

    assert quiet["onsets"] > 0  # type: ignore[operator]
    assert "the control with nothing broken saw an outage" in said


UNLUCKY = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: unlucky, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: unlucky}}
  template:
    metadata: {labels: {app: unlucky}, annotations: {chaosfw.dev/error-rate: "50%"}}
    spec:
      containers: [{name: web, image: acme/web, ports: [{containerPort: 8000}]}]
---
apiVersion: v1
kind: Service
metadata: {name: unlucky, namespace: shop}
spec:
  selector: {app: unlucky}
  ports: [{port: 80, targetPort: 8000}]
"""
