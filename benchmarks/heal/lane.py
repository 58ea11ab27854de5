"""
One sandbox with a workspace of its own, in which one run after the other is killed, and an observer that looks on from outside.

The observer reads the API with a connection of its own and knows nothing of ledgers and journals: every ``spec`` and every
annotation of ours that it finds otherwise than before the run is a difference. Its resolution is the pause between two looks.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaosfw.drivers.kubernetes.cluster import Cluster
from chaosfw.errors import ChaosfwError
from chaosfw.safety.ledger import LedgerFile
from chaosfw.sandbox import public as sandbox
from chaosfw.sandbox.spec import EMBEDDED

ROOT = Path(__file__).parents[2]
FAILPOINTS = Path(__file__).parent / "failpoints"
DEADLINE = 90.0
"""Seconds after which something that must happen counts as never happening."""
LOOKED_AT = (
    "/api/v1/nodes",
    "/apis/apps/v1/namespaces/shop/deployments",
    "/api/v1/namespaces/shop/services",
    "/api/v1/namespaces/shop/configmaps",
    "/apis/policy/v1/namespaces/shop/poddisruptionbudgets",
)
PODS = "/api/v1/namespaces/shop/pods"
"""Pods come and go; what a fault leaves on one is an annotation by these names."""
ON_PODS = ("chaosfw.dev/fault", "chaosfw.dev/touched", "chaosfw.dev/paused")
REAPER = ("namespace", "rights", "deployment")
"""Manifests in ``deploy/reaper/``."""
SETTINGS = """
[tool.chaosfw]
environment = "sandbox"
defaults = { baseline = "200ms", lasts = "600ms", stable_for = "200ms", recover_within = "300ms", probe_every = "100ms" }

[tool.chaosfw.environments.sandbox]
manifests = ["shop.yaml"]
endpoints = { shop = "service/shop/myapp:80" }
limits = { pods = 3, nodes = 3 }
"""
BASE = """
import chaosfw as cf
from chaosfw.faults import kubernetes as k8s
from chaosfw.faults import zone

web = k8s.deployment("myapp", namespace="shop")
base = cf.Experiment(steady_state=cf.Hypothesis("the shop serves", web.ready(at_least=1)))
"""
FAULTS = {
    "kill": "k8s.kill(web, count=1)",
    "cordon": "k8s.cordon(hosting=web)",
    "drain": "k8s.drain(hosting=web)",
    "zone": 'zone.fail("zone-b")',
    "scale": "k8s.scale(web, 2)",
    "taint": "k8s.taint(hosting=web)",
    "selector": 'k8s.break_selector("myapp", namespace="shop")',
    "image": 'k8s.set_image(web, "acme/web:none")',
    "delete-service": 'k8s.delete("service", "myapp", namespace="shop")',
    "delete-budget": 'k8s.delete("poddisruptionbudget", "myapp", namespace="shop")',
    "restart": "k8s.rollout_restart(web)",
    "delete-node": "k8s.delete_node(hosting=web, pods=False)",
    "pause": "k8s.pause(web)",
    "machine": "k8s.stop_machine(hosting=web)",
}
"""Faults by the name of their test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What one death came to. ``changed``: something was otherwise than before at that instant. Times in seconds."""

    fault: str
    where: str
    reached: bool
    changed: bool
    healed: float | None
    """From the death to the first look at which all was as before and stayed so; None: nobody had put it back by themselves."""
    by_hand: bool
    """``chaosfw heal`` was needed."""
    residue: tuple[str, ...] = ()
    left_open: int = 0


@dataclass(slots=True)
class Observer:
    """Looks again and again, from a thread of its own."""

    cluster: Cluster
    before: dict[str, Any]
    pause: float = 0.004
    looks: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    """When a look ended, and what was otherwise; None could not be told for a look that got no answer, so it is not noted."""
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                self.looks.append((time.monotonic(), differences(self.before, world(self.cluster))))
            except ChaosfwError:
                pass  # the API server is paused: what can not be seen is not noted
            time.sleep(self.pause)

    def changed_at(self, instant: float) -> bool:
        """What the last look before said, or, when that look was all right, the first one after: a change may have just landed."""
        before = [what for at, what in self.looks if at <= instant][-1:]
        after = [what for at, what in self.looks if at > instant][:1]
        return any(before + after)

    def healed_after(self, instant: float) -> float:
        """Seconds from the instant to the first look from which on nothing was otherwise."""
        before = [look for look in self.looks if look[0] <= instant][-1:]
        looks = before + [look for look in self.looks if look[0] > instant]
        bad = [number for number, (_, what) in enumerate(looks) if what]
        return max(0.0, looks[bad[-1] + 1][0] - instant) if bad else 0.0


class Lane:
    """A sandbox, a workspace with one experiment a fault, and the deaths in it."""

    def __init__(
        self,
        faults: dict[str, str] | None = None,
        *,
        cluster: sandbox.Sandbox | None = None,
        halts: bool = False,
        reapers: bool = False,
        control_plane: str = EMBEDDED,
    ) -> None:
        manifests = tuple(sorted((ROOT / "deploy" / "shop").glob("*.yaml")))
        manifests += tuple(ROOT / "deploy" / "reaper" / f"{name}.yaml" for name in REAPER if reapers)
        images = {"chaosfw/reaper": "python -m chaosfw"}
        self._own = cluster is None
        spec = sandbox.SandboxSpec(manifests=manifests, images=images, workdir=ROOT, control_plane=control_plane)
        self.sandbox = cluster or sandbox.start(spec, timeout=120.0)
        self.cluster = Cluster(str(self.sandbox.kubeconfig))
        self.folder = Path(tempfile.mkdtemp(prefix="chaosfw-heal-"))
        self.safety = self.sandbox.directory / "safety"
        (self.folder / "experiments").mkdir()
        self.cord = self.folder / "cord"
        """Where ``halts``, the file whose appearance halts every run."""
        more = f'halt = ["file:{self.cord}"]\n' if halts else ""
        more += 'state_namespace = "chaosfw"\n' if reapers else ""
        (self.folder / "pyproject.toml").write_text(SETTINGS + more)
        (self.folder / "shop.yaml").touch()
        text = BASE
        for name, fault in (faults or FAULTS).items():
            text += f'\n@cf.experiment(base.but("{name}", {fault}))\ndef test_{name.replace("-", "_")}(chaos):\n    chaos.run()\n'
        (self.folder / "experiments" / "test_it.py").write_text(text)
        self.sandbox.settle()
        self.before = world(self.cluster)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._own:
            self.sandbox.close()

    def variables(self, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "CHAOSFW_"))}
        path = f"{FAILPOINTS}{os.pathsep}{ROOT}"
        return kept | {"CHAOSFW_SANDBOX": str(self.sandbox.directory), "PYTHONPATH": path, "CHAOSFW_NEEDLE": str(self.folder), **more}

    def start(self, fault: str, **variables: str) -> subprocess.Popen[bytes]:
        """One game day of one fault, in a process group of its own."""
        shutil.rmtree(self.folder / "reports", ignore_errors=True)
        with (self.folder / "output.txt").open("wb") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "experiments/", "-k", f"test_{fault.replace('-', '_')}"],
                cwd=self.folder,
                env=self.variables(**variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def heal(self, **variables: str) -> int:
        """``chaosfw heal``, as a person types it."""
        command = [sys.executable, "-m", "chaosfw", "heal"]
        with (self.folder / "healed.txt").open("wb") as output:
            done = subprocess.run(
                command, cwd=self.folder, env=self.variables(**variables), stdout=output, stderr=output, timeout=DEADLINE, check=False
            )
        return done.returncode

    def points(self, fault: str) -> list[str]:
        """Every point of one sound run, in order."""
        log = self._fresh_log()
        runner = self.start(fault, CHAOSFW_POINTS=str(log))
        runner.wait(DEADLINE)
        self.idle()
        return log.read_text().split("\n")[:-1]

    def death(self, fault: str, where: str, kill: Callable[[subprocess.Popen[bytes]], float], **variables: str) -> Killed:
        """
        One run and one death in it: ``kill`` does it and returns the instant. Then waits until nobody of the run is left, puts the
        rest back by hand where there is one, and says what was found.
        """
        log = self._fresh_log()
        observer = Observer(self.cluster, self.before)
        observer.start()
        try:
            runner = self.start(fault, **variables)
            died = kill(runner)
            self.idle()
            by_hand = bool(self.open()) or bool(differences(self.before, world(self.cluster)))
            if by_hand:
                self.heal()
                self.idle()
            until(lambda: bool(observer.looks) and observer.looks[-1][0] > died, "the observer looks once more")
        finally:
            observer.stop()
        killed = Killed(
            fault=fault,
            where=where,
            reached="hit" in (log.read_text() if log.exists() else "hit"),
            changed=observer.changed_at(died),
            healed=None if by_hand else observer.healed_after(died),
            by_hand=by_hand,
            residue=differences(self.before, world(self.cluster)),
            left_open=self.open(),
        )
        self.sandbox.settle()
        return killed

    def at_point(self, fault: str, point: str, whom: str) -> Killed:
        """Somebody dies at a point of the run."""
        log = str(self.folder / "points")

        def over(runner: subprocess.Popen[bytes]) -> float:
            runner.wait(DEADLINE)
            return time.monotonic()

        return self.death(fault, f"{point}/{whom}", over, CHAOSFW_POINTS=log, CHAOSFW_FAILPOINT=f"{point}/{whom}")

    def after(self, fault: str, seconds: float) -> Killed:
        """The runner dies so many seconds after its first phase began, wherever it is."""

        def kill(runner: subprocess.Popen[bytes]) -> float:
            until(lambda: runner.poll() is not None or '"type":"PhaseBegan"' in self.journal(), "the first phase begins")
            try:
                runner.wait(seconds)
            except subprocess.TimeoutExpired:
                runner.kill()
            died = time.monotonic()
            runner.wait()
            return died

        return self.death(fault, f"{seconds:.3f} s after its first phase began", kill)

    def in_hold(self, fault: str, where: str, strike: Callable[[subprocess.Popen[bytes]], None], **variables: str) -> Killed:
        """Something is struck as soon as the run holds the fault."""

        def kill(runner: subprocess.Popen[bytes]) -> float:
            until(lambda: runner.poll() is not None or '"phase":"hold"' in self.journal(), "the run reaches hold")
            strike(runner)
            died = time.monotonic()
            runner.wait(DEADLINE)
            return died

        return self.death(fault, where, kill, **variables)

    def _fresh_log(self) -> Path:
        log = self.folder / "points"
        for path in (log, log.with_name("points.hit")):
            path.unlink(missing_ok=True)
        return log

    def journal(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("reports/2*/runs/*/journal.jsonl"))

    def open(self) -> int:
        return len(LedgerFile(self.safety).open())

    def differences(self) -> tuple[str, ...]:
        """What is otherwise than before, seen now."""
        return differences(self.before, world(self.cluster))

    def watchdogs(self) -> list[int]:
        """Watchdogs of this lane."""
        return [pid for pid in self.alive() if b"chaosfw.processes.watchdog" in _read(pid, "cmdline")]

    def idle(self) -> None:
        """Waits until no process of this lane is left."""
        until(lambda: not self.alive(), "every process of the run is gone")

    def alive(self) -> list[int]:
        needle = f"CHAOSFW_NEEDLE={self.folder}".encode()
        entries = [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
        return [pid for pid in entries if needle in _read(pid, "environ").split(b"\0")]


def world(cluster: Cluster) -> dict[str, Any]:
    """All that a fault could leave behind: the spec of each object and the annotations that are ours."""
    found: dict[str, Any] = {}
    for path in LOOKED_AT:
        for one in cluster.items(path):
            ours = {key: value for key, value in (one["metadata"].get("annotations") or {}).items() if key.startswith("chaosfw.dev/")}
            content = {key: value for key, value in one.items() if key in ("spec", "data")}
            found[f"{path}/{one['metadata']['name']}"] = {"content": _declared(content), "ours": ours}
    for pod in cluster.items(PODS):
        if left := {key: value for key, value in (pod["metadata"].get("annotations") or {}).items() if key in ON_PODS}:
            found[f"{PODS}/{pod['metadata']['name']}"] = left
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(path for path in {*before, *after} if before.get(path) != after.get(path)))


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"never: {what}")
        time.sleep(0.01)


def strike_group(runner: subprocess.Popen[bytes]) -> None:
    """The runner with its whole process group, as a terminal that closes or a container that stops does it."""
    os.killpg(runner.pid, signal.SIGKILL)


def _declared(content: dict[str, Any]) -> dict[str, Any]:
    """Without taints that the node controller sets for a cordon, and without the instant of a restarted rollout, which is no damage."""
    spec = json.loads(json.dumps(content.get("spec") or {}))
    spec.get("template", {}).get("metadata", {}).pop("annotations", None)
    taints = [one for one in spec.get("taints") or [] if not str(one["key"]).startswith("node.kubernetes.io/")]
    return {**content, "spec": {**{key: value for key, value in spec.items() if key != "taints"}, **({"taints": taints} if taints else {})}}


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
