"""What people do with kubectl, on either control plane: the same exit codes, and the same words where words are asked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import Ask

WORK = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: work, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: work}}
  template:
    metadata: {labels: {app: work}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - {name: app, image: "work:1", ports: [{containerPort: 8000}]}
"""


@pytest.fixture
def work(ask: Ask) -> Iterator[None]:
    assert ask("apply", "-f", "-", given=WORK).stdout == "deployment.apps/work created\n"
    assert ask("rollout", "status", "deploy/work", "--timeout=60s").returncode == 0
    yield
    assert ask("delete", "deploy", "work", "--wait").returncode == 0
    assert ask("wait", "--for=delete", "pod", "-l", "app=work", "--timeout=60s").returncode == 0


def image(ask: Ask) -> str:
    return ask("get", "deploy", "work", "-o", "jsonpath={.spec.template.spec.containers[0].image}").stdout


def test_apply_says_what_it_did(ask: Ask, work: None) -> None:
    same = ask("apply", "-f", "-", given=WORK)
    other = ask("apply", "-f", "-", given=WORK.replace("replicas: 2", "replicas: 1"))

    assert same.stdout == "deployment.apps/work unchanged\n"
    assert other.stdout == "deployment.apps/work configured\n"


def test_a_rollout_is_undone(ask: Ask, work: None) -> None:
    assert ask("set", "image", "deploy/work", "app=work:2").stdout == "deployment.apps/work image updated\n"
    assert ask("rollout", "status", "deploy/work", "--timeout=60s").returncode == 0
    history = ask("rollout", "history", "deploy/work").stdout
    undone = ask("rollout", "undo", "deploy/work")

    assert history.split()[-4:] == ["1", "<none>", "2", "<none>"]
    assert undone.stdout == "deployment.apps/work rolled back\n"
    assert image(ask) == "work:1"
    assert ask("rollout", "status", "deploy/work", "--timeout=60s").returncode == 0


def test_a_difference_has_its_own_exit_code(ask: Ask, work: None) -> None:
    none, some = ask("diff", "-f", "-", given=WORK), ask("diff", "-f", "-", given=WORK.replace("work:1", "work:2"))

    assert (none.returncode, none.stdout) == (0, "")
    assert some.returncode == 1
    assert "-        image: work:1" in some.stdout.replace("- image", "  image")
    assert "+        image: work:2" in some.stdout.replace("- image", "  image")
    assert image(ask) == "work:1"


def test_it_waits_for_what_comes_and_tells_what_does_not(ask: Ask, work: None) -> None:
    there = ask("wait", "--for=condition=available", "deploy/work", "--timeout=60s")
    never = ask("wait", "--for=jsonpath={.status.readyReplicas}=7", "deploy/work", "--timeout=1s")

    assert there.stdout == "deployment.apps/work condition met\n"
    assert (never.returncode, never.stderr) == (1, "error: timed out waiting for the condition on deployments/work\n")


def test_scale_may_be_told_what_to_expect(ask: Ask, work: None) -> None:
    assert ask("scale", "deploy/work", "--replicas=1").stdout == "deployment.apps/work scaled\n"
    wrong = ask("scale", "deploy/work", "--current-replicas=5", "--replicas=1")

    assert wrong.returncode == 1
    assert "Expected replicas to be 5, was 1" in wrong.stderr


def test_logs_are_followed_to_the_end(ask: Ask, work: None, shop: Sandbox, kubectl: str) -> None:
    """What it says comes while it runs, and its end is the end of the log."""
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}
    pod = ask("get", "pods", "-l", "app=work", "-o", "jsonpath={.items[0].metadata.name}").stdout
    with subprocess.Popen([kubectl, "logs", "-f", pod], env=environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        said = following.stdout.readline()
        running = following.poll() is None
        assert ask("delete", "pod", pod, "--wait=false").returncode == 0
        code = following.wait(60)

    assert "serving" in said
    assert running
    assert code == 0
