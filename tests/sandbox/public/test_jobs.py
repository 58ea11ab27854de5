"""Jobs as people use them, with kubectl, on either control plane: pods are processes that end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES
from tests.sandbox.public.conftest import SLOW, Ask


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def batch(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox in which the image ``tool`` runs what its container says."""
    with start(SandboxSpec(images={"tool": ""}, control_plane=request.param), timeout=SLOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ask(batch: Sandbox, kubectl: str) -> Ask:
    environment = {"KUBECONFIG": str(batch.kubeconfig), "HOME": str(batch.directory), "PATH": os.environ["PATH"]}

    def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([kubectl, *arguments], env=environment, input=given, capture_output=True, text=True, timeout=90)

    return run


def make(ask: Ask, name: str, script: str, **spec: object) -> None:
    container = {"name": "app", "image": "tool", "command": ["sh", "-c", script]}
    template = {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template, **spec}}
    done = ask("create", "-f", "-", given=json.dumps(body))
    assert done.returncode == 0, done.stderr


def over(ask: Ask, name: str, condition: str) -> None:
    done = ask("wait", f"job/{name}", f"--for=condition={condition}", "--timeout=60s")
    assert done.returncode == 0, done.stderr


def status(ask: Ask, name: str) -> dict[str, object]:
    found = json.loads(ask("get", "job", name, "-o", "json").stdout)["status"]
    assert isinstance(found, dict)
    return found


def pods(ask: Ask, name: str) -> list[str]:
    return ask("get", "pods", "-l", f"job-name={name}", "-o", "jsonpath={.items[*].metadata.name}").stdout.split()


def test_a_stand_in_has_done_its_job_at_once(ask: Ask) -> None:
    assert ask("create", "job", "done", "--image=migration:1").returncode == 0
    over(ask, "done", "complete")
    assert ask("logs", "job/done").stdout.endswith(": done\n")
    assert ask("get", "job", "done", "--no-headers").stdout.split()[:3] == ["done", "Complete", "1/1"]


def test_each_pod_of_an_indexed_job_knows_which_it_is(ask: Ask) -> None:
    make(ask, "parts", "echo part $JOB_COMPLETION_INDEX on $HOSTNAME", completions=3, parallelism=3, completionMode="Indexed")
    over(ask, "parts", "complete")
    told = "".join(ask("logs", pod).stdout for pod in pods(ask, "parts"))
    assert sorted(told.splitlines()) == [f"part {number} on parts-{number}" for number in range(3)]
    assert status(ask, "parts")["completedIndexes"] == "0-2"


def test_one_failure_too_many_is_told_with_its_reason(ask: Ask) -> None:
    make(ask, "broken", "echo cannot migrate >&2; exit 3", backoffLimit=0)
    over(ask, "broken", "failed")
    assert status(ask, "broken")["failed"] == 1
    described = ask("describe", "job", "broken").stdout
    assert "BackoffLimitExceeded" in described
    assert "0 Active (0 Ready) / 0 Succeeded / 1 Failed" in described
    assert ask("logs", "job/broken").stdout == "cannot migrate\n"


def test_a_killed_pod_is_counted_and_replaced_after_the_back_off(ask: Ask) -> None:
    make(ask, "long", "sleep 600")
    first = ask("wait", "pod", "-l", "job-name=long", "--for=condition=ready", "--timeout=60s", "-o", "name").stdout.strip()
    assert ask("delete", first, "--timeout=60s").returncode == 0
    assert ask("wait", "job/long", "--for=jsonpath={.status.failed}=1", "--timeout=60s").returncode == 0
    assert ask("wait", "job/long", "--for=jsonpath={.status.ready}=1", "--timeout=60s").returncode == 0
    assert pods(ask, "long") != [first.removeprefix("pod/")]
    assert ask("delete", "job", "long", "--timeout=60s").returncode == 0
    assert ask("wait", "pod", "-l", "job-name=long", "--for=delete", "--timeout=60s").returncode == 0


def test_a_cron_job_can_be_run_by_hand(ask: Ask) -> None:
    assert ask("create", "cronjob", "nightly", "--image=report:1", "--schedule=0 3 1 1 *").returncode == 0
    assert ask("create", "job", "tonight", "--from=cronjob/nightly").returncode == 0
    over(ask, "tonight", "complete")
    assert ask("delete", "cronjob", "nightly").returncode == 0


def test_a_job_without_an_end_is_refused(ask: Ask) -> None:
    template = {"spec": {"containers": [{"name": "app", "image": "tool"}]}}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "ever"}, "spec": {"template": template}}
    refused = ask("create", "-f", "-", given=json.dumps(body))
    assert refused.returncode == 1
    words = 'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    assert refused.stderr == f'The Job "ever" is invalid: {words}\n'


def test_deleting_one_says_what_becomes_of_its_pods(ask: Ask) -> None:
    make(ask, "left", "true")
    over(ask, "left", "complete")
    raw = ask("delete", "--raw", "/apis/batch/v1/namespaces/default/jobs/left")
    assert "child pods are preserved by default when jobs are deleted" in raw.stderr
    assert ask("wait", "job/left", "--for=delete", "--timeout=60s").returncode == 0
    assert len(pods(ask, "left")) == 1
