"""The public face against a running sandbox with the shop in it."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from chaosfw.errors import SandboxError
from chaosfw.sandbox.public import LinkFault, Sandbox, SandboxSpec, env, start, status
from chaosfw.timing import SYSTEM


def zones_of(sandbox: Sandbox) -> Counter[str]:
    """Where the shop's pods stand, as an outside client sees it."""
    url = sandbox.endpoint("shop/myapp")
    answers = [json.load(urllib.request.urlopen(url)) for _ in range(60)]
    return Counter(zone for _, zone in {(answer["pod"], answer["zone"]) for answer in answers})


def test_the_shop_has_a_pod_in_every_zone(settled: Sandbox) -> None:
    assert zones_of(settled) == {"zone-a": 1, "zone-b": 1, "zone-c": 1}
    assert settled.zones == ("zone-a", "zone-b", "zone-c")
    assert settled.nodes == {"node-1": "zone-a", "node-2": "zone-b", "node-3": "zone-c"}


def test_the_shop_is_configured(settled: Sandbox) -> None:
    """Config map and secret reach the process."""
    pods = settled._items("/api/v1/namespaces/shop/pods")
    env = {entry["name"] for entry in pods[0]["spec"]["containers"][0]["env"]}
    assert {"DATABASE_URL", "POD_NAME"} == env
    assert {condition["status"] for condition in pods[0]["status"]["conditions"]} == {"True"}


def test_settling_spreads_pods_again_after_a_drained_zone(settled: Sandbox, kubectl: str) -> None:
    """Kubernetes does not: after the drain two zones hold three pods, and uncordoning changes nothing."""
    environment = {"KUBECONFIG": str(settled.kubeconfig), "HOME": str(settled.directory), "PATH": os.environ["PATH"]}
    drain = [kubectl, "drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=30s"]
    subprocess.run(drain, env=environment, check=True, capture_output=True, timeout=60)
    settled.settle()
    assert zones_of(settled).keys() == {"zone-a", "zone-c"}

    subprocess.run([kubectl, "uncordon", "node-2"], env=environment, check=True, capture_output=True, timeout=60)
    settled.settle()

    assert zones_of(settled) == {"zone-a": 1, "zone-b": 1, "zone-c": 1}


def test_exposure_says_which_pods_were_in_use(settled: Sandbox) -> None:
    mark = SYSTEM.monotonic_ns()
    url = settled.endpoint("myapp", namespace="shop", port="http")
    answered = Counter(urllib.request.urlopen(url).headers["X-Chaosfw-Pod"] for _ in range(30))

    exposed = settled.exposure(mark)

    assert {row.name: row.new for row in exposed} == dict(answered)
    assert all(row.service == "myapp" and row.namespace == "shop" and mark < row.first_ns <= row.last_ns for row in exposed)
    assert {row.uid for row in exposed} <= {pod["metadata"]["uid"] for pod in settled._items("/api/v1/namespaces/shop/pods")}


def test_links_break_by_place_and_heal(settled: Sandbox) -> None:
    """Outside clients are cut off from one zone; then nothing is left of it."""
    settled.break_links([LinkFault(kind="refuse", source={"node": "outside"}, destination={"zone": "zone-a"})])
    assert zones_of(settled) == {"zone-b": 1, "zone-c": 1}

    settled.break_links([])

    assert zones_of(settled) == {"zone-a": 1, "zone-b": 1, "zone-c": 1}
    with pytest.raises(SandboxError, match="a link is selected by node, zone"):
        settled.break_links([LinkFault(kind="stall", source={"planet": "earth"})])


def test_lateness_has_a_figure_for_each_server(settled: Sandbox) -> None:
    figures = settled.lateness()

    assert figures.keys() == {"control", "dataplane"}
    assert all(0 <= row["p50"] <= row["p99"] <= row["max"] for row in figures.values())


def test_an_endpoint_that_is_not_there_names_what_is(settled: Sandbox) -> None:
    with pytest.raises(SandboxError, match=r"no service 'shop' in namespace 'shop'; there: myapp"):
        settled.endpoint("shop/shop")
    with pytest.raises(SandboxError, match=r"service shop/myapp has no port 81; it has: 80 http"):
        settled.endpoint("shop/myapp", port=81)


def test_the_environment_leads_other_programs_here(settled: Sandbox) -> None:
    variables = env(settled.directory)

    assert variables["KUBECONFIG"] == str(settled.kubeconfig)
    assert variables["CHAOSFW_SANDBOX"] == str(settled.directory)
    assert variables["CHAOSFW_ENDPOINT_SHOP_MYAPP"] == settled.endpoint("shop/myapp")


def test_status_tells_no_secrets(settled: Sandbox) -> None:
    told = status(settled.directory)

    assert told["leases"] == 1
    assert settled.token not in json.dumps(told)


def test_what_does_not_settle_is_named(settled: Sandbox) -> None:
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "never", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "never"}},
            "template": {
                "metadata": {"labels": {"app": "never"}, "annotations": {"chaosfw.dev/ready-after": "10m"}},
                "spec": {
                    "containers": [
                        {"name": "web", "image": "x", "readinessProbe": {"httpGet": {"port": 8000}}, "ports": [{"containerPort": 8000}]}
                    ]
                },
            },
        },
    }
    settled.apply([deployment])

    with pytest.raises(SandboxError, match="deployment shop/never: 0 of 1 available"):
        settled.settle(timeout=0.3)
    settled._api.call("DELETE", "/apis/apps/v1/namespaces/shop/deployments/never")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod", r"an object needs apiVersion and kind"),
        ("apiVersion: v1\nkind: Pod", r"Pod has no metadata\.name"),
        ("apiVersion: v1\nkind: Unicorn\nmetadata: {name: u}", r"does not serve Unicorn in v1"),
        ("a: [", r"not YAML"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: shop}\nspec: {}", r"Deployment shop/d: .*spec\.selector"),
    ],
)
def test_a_wrong_manifest_is_named_with_its_file(settled: Sandbox, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)

    with pytest.raises(SandboxError, match=rf"wrong\.yaml: .*{message}|wrong\.yaml: {message}"):
        settled.apply([path])


def test_applying_again_changes_what_changed(settled: Sandbox) -> None:
    def config(value: str) -> dict[str, object]:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "again"}, "data": {"key": value}}

    settled.apply([config("one")])
    settled.apply([config("two")])

    assert settled._api.get("/api/v1/namespaces/default/configmaps/again")["data"] == {"key": "two"}


def test_images_run_the_users_own_command(tmp_path: Path) -> None:
    """A web server that binds 0.0.0.0:8000, three times on one machine, each on its pod's address."""
    (tmp_path / "shopfront.py").write_text(
        "import http.server, os\n"
        "class Page(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = os.environ['HOSTNAME'].encode()\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n"
        "http.server.ThreadingHTTPServer(('0.0.0.0', 8000), Page).serve_forever()\n"
    )
    manifests = Path(__file__).parents[3] / "deploy" / "shop"
    spec = SandboxSpec(manifests=(manifests,), images={"acme/web": "python -m shopfront"}, workdir=tmp_path)

    with start(spec) as sandbox:
        names = {urllib.request.urlopen(sandbox.endpoint("shop/myapp")).read().decode() for _ in range(60)}

        assert names == {pod["metadata"]["name"] for pod in sandbox._items("/api/v1/namespaces/shop/pods")}
        assert len(names) == 3
