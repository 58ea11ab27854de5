"""A sandbox of the control plane that Kubernetes ships: what it is, whom it lets do what, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chaosfw.errors import SandboxError
from chaosfw.sandbox.client.verbs import ApiError
from chaosfw.sandbox.https import Api
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import KUBERNETES
from chaosfw.sandbox.upstream import binaries
from chaosfw.sandbox.upstream.build import build
from chaosfw.timing import SYSTEM, nanoseconds

SLOW = 120.0
SHOP = Path(__file__).parents[3] / "deploy" / "shop"


@pytest.fixture(scope="module")
def shop() -> Iterator[Sandbox]:
    with start(SandboxSpec(manifests=(SHOP,), control_plane=KUBERNETES), timeout=SLOW) as sandbox:
        yield sandbox


def token_of(sandbox: Sandbox, user: str) -> str:
    rows = [line.split(",") for line in (sandbox.directory / "users.csv").read_text().splitlines()]
    return next(row[0] for row in rows if row[1] == user)


def as_user(sandbox: Sandbox, token: str) -> closing[Api]:
    return closing(Api(sandbox.server, token=token, authority=sandbox.ca))


def eventually(look: Callable[[], object], within: float = SLOW) -> None:
    """Asks until it is so."""
    until = SYSTEM.monotonic_ns() + nanoseconds(within)
    while not (said := look()):
        assert SYSTEM.monotonic_ns() < until, said
        SYSTEM.sleep(0.05)


def test_it_is_the_real_one(shop: Sandbox) -> None:
    assert shop._api.get("/version")["gitVersion"] == f"v{binaries.VERSION}"
    assert shop.control_plane == KUBERNETES
    words = {
        Path(f"/proc/{one.pid}/cmdline").read_bytes().split(b"\0")[0].rpartition(b"/")[2].decode()
        for one in shop.processes()
        if one.name == "plane"
    }
    assert words == {"etcd", *binaries.PARTS}


def test_logs_come_through_the_nodes_own_door(shop: Sandbox, kubectl: str) -> None:
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}
    words = [kubectl, "logs", "-n", "shop", "deploy/myapp", "--tail=5"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "serving" in done.stdout


def test_a_kubelet_may_do_what_a_node_may(shop: Sandbox) -> None:
    mark, merge = {"metadata": {"labels": {"mine": "yes"}}}, "application/merge-patch+json"
    with as_user(shop, token_of(shop, "system:node:node-1")) as node:
        node.call("PATCH", "/api/v1/nodes/node-1", mark, content_type=merge)
        with pytest.raises(ApiError) as caught:
            node.call("PATCH", "/api/v1/nodes/node-2", mark, content_type=merge)

    assert caught.value.code == 403


def test_a_pod_is_its_service_account(shop: Sandbox) -> None:
    """What is in its volume was issued by the API server, for it alone: who it is, and that it may not read secrets."""
    (path, *_) = shop.directory.glob("pods/*/volumes/kube-api-access-*/token")
    with as_user(shop, path.read_text()) as pod:
        review = pod.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {"kind": "SelfSubjectReview"})
        with pytest.raises(ApiError) as caught:
            pod.get("/api/v1/namespaces/shop/secrets")

    assert review["status"]["userInfo"]["username"].startswith("system:serviceaccount:shop:")
    assert json.dumps(review["status"]["userInfo"]["extra"]).count("authentication.kubernetes.io/pod-uid") == 1
    assert caught.value.code == 403


def test_a_part_that_dies_ends_the_sandbox_and_nothing_is_left() -> None:
    sandbox = start(SandboxSpec(nodes=1, zones=("z",), control_plane=KUBERNETES), timeout=SLOW)
    running = sandbox.processes()
    plane = [one.pid for one in running if one.name == "plane"]
    (scheduler,) = (pid for pid in plane if b"kube-scheduler" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(scheduler, signal.SIGKILL)

    eventually(lambda: not sandbox.directory.exists())
    with pytest.raises(SandboxError, match="kube-scheduler ended"):
        sandbox.processes()
    sandbox.close()
    eventually(lambda: not any(Path(f"/proc/{one.pid}").exists() for one in running))


def test_without_the_programs_it_is_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(binaries.ASSETS, raising=False)

    with pytest.raises(SandboxError, match="kube-apiserver") as caught:
        start(SandboxSpec(control_plane=KUBERNETES))
    assert "build-control-plane" in caught.value.hint


def test_programs_of_one_place_only(tmp_path: Path) -> None:
    """An API server of one version and a controller manager of another are no cluster: a place has all three or is passed by."""
    for place, names in (("half", ["kube-apiserver", "etcd"]), ("whole", list(binaries.PARTS))):
        for name in names:
            (tmp_path / place).mkdir(exist_ok=True)
            (tmp_path / place / name).write_text("#!/bin/sh\n")
            (tmp_path / place / name).chmod(0o755)
    found = binaries.find({binaries.ASSETS: str(tmp_path / "half"), "PATH": str(tmp_path / "whole"), "XDG_CACHE_HOME": str(tmp_path)})

    assert {path.parent.name for path in (found.apiserver, found.manager, found.scheduler)} == {"whole"}
    assert found.etcd == tmp_path / "half" / "etcd"


def test_an_unknown_control_plane_is_told() -> None:
    with pytest.raises(SandboxError, match="embedded, kubernetes"):
        SandboxSpec(control_plane="k3s")


def test_what_is_built_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")  # no Go either
    there = binaries.built()
    there.mkdir(parents=True)
    for name in (*binaries.PARTS, "etcd"):
        (there / name).write_text("#!/bin/sh\n")
        (there / name).chmod(0o755)
    told: list[str] = []

    assert build(told.append) == there
    assert told == []


def test_without_go_nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(SandboxError, match="no Go here") as caught:
        build(print)
    assert "go.dev" in caught.value.hint
    assert not binaries.built().exists()


def test_a_build_that_fails_says_gos_last_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    go.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    told: list[str] = []

    with pytest.raises(SandboxError, match="no such module"):
        build(told.append)
    assert told[0].startswith("fetching the modules of Kubernetes 1")
    assert not binaries.built().exists()


def test_what_is_built_is_there_whole_under_all_its_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a Go that builds something small; the real one is what a new machine uses before these tests."""
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\nif [ "$1" = build ]; then printf \'#!/bin/sh\\necho "$0"\\n\' >control-plane && chmod +x control-plane; fi\n')
    go.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(binaries.ASSETS, raising=False)
    made = build(lambda words: None)
    found = binaries.find()

    assert {path.parent for path in (found.etcd, found.apiserver, found.manager, found.scheduler)} == {made}
    assert subprocess.run([found.scheduler], capture_output=True, text=True, check=True).stdout == f"{found.scheduler}\n"
    assert sorted(path.name for path in made.iterdir()) == ["control-plane", "etcd", *binaries.PARTS]
