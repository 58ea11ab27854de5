"""What the kubelet makes of pods: real processes behind a real API server, seen through it."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosfw.sandbox.client.verbs import ApiError
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.timing import SYSTEM, nanoseconds, seconds

SHELL = {"shell": ""}
"""Containers of this image run their own command."""


class Cluster:
    """The API as these tests use it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._api = sandbox._api

    def pod(self, name: str, *containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any) -> None:
        made = [{"name": f"c{i}", "image": "shell", **container} for i, container in enumerate(containers)]
        meta = {"name": name, "annotations": annotations or {}, "labels": {"app": name}}
        self.sandbox.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": made, **spec}}])

    def get(self, name: str) -> dict[str, Any]:
        return self._api.get(f"/api/v1/namespaces/default/pods/{name}")

    def status(self, name: str) -> dict[str, Any]:
        status: dict[str, Any] = self.get(name)["status"]
        return status

    def container(self, name: str, index: int = 0) -> dict[str, Any]:
        """Its status; empty as long as there is none."""
        found = self.status(name).get("containerStatuses") or [{}] * 9
        status: dict[str, Any] = found[index]
        return status

    def delete(self, name: str, **options: Any) -> None:
        self._api.call("DELETE", f"/api/v1/namespaces/default/pods/{name}", options)

    def is_gone(self, name: str) -> bool:
        try:
            self.get(name)
        except ApiError as error:
            return error.code == 404
        return False

    def is_ready(self, name: str) -> bool:
        return any(c["type"] == "Ready" and c["status"] == "True" for c in self.status(name).get("conditions") or ())

    def log(self, name: str, query: str = "") -> list[str]:
        return self.read_log(name, query).splitlines()

    def read_log(self, name: str, query: str = "") -> str:
        request = urllib.request.Request(f"{self.sandbox.server}/api/v1/namespaces/default/pods/{name}/log?{query}")
        request.add_header("Authorization", f"Bearer {self.sandbox.token}")
        with urllib.request.urlopen(request, context=self._api._context) as response:
            text: str = response.read().decode()
        return text

    def events(self, name: str) -> dict[str, list[str]]:
        items = self._api.get(f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name={name}")["items"]
        found: dict[str, list[str]] = {}
        for item in items:
            found.setdefault(item["reason"], []).append(item["message"])
        return found

    def ran(self, name: str) -> list[str]:
        """The log of a pod that runs to its end."""
        until(lambda: self.status(name)["phase"] in ("Succeeded", "Failed"))
        return self.log(name)


def until(condition: Callable[[], Any], *, within: float = 15.0) -> None:
    deadline = SYSTEM.monotonic_ns() + nanoseconds(within)
    while not condition():
        assert SYSTEM.monotonic_ns() < deadline, "it did not happen"
        SYSTEM.sleep(0.01)


def sh(script: str, **fields: Any) -> dict[str, Any]:
    return {"command": ["sh", "-c", script], **fields}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with start(SandboxSpec(nodes=1, images=SHELL)) as sandbox:
        yield Cluster(sandbox)


def test_environment_comes_from_everywhere(cluster: Cluster) -> None:
    cluster.sandbox.apply(
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"COLOUR": "blue", "SIZE": "9"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hidden"}, "stringData": {"PASSWORD": "s3cret"}},
        ]
    )
    env = [
        {"name": "PLAIN", "value": "one"},
        {"name": "COMBINED", "value": "$(PLAIN)-$(CFG_COLOUR)-$$(PLAIN)-$(UNKNOWN)"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "PASSWORD"}}},
        {"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "SIZE"}}},
        {"name": "MAYBE", "valueFrom": {"configMapKeyRef": {"name": "nowhere", "key": "X", "optional": True}}},
        {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    fields = {
        "env": env,
        "envFrom": [{"prefix": "CFG_", "configMapRef": {"name": "settings"}}],
        "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
    }
    cluster.pod("env", sh("env", **fields), restartPolicy="Never")

    found = dict(line.split("=", 1) for line in cluster.ran("env"))

    expected = {
        "PLAIN": "one",
        "COMBINED": "one-blue-$(PLAIN)-$(UNKNOWN)",
        "NAME": "env",
        "APP": "env",
        "NODE": "node-1",
        "SECRET": "s3cret",
        "SIZE": "9",
        "CFG_COLOUR": "blue",
        "CPU": "2",
        "HOSTNAME": "env",
    }
    assert expected.items() <= found.items()
    assert "MAYBE" not in found
    assert found["POD_IP"].startswith("127.")
    assert found["KUBERNETES_SERVICE_HOST"] in cluster.sandbox.server


def test_volumes_are_files_that_a_variable_leads_to(cluster: Cluster) -> None:
    cluster.sandbox.apply(
        [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": {"a.txt": "alpha", "b.txt": "beta"}},
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "data": {"key": base64.b64encode(b"k").decode()}},
        ]
    )
    volumes = [
        {"name": "config", "configMap": {"name": "files", "items": [{"key": "a.txt", "path": "sub/a"}]}},
        {"name": "secret", "secret": {"secretName": "keys"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("config", "secret", "scratch")]
    cluster.pod("files", sh("echo $CHAOSFW_VOLUMES", volumeMounts=mounts), volumes=volumes, restartPolicy="OnFailure")
    script = "import json, os, pathlib as p; v = json.loads(os.environ['CHAOSFW_VOLUMES']); "
    script += "print((p.Path(v['/config']) / 'sub/a').read_text(), (p.Path(v['/secret']) / 'key').read_text(), os.listdir(v['/scratch']))"
    reader = {"command": ["python", "-c", script], "volumeMounts": mounts}
    cluster.pod("reader", reader, volumes=volumes, restartPolicy="Never")

    assert {"/config", "/secret", "/scratch"} <= json.loads(cluster.ran("files")[0]).keys()
    assert cluster.ran("reader") == ["alpha k []"]
    assert "/var/run/secrets/kubernetes.io/serviceaccount" in cluster.log("files")[0]


def test_a_missing_config_map_is_waited_for(cluster: Cluster) -> None:
    cluster.pod("patient", sh("echo $WORD", envFrom=[{"configMapRef": {"name": "later"}}]), restartPolicy="Never")
    until(lambda: cluster.container("patient").get("state", {}).get("waiting", {}).get("reason") == "CreateContainerConfigError")
    assert cluster.container("patient")["state"]["waiting"]["message"] == 'configmap "later" not found'

    cluster.sandbox.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later"}, "data": {"WORD": "here"}}])

    assert cluster.ran("patient") == ["here"]


@pytest.mark.parametrize(("code", "phase", "reason"), [(0, "Succeeded", "Completed"), (3, "Failed", "Error")])
def test_a_pod_that_is_not_restarted_ends(cluster: Cluster, code: int, phase: str, reason: str) -> None:
    cluster.pod(f"ends-{code}", sh(f"exit {code}"), restartPolicy="Never")

    until(lambda: cluster.status(f"ends-{code}")["phase"] == phase)

    ended = cluster.container(f"ends-{code}")["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (code, reason)
    assert ended["startedAt"] <= ended["finishedAt"]
    assert not cluster.is_ready(f"ends-{code}")


def test_init_containers_run_in_order_and_before(cluster: Cluster) -> None:
    """They share a volume with the main container, which sees what they wrote in which order."""
    mount = {"volumeMounts": [{"name": "work", "mountPath": "/work"}]}
    place = "D=$(python3 -c \"import json,os;print(json.loads(os.environ['CHAOSFW_VOLUMES'])['/work'])\")"
    init = [
        {"name": "one", "image": "shell", **sh(f"{place}; echo one >> $D/log", **mount)},
        {"name": "two", "image": "shell", **sh(f"{place}; echo two >> $D/log", **mount)},
    ]
    cluster.pod(
        "inits", sh(f"{place}; cat $D/log", **mount), initContainers=init, volumes=[{"name": "work", "emptyDir": {}}], restartPolicy="Never"
    )

    assert cluster.ran("inits") == ["one", "two"]
    assert [s["state"]["terminated"]["exitCode"] for s in cluster.status("inits")["initContainerStatuses"]] == [0, 0]


def test_a_failing_init_container_fails_a_pod_that_is_not_restarted(cluster: Cluster) -> None:
    init = [{"name": "wrong", "image": "shell", **sh("exit 7")}]
    cluster.pod("no-start", sh("echo never"), initContainers=init, restartPolicy="Never")

    until(lambda: cluster.status("no-start")["phase"] == "Failed")

    assert cluster.container("no-start")["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_sidecar_runs_beside_and_ends_after(cluster: Cluster) -> None:
    sidecar = {"name": "side", "image": "shell", "restartPolicy": "Always", **sh("exec sleep 1000")}
    cluster.pod("with-side", sh("echo main"), initContainers=[sidecar], restartPolicy="Never", terminationGracePeriodSeconds=1)

    until(lambda: cluster.status("with-side")["phase"] == "Succeeded")

    assert "terminated" in cluster.status("with-side")["initContainerStatuses"][0]["state"]


def test_a_crashing_container_is_restarted_and_then_backs_off(cluster: Cluster) -> None:
    """At once the first time; ten seconds the second."""
    cluster.pod("crashes", sh("echo run; exit 1"))

    until(lambda: cluster.container("crashes").get("state", {}).get("waiting", {}).get("reason") == "CrashLoopBackOff")

    status = cluster.container("crashes")
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1
    assert status["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=c0 pod=crashes_default(")
    assert cluster.status("crashes")["phase"] == "Running"
    until(lambda: "BackOff" in cluster.events("crashes"))
    assert cluster.log("crashes", "previous=true") == ["run"]
    began = SYSTEM.monotonic_ns()
    cluster.delete("crashes")
    until(lambda: cluster.is_gone("crashes"))
    assert seconds(SYSTEM.monotonic_ns() - began) < 2


def test_readiness_comes_and_goes_with_the_probe(cluster: Cluster, tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    probe = {"exec": {"command": ["test", "-f", str(flag)]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.pod("moody", sh("exec sleep 1000", readinessProbe=probe))
    until(lambda: "Unhealthy" in cluster.events("moody"))
    assert not cluster.is_ready("moody")
    conditions = {c["type"]: c for c in cluster.status("moody")["conditions"]}
    assert conditions["ContainersReady"]["reason"] == "ContainersNotReady"
    assert conditions["Initialized"]["status"] == "True"

    flag.touch()
    until(lambda: cluster.is_ready("moody"))
    conditions = {c["type"]: c for c in cluster.status("moody")["conditions"]}
    assert "reason" not in conditions["Ready"]

    flag.unlink()
    until(lambda: not cluster.is_ready("moody"))
    assert cluster.container("moody")["restartCount"] == 0


def test_liveness_restarts_what_is_dead(cluster: Cluster, tmp_path: Path) -> None:
    flag = tmp_path / "alive"
    flag.touch()
    probe = {"exec": {"command": ["test", "-f", str(flag)]}, "periodSeconds": 1, "failureThreshold": 1}
    cluster.pod("mortal", sh(f"echo born; rm -f {flag}.x; exec sleep 1000", livenessProbe=probe), terminationGracePeriodSeconds=1)
    until(lambda: cluster.is_ready("mortal"))

    flag.unlink()
    until(lambda: cluster.container("mortal")["restartCount"] == 1)
    flag.touch()

    assert "Container c0 failed liveness probe, will be restarted" in cluster.events("mortal")["Killing"]


def test_a_startup_probe_holds_the_others_back(cluster: Cluster, tmp_path: Path) -> None:
    flag = tmp_path / "started"
    probes = {
        "startupProbe": {"exec": {"command": ["test", "-f", str(flag)]}, "periodSeconds": 1, "failureThreshold": 30},
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1, "initialDelaySeconds": 600},
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
    }
    cluster.pod("slow", sh("exec sleep 1000", **probes))
    until(lambda: any("Startup probe failed" in m for m in cluster.events("slow").get("Unhealthy", ())))
    assert cluster.container("slow")["started"] is False
    assert not cluster.is_ready("slow")

    flag.touch()

    until(lambda: cluster.is_ready("slow"))
    assert cluster.container("slow")["started"] is True


def test_graceful_deletion_runs_the_hook_then_asks_then_ends(cluster: Cluster, tmp_path: Path) -> None:
    story = tmp_path / "story"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", f"echo hook >> {story}"]}}}
    script = f"trap 'echo term >> {story}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    cluster.pod("polite", sh(script, lifecycle=hook), terminationGracePeriodSeconds=20)
    until(lambda: cluster.is_ready("polite") and cluster.log("polite") == ["up"])

    cluster.delete("polite")
    until(lambda: cluster.is_gone("polite"))

    assert story.read_text() == "hook\nterm\n"
    assert "Stopping container c0" in cluster.events("polite")["Killing"]


def test_grace_ends_with_sigkill(cluster: Cluster) -> None:
    cluster.pod("stubborn", sh("trap '' TERM; echo up; while :; do sleep 0.05; done"), terminationGracePeriodSeconds=30)
    until(lambda: cluster.is_ready("stubborn") and cluster.log("stubborn") == ["up"])
    began = SYSTEM.monotonic_ns()

    cluster.delete("stubborn", gracePeriodSeconds=1)
    until(lambda: cluster.is_gone("stubborn"))

    assert 0.9 < seconds(SYSTEM.monotonic_ns() - began) < 3


def test_deletion_without_grace_is_sigkill_at_once(cluster: Cluster, tmp_path: Path) -> None:
    story = tmp_path / "story"
    script = f"trap 'echo term >> {story}; exit 0' TERM; echo up $$$$; while :; do sleep 0.05; done"
    cluster.pod("forced", sh(script), terminationGracePeriodSeconds=30)
    until(lambda: cluster.is_ready("forced") and cluster.log("forced"))
    pid = int(cluster.log("forced")[0].split()[1])

    cluster.delete("forced", gracePeriodSeconds=0)

    assert cluster.is_gone("forced")
    until(lambda: not Path(f"/proc/{pid}").exists(), within=2)
    assert not story.exists()


def test_logs_by_tail_time_and_stamp(cluster: Cluster) -> None:
    cluster.pod("talks", sh("for i in 1 2 3 4; do echo line $i; done"), restartPolicy="Never")
    cluster.ran("talks")

    assert cluster.log("talks", "tailLines=2") == ["line 3", "line 4"]
    assert cluster.log("talks", "sinceSeconds=3600") == [f"line {i}" for i in range(1, 5)]
    stamp, _, text = cluster.log("talks", "timestamps=true")[0].partition(" ")
    assert (text, stamp[-1], stamp[10]) == ("line 1", "Z", "T")


def test_a_followed_log_ends_with_its_container(cluster: Cluster) -> None:
    cluster.pod("follow", sh("for i in 1 2 3; do echo $i; sleep 0.2; done"), restartPolicy="Never")
    until(lambda: "running" in cluster.container("follow").get("state", {}))

    assert cluster.log("follow", "follow=true") == ["1", "2", "3"]


def test_a_container_without_a_previous_life_has_no_previous_log(cluster: Cluster) -> None:
    cluster.pod("young", sh("exec sleep 1000"))
    until(lambda: cluster.is_ready("young"))

    with pytest.raises(urllib.error.HTTPError) as refused:
        cluster.read_log("young", "previous=true")

    assert refused.value.code == 400
    assert json.loads(refused.value.read())["message"] == 'previous terminated container "c0" in pod "young" not found'


def test_the_stand_in_plays_any_image(cluster: Cluster) -> None:
    """On the declared port, as the recorded address says, behind its back address."""
    ports = [{"name": "http", "containerPort": 80}]
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1}
    cluster.pod("stand-in", {"image": "nginx:1.27", "ports": ports, "readinessProbe": probe, "command": ["nginx", "-g", "daemon off;"]})

    until(lambda: cluster.is_ready("stand-in"))

    status = cluster.container("stand-in")
    assert status["image"] == "docker.io/library/nginx:1.27"
    assert status["imageID"].startswith("docker.io/library/nginx@sha256:")
    assert cluster.status("stand-in")["podIP"].startswith("10.244.0.")


def test_pods_reach_services_through_their_own_front(cluster: Cluster) -> None:
    """Another front than the one of outside clients: so the data plane knows who calls."""
    cluster.pod("server", {"image": "web", "ports": [{"containerPort": 8000}]})
    service = {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8000}]}
    cluster.sandbox.apply([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "back-end"}, "spec": service}])
    cluster.sandbox.settle()
    script = "import os, urllib.request as u; host = os.environ['BACK_END_SERVICE_HOST']; "
    script += "print(host, u.urlopen(f'http://{host}:' + os.environ['BACK_END_SERVICE_PORT']).headers['X-Chaosfw-Pod'])"
    cluster.pod("caller", {"command": ["python", "-c", script]}, restartPolicy="Never")

    host, pod = cluster.ran("caller")[0].split()

    assert pod == "server"
    assert host != cluster.sandbox.endpoint("back-end").removeprefix("http://").split(":")[0]


def test_a_node_says_all_that_clients_ask(cluster: Cluster) -> None:
    node = cluster._api.get("/api/v1/nodes/node-1")

    assert all(node["status"]["nodeInfo"].values())
    assert len(node["status"]["nodeInfo"]) == 10
    assert node["metadata"]["labels"]["topology.kubernetes.io/zone"] == "zone-a"
    assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
    lease = cluster._api.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1")
    renewed = lease["spec"]["renewTime"]
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/node-1"
    until(lambda: cluster._api.get(path)["spec"]["renewTime"] > renewed)
