"""k6 in pods of a TestRun, under the real operator and either control plane: what comes back, and what is left."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosfw.assembly.loads import load_driver
from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.drivers.kubernetes.test_runs import GROUP, TestRun
from chaosfw.errors import DriverError
from chaosfw.load.child import ChildRun
from chaosfw.load.k6.pods import compared
from chaosfw.model.load import Endpoint, Load, Outcome, Script
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES, KUBERNETES
from chaosfw.testing.clock import FakeClock
from tests.load.conftest import K6, Server, ended, rows, wait_for

OPERATOR = Path("~/.cache/chaosfw/k6-operator-0.0.19").expanduser()
IMAGES = {f"ghcr.io/grafana/k6-operator:latest-{kind}": "" for kind in ("runner", "starter")}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "load"}}

# What the images hold: in the sandbox mounts are where a variable says, and each pod has an address of its own.
WRAPPED_K6 = """#!/usr/bin/env python3
import json, os, sys
volumes = json.loads(os.environ.get("CHAOSFW_VOLUMES", "{}"))
def placed(word):
    for mount, place in volumes.items():
        if word.startswith(mount + "/"):
            return place + word[len(mount):]
    return word.replace("0.0.0.0:", os.environ["POD_IP"] + ":")
os.execv(%r, ["k6", *map(placed, sys.argv[1:])])
"""
WRAPPED_CURL = '#!/bin/sh\nexec %s -x "$CHAOSFW_PROXY" "$@"\n'
"""The addresses of services are recorded ones."""

ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
"""Where the operator reads its pod's account, wherever it runs: so it gets a ``/run`` of its own."""

USERS = 4
SCRIPT = """
import http from 'k6/http';
import { check, sleep } from 'k6';
export const options = { discardResponseBodies: true };
export default function () {
  const res = http.get(`${__ENV.TARGET}${__ENV.ASKED}`, { timeout: '500ms' });
  check(res, { 'is good': (r) => r.status === 200 });
  sleep(0.02);
}
"""


SHOP = Path(__file__).parents[2] / "deploy" / "shop"
SETTINGS = """
[tool.chaosfw]
environment = "sandbox"
k6 = "K6_BINARY"
defaults = { baseline = "2s", lasts = "60s", recover_within = "20s" }

[tool.chaosfw.environments.sandbox]
manifests = ["SHOP/*.yaml"]
endpoints = { shop = "service/shop/myapp:80" }
"""
ARRIVALS = """
import http from 'k6/http';
const all = { executor: 'constant-arrival-rate', rate: 40, timeUnit: '1s', duration: '10m', preAllocatedVUs: 50 };
export const options = { discardResponseBodies: true, scenarios: { all } };
export default function () { http.get(`${__ENV.TARGET}/`, { timeout: '1s' }); }
"""
EXPERIMENT = """
import chaosfw as cf
from chaosfw.faults import kubernetes as k8s

web = k8s.deployment("myapp", namespace="shop")
base = cf.Experiment(steady_state=cf.Hypothesis("the shop serves", cf.http("shop", path="/health")))
load = cf.k6("load.js", at="shop", pods=1, namespace="load", timeout="1s")


@cf.experiment(base.but("Shoppers survive losing a pod", k8s.kill(web, count=1), load=load))
def test_it(chaos: cf.Chaos) -> None:
    chaos.run()
"""


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """With the operator at work."""
    made = tmp_path_factory.mktemp("images")
    programs = {"k6": WRAPPED_K6 % str(K6["2.0.0"]), "curl": WRAPPED_CURL % "/usr/bin/curl"}
    for name, text in programs.items():
        (made / name).write_text(text)
        (made / name).chmod(0o755)
    crds = tuple(sorted((OPERATOR / "crds").iterdir()))
    path = os.environ["PATH"]
    os.environ["PATH"] = f"{made}:{path}"
    try:
        sandbox = start(SandboxSpec(nodes=2, zones=("a", "b"), control_plane=request.param, manifests=crds, images=IMAGES))
    finally:
        os.environ["PATH"] = path
    with sandbox:
        sandbox.apply([NAMESPACE])
        until(lambda: TestRun(Cluster(str(sandbox.kubeconfig)), "load", "none").unfit() is None)  # served a moment after the CRD is there
        with (made / "operator.log").open("wb") as log, operating(sandbox, log) as operator:
            try:
                yield sandbox
            finally:
                operator.terminate()
                operator.wait()


def operating(sandbox: Sandbox, log: Any) -> subprocess.Popen[bytes]:
    host, port = sandbox.server.removeprefix("https://").split(":")
    env = {**sandbox.env(), "HTTP_PROXY": sandbox.proxy, "KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    words = [str(OPERATOR / "manager"), "-health-addr", "127.0.0.1:0", "-metrics-addr", "127.0.0.1:0"]
    account = f"mkdir -p {ACCOUNT} && cat > {ACCOUNT}/token && cp {shlex.quote(str(sandbox.ca))} {ACCOUNT}/ca.crt"
    shell = f"mount -t tmpfs none /run && {account} && exec {shlex.join(words)} </dev/null"
    child = subprocess.Popen(["unshare", "-rm", "sh", "-c", shell], env=env, stdin=subprocess.PIPE, stdout=log, stderr=log)
    assert child.stdin is not None
    child.stdin.write(sandbox.token.encode())
    child.stdin.close()
    return child


def begin(
    sandbox: Sandbox,
    out: Path,
    *,
    url: str,
    text: str = SCRIPT,
    pods: int = 2,
    asked: str = "/ok",
    users: int = USERS,
    here: dict[str, str] | None = None,
    node_selector: dict[str, str] | None = None,
) -> ChildRun:
    (out / "script.js").write_text(text)
    env = {"ASKED": asked, "WORDS": "with spaces", **(here or {})}
    script = Script(file="script.js", users=users, pods=pods, namespace="load", env=env, node_selector=node_selector or {})
    load = Load(endpoint="shop", rate=0.0, timeout=0.5, driver="k6", script=script)
    driver = load_driver("k6", root=out, k6=str(K6["2.0.0"]), kubeconfig=str(sandbox.kubeconfig))
    run = driver.start(load, at=Endpoint(name="shop", url=url), out=out, seconds=20.0)
    assert isinstance(run, ChildRun)
    return run


def left(sandbox: Sandbox) -> list[str]:
    """What of ours is there; the script's config map may go a little later than the TestRun that owns it."""
    api = Cluster(str(sandbox.kubeconfig))

    def scripts() -> list[Any]:
        return [one for one in api.items("/api/v1/namespaces/load/configmaps") if one["metadata"]["name"] != "kube-root-ca.crt"]

    there = [*api.items(f"{GROUP}/namespaces/load/testruns"), *api.items("/api/v1/namespaces/load/pods")]
    until(lambda: not scripts())
    return [one["metadata"]["name"] for one in there]


def test_every_request_of_every_pod_is_a_sample_and_nothing_is_left(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    run = begin(cluster, tmp_path, url=server.url)
    try:
        (made,) = Cluster(str(cluster.kubeconfig)).items(f"{GROUP}/namespaces/load/testruns")
        wait_for(run, 200)
        seal = ended(run)
    finally:
        run.kill()
    found = rows(run)
    assert made["spec"]["cleanup"] == "post"  # should we be gone, and the machine that we ran on
    assert (seal.ended, seal.lost, seal.unhealthy) == ("", 0, ())
    assert len(found) == seal.count
    unsaid = len(server.lines()) - seal.count  # what a user waits for when k6 is told to stop, long after the load was off, k6 never tells
    assert 0 <= unsaid <= USERS
    assert {Outcome(row.outcome) for row in found if row.n < seal.off} == {Outcome.ok}
    assert all(run.generator.on - 60e9 < row.sent <= row.end for row in found)
    clocks = [one for one in seal.said if "its clock is" in one]
    checks = [one for one in seal.said if "check 'is good': all" in one]
    assert (len(clocks), len(checks)) == (2, 2)
    assert left(cluster) == []


def test_pods_run_where_the_selector_says(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    run = begin(cluster, tmp_path, url=server.url, node_selector={"topology.kubernetes.io/zone": "b"})
    try:
        api = Cluster(str(cluster.kubeconfig))
        zones = {one["metadata"]["name"]: one["metadata"]["labels"]["topology.kubernetes.io/zone"] for one in api.items("/api/v1/nodes")}
        nodes = [one["spec"]["nodeName"] for one in api.items("/api/v1/namespaces/load/pods")]
        seal = ended(run)
    finally:
        run.kill()
    assert {zones[node] for node in nodes} == {"b"}
    assert len(nodes) >= 2  # the runners, and what else the operator started
    assert (seal.ended, seal.lost) == ("", 0)


def test_pods_that_no_node_takes_say_so(cluster: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "script.js").write_text(SCRIPT)
    selector = {"pool": "nowhere"}
    fleet = TestRun(Cluster(str(cluster.kubeconfig)), "load", "k6-nowhere", file=tmp_path / "script.js", node_selector=selector)
    try:
        fleet.begin()
        until(lambda: "node" in fleet.unplaced())
        assert (fleet.pods(), fleet.trouble()) == ((), "")
    finally:
        fleet.end()
    assert fleet.unplaced() == ""


def test_what_fails_is_told_as_it_is(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    run = begin(cluster, tmp_path, url=server.url, asked="/500", pods=1, users=2)
    try:
        wait_for(run, 50)
        seal = ended(run)
    finally:
        run.kill()
    assert {(Outcome(row.outcome), row.status) for row in rows(run) if row.n < seal.off} == {(Outcome.http_5xx, 500)}
    assert (seal.ended, seal.lost) == ("", 0)


def test_a_pod_that_is_lost_spoils_the_load(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    run = begin(cluster, tmp_path, url=server.url)
    api = Cluster(str(cluster.kubeconfig))
    try:
        pod = api.items("/api/v1/namespaces/load/pods", labelSelector="runner=true")[0]["metadata"]["name"]
        api.delete(f"/api/v1/namespaces/load/pods/{pod}", {"gracePeriodSeconds": 0})
        until(lambda: not run.alive())
        seal = run.wait(1.0)
    finally:
        run.kill()
    assert seal is not None
    assert seal.ended.startswith(f"pod {pod} on node-")
    assert seal.lost > 0
    assert any(pod in one and "did not come with its log" in one for one in seal.said)
    assert left(cluster) == []


def test_a_script_that_can_not_run_shows_why_and_leaves_nothing(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    text = "import http from 'k6/http';\nif (!__ENV.K6_HERE) throw new Error('not in a pod');\nexport default function () {}\n"
    (tmp_path / "script.js").write_text(text)
    with pytest.raises(DriverError, match="k6-operator could not start TestRun load/chaosfw-k6-") as caught:
        begin(cluster, tmp_path, url=server.url, text=text, here={"K6_HERE": "with a space"})
    assert "not in a pod" in caught.value.message
    assert left(cluster) == []


def test_a_script_that_ends_before_all_is_known_is_told(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    text = SCRIPT.replace("discardResponseBodies: true", "discardResponseBodies: true, scenarios: { a: { executor: 'shared-iterations' } }")
    ended_first = "k6 had ended before all pods had begun: pod "  # how, who cleans up at once does not always leave to be seen
    with pytest.raises(DriverError, match=rf"{ended_first}|pod .* had gone before its log was read: its k6 had ended"):
        begin(cluster, tmp_path, url=server.url, text=text, pods=1, users=0)
    assert left(cluster) == []


def test_a_collector_that_is_killed_leaves_nothing(cluster: Sandbox, server: Server, tmp_path: Path) -> None:
    run = begin(cluster, tmp_path, url=server.url, pods=1, users=2)
    os.kill(run.pgid, signal.SIGKILL)
    assert run.wait(60.0) is None
    assert left(cluster) == []


def test_a_run_that_is_killed_leaves_no_load(cluster: Sandbox, tmp_path: Path) -> None:
    """Nobody is there to stop it then but its collector, which no healer may kill."""
    for name, text in {"pyproject.toml": SETTINGS, "load.js": ARRIVALS, "test_it.py": EXPERIMENT}.items():
        (tmp_path / name).write_text(text.replace("K6_BINARY", str(K6["2.0.0"])).replace("SHOP", str(SHOP)))
    api = Cluster(str(cluster.kubeconfig))
    cluster.apply([SHOP])
    cluster.settle()
    with (tmp_path / "log").open("wb") as log:
        run = subprocess.Popen([sys.executable, "-m", "pytest", "-q"], cwd=tmp_path, env=cluster.env(), stdout=log, stderr=log)
        try:
            until(lambda: any(one.stat().st_size for one in tmp_path.glob("reports/*/runs/*/samples.bin")) or run.poll() is not None)
            assert run.poll() is None, (tmp_path / "log").read_text()
            assert api.items(f"{GROUP}/namespaces/load/testruns")
        finally:
            run.kill()
            run.wait()
    until(lambda: left(cluster) == [])


def until(true: Callable[[], bool], *, within: float = 90.0) -> None:
    end = time.monotonic() + within
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_can_not_be_is_said_before(cluster: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "script.js").write_text(SCRIPT)
    at = Endpoint(name="shop", url="http://127.0.0.1:9")

    def unfit(kubeconfig: str, **script: Any) -> str:
        told = Script(**{"file": "script.js", "users": 4, "pods": 2, "namespace": "load", **script})
        load = Load(endpoint="shop", rate=0.0, driver="k6", script=told)
        driver = load_driver("k6", root=tmp_path, k6=str(K6["2.0.0"]), kubeconfig=kubeconfig)
        return " ".join(sentence for sentence, _ in driver.check(load, at=at, seconds=10.0, claims=False))

    here = str(cluster.kubeconfig)
    assert unfit(here) == ""
    assert unfit(here, namespace="nowhere") == "there is no namespace 'nowhere' for the pods of k6"
    assert unfit(here, pods=5) == "4 VUs can not be shared by 5 pods"
    assert unfit("") == "pods of k6 need a cluster, and this environment has none"
    with start(SandboxSpec(nodes=1)) as bare:
        assert unfit(str(bare.kubeconfig)) == "the cluster knows no TestRun: k6-operator is not installed there"


@pytest.mark.parametrize("cluster", [KUBERNETES], indirect=True)
def test_the_role_of_the_guide_is_enough(cluster: Sandbox, tmp_path: Path) -> None:
    """Where rights are enforced. Without the role the same account is told what it may not."""
    guide = (Path(__file__).parents[2] / "docs" / "how-to" / "use-locust-or-k6.md").read_text()
    role = yaml.safe_load(re.findall(r"```yaml\n(apiVersion: rbac.*?)```", guide, re.DOTALL)[0])
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sre", "namespace": "load"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "sre", "namespace": "load"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": "sre", "namespace": "load"}],
    }
    cluster.apply([account])
    api = Cluster(str(cluster.kubeconfig))
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api.post("/api/v1/namespaces/load/serviceaccounts/sre/token", asked)["status"]["token"]
    theirs = tmp_path / "kubeconfig"
    theirs.write_text(cluster.kubeconfig.read_text().replace(cluster.token, token))
    fleet = TestRun(Cluster(str(theirs)), "load", "none")

    before = fleet.unfit()
    cluster.apply([role, binding])

    assert before is not None
    assert before[0].startswith("these credentials may not create testruns")
    until(lambda: fleet.unfit() is None)


@pytest.mark.parametrize("ahead", [0.0, 0.37, -0.001, 12.999, -86_400.5])
def test_a_clock_that_shows_seconds_is_known_to_milliseconds(ahead: float) -> None:
    clock = FakeClock()

    def second() -> int:
        clock.advance(0.0005)
        shown = (clock.wall_ns() + round(ahead * 1e9)) // 10**9
        clock.advance(0.0007)
        return shown

    low, high = compared(second, clock)

    assert low <= ahead * 1e9 <= high
    assert high - low <= 4e6
    assert sum(clock.slept) < 12


def test_a_clock_that_is_set_meanwhile_is_not_known() -> None:
    clock, shown = FakeClock(), iter([1_790_001_000, 1_790_001_001, 1_790_005_000])

    with pytest.raises(DriverError, match="was set while"):
        compared(lambda: next(shown), clock)
