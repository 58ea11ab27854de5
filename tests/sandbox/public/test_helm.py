"""
Stock helm of both majors, on either control plane: the chart that ``helm create`` makes, and one with a hook, a custom kind and claims.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import Ask

BIN = (
    Path("~/.cache/chaosfw/bin").expanduser()
    if "XDG_CACHE_HOME" not in os.environ
    else Path(os.environ["XDG_CACHE_HOME"]) / "chaosfw" / "bin"
)
VERSIONS = ("3.22.0", "4.3.1")
WAITS = ("--wait", "--timeout", "80s")
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: shelf\nversion: 0.1.0\n",
    "values.yaml": "replicas: 1\n",
    "crds/shelves.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boards.example.com}
spec:
  group: example.com
  names: {kind: Board, plural: boards, singular: board}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {length: {type: integer}}}}}
""",
    "templates/board.yaml": "apiVersion: example.com/v1\nkind: Board\nmetadata: {name: oak}\nspec: {length: {{ .Values.replicas }}}\n",
    "templates/before.yaml": """
apiVersion: batch/v1
kind: Job
metadata:
  name: before
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers: [{name: once, image: "once:1"}]
""",
    "templates/set.yaml": """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: shelf}
spec:
  serviceName: shelf
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: shelf}}
  template:
    metadata: {labels: {app: shelf}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "shelf:1", volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
""",
}

Helm = Callable[..., str]


@pytest.fixture(params=VERSIONS)
def helm(request: pytest.FixtureRequest, shop: Sandbox, tmp_path: Path) -> Iterator[Helm]:
    """What it printed; it has to succeed, unless ``fails``."""
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}

    def run(*words: str, fails: bool = False) -> str:
        done = subprocess.run(
            [str(BIN / f"helm-{request.param}"), *words], env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path
        )
        assert (done.returncode != 0) == fails, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    yield run
    for name in json.loads(run("list", "-o", "json")):
        run("uninstall", name["name"], *WAITS)


@pytest.fixture
def chart(tmp_path: Path, ask: Ask) -> Iterator[str]:
    for name, text in CHART.items():
        path = tmp_path / "shelf" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    yield "./shelf"
    ask("delete", "sts,pvc,jobs", "--all", "--wait", "--timeout=60s")
    ask("delete", "crd", "boards.example.com", "--ignore-not-found", "--wait", "--timeout=60s")


def test_a_release_from_its_first_day_to_its_last(helm: Helm, ask: Ask) -> None:
    helm("create", "web")
    helm("install", "web", "./web", *WAITS)
    assert re.search(r"web\s+default\s+1\s.*deployed\s+web-0\.1\.0", helm("list"))
    assert "STATUS: deployed" in helm("status", "web")
    assert "a name that is still in use" in helm("install", "web", "./web", fails=True)

    helm("upgrade", "web", "./web", "--set", "replicaCount=2", *WAITS)
    assert ask("get", "deployment", "web", "-o", "jsonpath={.status.availableReplicas}").stdout == "2"
    more = ("--set", "autoscaling.enabled=true,ingress.enabled=true")
    assert "kind: Ingress" in helm("upgrade", "web", "./web", *more, "--dry-run=server")
    assert ask("get", "ingress", "web").returncode != 0
    helm("upgrade", "--install", "web", "./web", *more, *WAITS)
    assert ask("get", "ingress/web", "hpa/web").returncode == 0
    assert [line.split()[0] for line in helm("history", "web").splitlines()[1:]] == ["1", "2", "3"]

    helm("rollback", "web", "1", *WAITS)
    assert ask("get", "ingress", "web").returncode != 0
    assert ask("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}").stdout == "1"
    assert re.search(r"Phase:\s+Succeeded", helm("test", "web"))
    helm("uninstall", "web", *WAITS)
    assert "web-0.1.0" not in helm("list")
    assert ask("get", "deployment,service,serviceaccount", "-l", "app.kubernetes.io/instance=web", "-o", "name").stdout == ""
    ask("delete", "pod", "web-test-connection", "--ignore-not-found", "--wait")


def test_hooks_kinds_of_its_own_and_claims(helm: Helm, ask: Ask, chart: str) -> None:
    helm("install", "shelf", chart, *WAITS)

    assert ask("logs", "job/before").stdout.endswith(": done\n")
    assert ask("get", "board", "oak", "-o", "jsonpath={.spec.length}").stdout == "1"
    assert ask("get", "pvc", "data-shelf-0", "-o", "jsonpath={.status.phase}").stdout == "Bound"
    helm("upgrade", "shelf", chart, "--set", "replicas=2", *WAITS)
    assert ask("get", "board", "oak", "-o", "jsonpath={.spec.length}").stdout == "2"
    assert ask("get", "sts", "shelf", "-o", "jsonpath={.status.readyReplicas}").stdout == "2"
    helm("uninstall", "shelf", *WAITS)
    claims = json.loads(ask("get", "pvc", "-o", "json").stdout)["items"]
    assert sorted(claim["metadata"]["name"] for claim in claims) == ["data-shelf-0", "data-shelf-1"]  # they outlive the set


def test_one_that_does_not_come_up_is_taken_back(helm: Helm, ask: Ask) -> None:
    helm("create", "web")
    helm("install", "web", "./web", *WAITS)
    back = "--rollback-on-failure" if "rollback-on-failure" in helm("upgrade", "--help") else "--atomic"

    told = helm("upgrade", "web", "./web", "--set", "nodeSelector.disk=none", "--wait", "--timeout", "3s", back, fails=True)

    assert "web" in told
    assert re.search(r"web\s+default\s+3\s.*deployed", helm("list"))
    assert ask("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.nodeSelector}").stdout in ("", "{}")
    helm("uninstall", "web", *WAITS)
