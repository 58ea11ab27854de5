"""The healer in the cluster: it outlives the host that broke something. Here it runs as deploy/reaper/ has it, as pods of the sandbox."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from chaosfw.drivers.kubernetes import published, reapers
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.sandbox import public as sandbox
from chaosfw.sandbox.spec import CONTROL_PLANES
from tests.plugin.conftest import ROOT, Ran, Workspace
from tests.plugin.test_way_back import cordoned, in_phase, until, watchdogs_of

NAMESPACE = "chaosfw"
DRAIN = '@cf.experiment(base.but("drained", k8s.drain(hosting=web), lasts="{lasts}"))\ndef test_drain(chaos):\n    chaos.run()\n'
REAL = """
[tool.chaosfw]
environment = "staging"
defaults = { baseline = "1s", lasts = "1s", stable_for = "1s", recover_within = "3s", probe_every = "200ms" }

[tool.chaosfw.environments.staging]
context = "CONTEXT"
server = "SERVER"
kubeconfig = "KUBECONFIG"
state_namespace = "NAMESPACE"
namespaces = { shop = "shop" }
limits = { pods = 3, nodes = 1 }
endpoints = { shop = "SHOP" }
"""


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def cluster(request: pytest.FixtureRequest) -> Iterator[sandbox.Sandbox]:
    """The shop, and two reapers; also where a server holds them to the rights of deploy/reaper/rights.yaml."""
    manifests = tuple(sorted((ROOT / "deploy" / "shop").glob("*.yaml")))
    manifests += tuple(ROOT / "deploy" / "reaper" / f"{name}.yaml" for name in ("namespace", "rights", "deployment"))
    images = {"chaosfw/reaper": "python -m chaosfw"}
    spec = sandbox.SandboxSpec(manifests=manifests, images=images, workdir=ROOT, control_plane=request.param)
    with sandbox.start(spec, timeout=120.0) as started:
        until(lambda: reapers.known(Cluster(str(started.kubeconfig)), namespace=NAMESPACE), "a reaper shows life")
        yield started


@pytest.fixture
def workspace(workspace: Workspace, cluster: sandbox.Sandbox) -> Workspace:
    """As for a real cluster: by kubeconfig, and nothing on this host is relied on."""
    context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
    given = {"CONTEXT": context, "SERVER": cluster.server, "KUBECONFIG": str(cluster.kubeconfig), "NAMESPACE": NAMESPACE}
    given["SHOP"] = cluster.endpoint("shop/myapp", port=80)
    text = REAL
    for name, value in given.items():
        text = text.replace(name, value)
    workspace.write("pyproject.toml", text)
    workspace.variables["XDG_STATE_HOME"] = str(workspace.path / "state")
    return workspace


def pods_of_reaper(api: Cluster) -> list[dict[str, Any]]:
    return api.items(f"/api/v1/namespaces/{NAMESPACE}/pods", labelSelector="app.kubernetes.io/component=reaper")


def told(api: Cluster) -> list[dict[str, Any]]:
    """What the reaper says on cluster-wide objects."""
    return [one for one in api.items("/api/v1/namespaces/default/events") if one["reason"] == "ChaosHealed"]


def test_a_lost_host_is_healed_from_inside_the_cluster(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Runner, watchdog and ledger gone at once, as with their machine: nobody on this host puts anything back."""
    workspace.experiments(DRAIN.format(lasts="60s"))
    api = Cluster(str(cluster.kubeconfig))
    runner = workspace.start()
    in_phase(workspace, "hold")
    (node,) = cordoned(cluster)
    for pid in watchdogs_of(runner):
        os.kill(pid, signal.SIGKILL)
    runner.kill()
    runner.communicate()
    for path in (workspace.path / "state").rglob("ledger.jsonl"):
        path.unlink()

    until(lambda: not cordoned(cluster), "the node takes pods again")
    until(lambda: not api.items(f"/api/v1/namespaces/{NAMESPACE}/configmaps", labelSelector=f"{published.LABEL}=chaosfw"), "it is done")

    annotations = api.get(f"/api/v1/nodes/{node}")["metadata"].get("annotations", {})
    assert not [name for name in annotations if name in ("chaosfw.dev/fault", "chaosfw.dev/touched")]
    (event,) = told(api)
    assert event["involvedObject"]["name"] == node
    assert "is schedulable again" in event["message"]
    assert workspace.command("audit", "--environment", "staging").code == 0


def elsewhere(workspace: Workspace, api: Cluster, namespace: str) -> None:
    """The same environment with another namespace for its state, which no reaper of ours watches."""
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    text = (workspace.path / "pyproject.toml").read_text()
    workspace.write("pyproject.toml", text.replace(f'state_namespace = "{NAMESPACE}"', f'state_namespace = "{namespace}"'))
    workspace.experiments(DRAIN.format(lasts="1s"))


def said(ran: Ran) -> str:
    """Without the line breaks of a narrow terminal."""
    return " ".join(ran.output.split())


def left(api: Cluster, cluster: sandbox.Sandbox, namespace: str) -> list[Any]:
    published_there = api.items(f"/api/v1/namespaces/{namespace}/configmaps", labelSelector=f"{published.LABEL}=chaosfw")
    return [*cordoned(cluster), *published_there]


def test_without_a_reaper_a_real_cluster_is_not_broken(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    api = Cluster(str(cluster.kubeconfig))
    elsewhere(workspace, api, "nobody")

    ran = workspace.run()

    assert ran.code == 11
    assert "no reaper shows life in nobody" in said(ran)
    assert not left(api, cluster, "nobody")


def test_a_reaper_that_gives_no_word_is_dead(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """Its sign of life is there still; whoever believed that would find out when nothing heals."""
    api = Cluster(str(cluster.kubeconfig))
    elsewhere(workspace, api, "dead")
    reapers.beat(api, namespace="dead", who="reaper gone", seconds=15)

    ran = workspace.run()

    assert ran.code == 11
    assert "reaper gone gave no word within 10 s that it watches over this run: it may be dead" in said(ran)
    assert not left(api, cluster, "dead")


def test_a_reaper_that_could_not_put_it_back_says_so(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    api = Cluster(str(cluster.kubeconfig))
    elsewhere(workspace, api, "lame")
    reapers.beat(api, namespace="lame", who="reaper lame", seconds=15)
    over = threading.Event()

    def speak() -> None:
        while not over.wait(0.05):
            reapers.vow(api, namespace="lame", who="reaper lame", revertible=())

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        ran = workspace.run()
    finally:
        over.set()
        speaker.join()

    assert ran.code == 11
    assert "reaper lame could not put everything back: it may not put back kubernetes.cordon/1" in said(ran)
    assert not left(api, cluster, "lame")


def test_a_run_beside_a_reaper_heals_itself(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    """The reaper has given its word and has nothing to do; nothing waits for it."""
    workspace.experiments(DRAIN.format(lasts="1s"))
    api = Cluster(str(cluster.kubeconfig))
    before = len(told(api))

    ran = workspace.run()

    assert ran.code == 0, said(ran)
    assert not left(api, cluster, NAMESPACE)
    assert len(told(api)) == before
