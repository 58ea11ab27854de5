"""Claims as people use them, with kubectl, on either control plane: bound, kept, of one zone, given back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaosfw.sandbox.public import Sandbox
from tests.sandbox.public.conftest import Ask

WITHIN = 90.0
KEEPS = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: keeps, namespace: default}
spec:
  serviceName: keeps
  replicas: 2
  selector: {matchLabels: {app: keeps}}
  template:
    metadata: {labels: {app: keeps}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: app, image: "db:1", ports: [{containerPort: 8000}], volumeMounts: [{name: data, mountPath: /data, subPath: part}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}, namespace: default}}
spec: {{accessModes: [{mode}], resources: {{requests: {{storage: 1Gi}}}}{more}}}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default}}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {selector}
  containers: [{{name: app, image: "db:1", volumeMounts: [{{name: data, mountPath: /data}}]}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]
"""
WRITES = "import json, os; print(json.loads(os.environ['CHAOSFW_VOLUMES'])['/data'], end='')"


@pytest.fixture
def clean(ask: Ask) -> Iterator[None]:
    yield
    for kind in ("statefulset/keeps", "deployment/keeps"):
        ask("delete", kind, "--ignore-not-found", "--wait")
    names = json.loads(ask("get", "pods", "-o", "json").stdout)["items"]
    mine = [pod["metadata"]["name"] for pod in names if any("persistentVolumeClaim" in one for one in pod["spec"].get("volumes", ()))]
    if mine:
        ask("delete", "pod", *mine, "--wait", "--ignore-not-found", "--timeout=60s")
    ask("delete", "pvc", "--all", "--wait", "--timeout=60s")
    ask("delete", "pv", "--all", "--wait", "--timeout=60s")


def until(look: Callable[[], bool], told: Callable[[], str]) -> None:
    deadline = time.monotonic() + WITHIN
    while not look():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def get(ask: Ask, *what: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(ask("get", *what, "-o", "json").stdout or "{}")
    return found


def path(ask: Ask, *what: str, at: str) -> str:
    return ask("get", *what, "-o", f"jsonpath={{{at}}}").stdout


def event(ask: Ask, about: str, reason: str) -> str:
    return ask(
        "get", "events", "--field-selector", f"involvedObject.name={about},reason={reason}", "-o", "jsonpath={.items[*].message}"
    ).stdout


def data_of(ask: Ask, pod: str) -> Path:
    found = ask("exec", pod, "--", "python3", "-c", WRITES)
    assert found.returncode == 0, found.stderr
    return Path(found.stdout)


@pytest.mark.usefixtures("clean")
def test_members_find_their_files_again_and_others_do_not(ask: Ask) -> None:
    assert ask("apply", "-f", "-", given=KEEPS).returncode == 0
    rolled = ask("rollout", "status", "sts/keeps", "--timeout=90s")
    assert rolled.returncode == 0, rolled.stderr
    first, second = data_of(ask, "keeps-0"), data_of(ask, "keeps-1")
    assert first.is_dir() and first.name == "part"
    (first / "note").write_text("mine")

    before = path(ask, "pod", "keeps-0", at=".metadata.uid")
    assert ask("delete", "pod", "keeps-0", "--wait").returncode == 0
    until(lambda: path(ask, "pod", "keeps-0", at=".metadata.uid") not in ("", before), lambda: "no new member")
    assert ask("wait", "--for=condition=Ready", "pod/keeps-0", "--timeout=60s").returncode == 0

    assert first != second
    assert (data_of(ask, "keeps-0") / "note").read_text() == "mine"
    assert not (second / "note").exists()
    for number in (0, 1):
        claim = f"data-keeps-{number}"
        assert path(ask, "pvc", claim, at=".status.phase") == "Bound"
        assert path(ask, "pvc", claim, at=".status.capacity.storage") == "1Gi"
        assert path(ask, "pvc", claim, at=".spec.storageClassName") == "standard"


@pytest.mark.usefixtures("clean")
def test_a_volume_goes_with_its_claim_and_not_while_a_pod_has_it(ask: Ask) -> None:
    assert ask("apply", "-f", "-", given=CLAIM.format(name="own", mode="ReadWriteOnce", more="")).returncode == 0
    until(lambda: "waiting for first consumer" in event(ask, "own", "WaitForFirstConsumer"), lambda: "no event")
    assert path(ask, "pvc", "own", at=".status.phase") == "Pending"
    assert ask("apply", "-f", "-", given=POD.format(name="user", claim="own", selector="{}")).returncode == 0
    assert ask("wait", "--for=condition=Ready", "pod/user", "--timeout=60s").returncode == 0
    volume, place = path(ask, "pvc", "own", at=".spec.volumeName"), data_of(ask, "user")

    assert ask("delete", "pvc", "own", "--wait=false").returncode == 0
    assert place.is_dir()
    assert path(ask, "pvc", "own", at=".status.phase") == "Bound"
    assert ask("delete", "pod", "user", "--wait").returncode == 0

    assert ask("wait", "--for=delete", "pvc/own", f"pv/{volume}", "--timeout=60s").returncode == 0
    until(lambda: not place.exists(), lambda: f"{place} is there")


@pytest.mark.usefixtures("clean")
def test_a_pod_cannot_leave_the_zone_of_its_volume(ask: Ask, shop: Sandbox) -> None:
    nodes = shop.nodes
    here = min(nodes.values())
    elsewhere = next(node for node, zone in sorted(nodes.items()) if zone != here)
    ask("apply", "-f", "-", given=CLAIM.format(name="pinned", mode="ReadWriteOnce", more=""))
    ask("apply", "-f", "-", given=POD.format(name="first", claim="pinned", selector=f"{{topology.kubernetes.io/zone: {here}}}"))
    assert ask("wait", "--for=condition=Ready", "pod/first", "--timeout=60s").returncode == 0
    ask("delete", "pod", "first", "--wait")

    ask("apply", "-f", "-", given=POD.format(name="second", claim="pinned", selector=f"{{kubernetes.io/hostname: {elsewhere}}}"))

    words = "node(s) didn't match PersistentVolume's node affinity"
    until(lambda: words in event(ask, "second", "FailedScheduling"), lambda: event(ask, "second", "FailedScheduling"))
    assert path(ask, "pod", "second", at=".spec.nodeName") == ""
    ask("delete", "pod", "second", "--wait")
    ask("apply", "-f", "-", given=POD.format(name="third", claim="pinned", selector="{}"))
    assert ask("wait", "--for=condition=Ready", "pod/third", "--timeout=60s").returncode == 0
    assert nodes[path(ask, "pod", "third", at=".spec.nodeName")] == here


@pytest.mark.usefixtures("clean")
def test_one_that_many_may_write_is_everywhere(ask: Ask, shop: Sandbox) -> None:
    first, last = min(shop.nodes), max(shop.nodes)
    ask("apply", "-f", "-", given=CLAIM.format(name="shared", mode="ReadWriteMany", more=""))
    for name, node in (("one", first), ("other", last)):
        ask("apply", "-f", "-", given=POD.format(name=name, claim="shared", selector=f"{{kubernetes.io/hostname: {node}}}"))
    assert ask("wait", "--for=condition=Ready", "pod/one", "pod/other", "--timeout=60s").returncode == 0

    (data_of(ask, "one") / "note").write_text("for all")

    assert (data_of(ask, "other") / "note").read_text() == "for all"


@pytest.mark.usefixtures("clean")
def test_a_volume_that_people_made_is_bound_kept_and_not_given_again(ask: Ask) -> None:
    made = """
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteOnce], storageClassName: "", hostPath: {path: /srv/disk}}
"""
    none = ', storageClassName: ""'
    assert ask("apply", "-f", "-", given=made).returncode == 0
    until(lambda: path(ask, "pv", "disk", at=".status.phase") == "Available", lambda: str(get(ask, "pv", "disk")))
    ask("apply", "-f", "-", given=CLAIM.format(name="a", mode="ReadWriteOnce", more=none))
    until(lambda: path(ask, "pvc", "a", at=".status.phase") == "Bound", lambda: str(get(ask, "pvc", "a")))
    ask("apply", "-f", "-", given=CLAIM.format(name="b", mode="ReadWriteOnce", more=none))

    until(lambda: "no persistent volumes available" in event(ask, "b", "FailedBinding"), lambda: "no event")
    assert path(ask, "pvc", "a", at=".status.capacity.storage") == "5Gi"
    assert path(ask, "pv", "disk", at=".spec.claimRef.name") == "a"
    ask("delete", "pvc", "a", "--wait")
    until(lambda: path(ask, "pv", "disk", at=".status.phase") == "Released", lambda: str(get(ask, "pv", "disk")))
    assert path(ask, "pvc", "b", at=".status.phase") == "Pending"


@pytest.mark.usefixtures("clean")
def test_what_is_missing_is_told(ask: Ask) -> None:
    ask("apply", "-f", "-", given=POD.format(name="hopes", claim="absent", selector="{}"))
    ask("apply", "-f", "-", given=CLAIM.format(name="wrong", mode="ReadWriteOnce", more=", storageClassName: gold"))

    missing = 'persistentvolumeclaim "absent" not found'
    until(lambda: missing in event(ask, "hopes", "FailedScheduling"), lambda: event(ask, "hopes", "FailedScheduling"))
    until(lambda: '"gold" not found' in event(ask, "wrong", "ProvisioningFailed"), lambda: event(ask, "wrong", "ProvisioningFailed"))
    ask("apply", "-f", "-", given=CLAIM.format(name="absent", mode="ReadWriteOnce", more=""))
    assert ask("wait", "--for=condition=Ready", "pod/hopes", "--timeout=60s").returncode == 0


@pytest.mark.usefixtures("clean")
def test_a_volume_of_one_pod_goes_with_it(ask: Ask) -> None:
    template = "{spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}"
    own = POD.format(name="alone", claim="-", selector="{}").replace(
        "persistentVolumeClaim: {claimName: -}", f"ephemeral: {{volumeClaimTemplate: {template}}}"
    )
    assert ask("apply", "-f", "-", given=own).returncode == 0

    assert ask("wait", "--for=condition=Ready", "pod/alone", "--timeout=60s").returncode == 0
    place = data_of(ask, "alone")
    assert place.is_dir()
    assert path(ask, "pvc", "alone-data", at=".status.phase") == "Bound"
    ask("delete", "pod", "alone", "--wait")
    assert ask("wait", "--for=delete", "pvc/alone-data", "--timeout=60s").returncode == 0
    until(lambda: not place.exists(), lambda: f"{place} is there")


@pytest.mark.usefixtures("clean")
def test_a_claim_whose_volume_has_gone_is_lost(ask: Ask) -> None:
    ask("apply", "-f", "-", given=CLAIM.format(name="own", mode="ReadWriteOnce", more=""))
    ask("apply", "-f", "-", given=POD.format(name="user", claim="own", selector="{}"))
    assert ask("wait", "--for=condition=Ready", "pod/user", "--timeout=60s").returncode == 0
    volume = path(ask, "pvc", "own", at=".spec.volumeName")

    ask("delete", "pv", volume, "--wait=false")
    ask("patch", "pv", volume, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')

    until(lambda: path(ask, "pvc", "own", at=".status.phase") == "Lost", lambda: str(get(ask, "pvc", "own")))
    assert "Data on the volume is lost" in event(ask, "own", "ClaimLost")
