"""
What a cluster does when a node's machine dies, and when it comes back, and when: on the embedded control plane and on the one that
Kubernetes ships, beside each other. ``python -m benchmarks.lost_node [PROFILE [STATE]]``, ``fast`` and ``off`` where nothing is said;
``default`` takes fourteen minutes.

The cluster is looked at from outside, all objects anew each time; a figure is late by at most one look.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from benchmarks.table import machine
from chaosfw.sandbox.https import Api
from chaosfw.sandbox.profiles import profile
from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES
from chaosfw.timing import SYSTEM, seconds

Object = dict[str, Any]

LOST: Final = (
    "node Ready is Unknown",
    "tainted NoSchedule",
    "its pod is not ready",
    "its pod's endpoint is out",
    "tainted NoExecute",
    "its pod is ending",
    "a replacement is there",
    "as many endpoints as before",
)
BACK: Final = ("node is Ready", "its pod is gone", "NoExecute is taken away", "NoSchedule is taken away")
_NODE: Final = "node-2"
_LOOK: Final = 0.01
_PATIENCE: Final = 600.0
_PODS, _SLICES = "/api/v1/namespaces/default/pods", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def web(*, toleration: int | None = None) -> list[Object]:
    """Three pods, one a node, behind a service. ``toleration``: seconds that they stay on a lost node; None: the profile's."""
    key = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": toleration}
    spread = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    spec = {
        "tolerations": [] if toleration is None else [key],
        "containers": [{"name": "app", "image": "stand-in:1", "ports": [{"containerPort": 8000}]}],
        "topologySpreadConstraints": [{**spread, "labelSelector": {"matchLabels": {"app": "web"}}}],
    }
    template = {"metadata": {"labels": {"app": "web"}}, "spec": spec}
    meta = {"name": "web", "namespace": "default"}
    wanted = {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    ports = [{"port": 8080, "targetPort": 8000}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": wanted},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": "web"}, "ports": ports}},
    ]


class Witness:
    """Looks at one node and the pods of ``web``, and remembers when it saw what for the first time since :meth:`begin`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._api = Api(sandbox.server, token=sandbox.token, authority=sandbox.ca)
        self._before = {pod["metadata"]["uid"] for pod in self._pods()}
        self.victims = {pod["metadata"]["uid"] for pod in self._pods() if pod["spec"]["nodeName"] == _NODE}
        self.begin()

    def begin(self) -> None:
        self._began_ns, self.seen = SYSTEM.monotonic_ns(), dict[str, float]()

    def close(self) -> None:
        self._api.close()

    def until(self, marks: tuple[str, ...]) -> dict[str, float]:
        """Seconds from :meth:`begin` to each of the marks, in the order in which they were seen. TimeoutError names what never came."""
        while missing := [mark for mark in marks if mark not in self.seen]:
            self._look()
            if seconds(SYSTEM.monotonic_ns() - self._began_ns) > _PATIENCE:
                raise TimeoutError(f"never seen: {', '.join(missing)}")
            SYSTEM.sleep(_LOOK)
        return {mark: at for mark, at in self.seen.items() if mark in marks}

    def _look(self) -> None:
        facts = {**self._of_node(), **self._of_pods()}
        at = seconds(SYSTEM.monotonic_ns() - self._began_ns)
        for mark, holds in facts.items():
            if holds:
                self.seen.setdefault(mark, at)

    def _of_node(self) -> dict[str, bool]:
        node = self._api.get(f"/api/v1/nodes/{_NODE}")
        ready = next(one["status"] for one in node["status"]["conditions"] if one["type"] == "Ready")
        effects = {taint["effect"] for taint in node["spec"].get("taints") or () if taint["key"].endswith("/unreachable")}
        return {
            LOST[0]: ready == "Unknown",
            BACK[0]: ready == "True",
            **{f"tainted {effect}": effect in effects for effect in ("NoSchedule", "NoExecute")},
            **{f"{effect} is taken away": effect not in effects for effect in ("NoSchedule", "NoExecute")},
        }

    def _of_pods(self) -> dict[str, bool]:
        pods = self._pods()
        victims = [pod for pod in pods if pod["metadata"]["uid"] in self.victims]
        slices = [one for one in self._api.get(_SLICES)["items"] if one["metadata"]["labels"].get("kubernetes.io/service-name") == "web"]
        served = [end["nodeName"] for piece in slices for end in piece["endpoints"] or () if end["conditions"]["ready"]]
        out = _NODE not in served
        return {
            LOST[2]: all(_is(pod, "Ready", "False") for pod in victims),
            LOST[3]: out,
            LOST[5]: all("deletionTimestamp" in pod["metadata"] for pod in victims),
            LOST[6]: any(pod["metadata"]["uid"] not in self._before for pod in pods),
            LOST[7]: out and len(served) == len(self._before),
            BACK[1]: not victims,
        }

    def _pods(self) -> list[Object]:
        items: list[Object] = self._api.get(_PODS)["items"]
        return items


def _is(pod: Object, condition: str, status: str) -> bool:
    return any(one["type"] == condition and one["status"] == status for one in pod["status"].get("conditions") or ())


def story(control_plane: str, *, profile_name: str, state: str) -> dict[str, float]:
    """Seconds from the death, and from the coming back, to each mark."""
    with start(SandboxSpec(control_plane=control_plane, profile=profile_name), timeout=120.0) as sandbox:
        sandbox.apply(web())
        sandbox.settle(timeout=120.0)
        with closing(Witness(sandbox)) as witness:
            sandbox.machine(_NODE, state)
            lost = witness.until(LOST)
            witness.begin()
            sandbox.machine(_NODE, "on")
            return {**lost, **witness.until(BACK)}


def lines(stories: dict[str, dict[str, float]]) -> Iterator[str]:
    yield f"{'since the machine went':<34}" + "".join(f"{name:>12}" for name in stories) + f"{'apart':>10}"
    for mark in (*LOST, *BACK):
        if mark == BACK[0]:
            yield "since it came back"
        times = [one[mark] for one in stories.values()]
        yield f"  {mark:<32}" + "".join(f"{at:>12.2f}" for at in times) + f"{max(times) - min(times):>10.2f}"


def main() -> None:
    name, state = [*sys.argv[1:], *("fast", "off")[len(sys.argv) - 1 :]][:2]
    chosen = profile(name)
    print(f"{machine()}\n")
    print(f"profile {name}: lease {chosen.lease_renew:g} s, grace {chosen.monitor_grace:g} s, monitor {chosen.monitor_period:g} s, "
          f"eviction {chosen.eviction_rate:g}/s, toleration {chosen.toleration_seconds} s; machine {state}; seconds\n")  # fmt: skip
    began = SYSTEM.monotonic_ns()
    stories = {}
    for plane in CONTROL_PLANES:
        stories[plane] = story(plane, profile_name=name, state=state)
        print(f"{plane}: {seconds(SYSTEM.monotonic_ns() - began):.0f} s", file=sys.stderr)
    print("\n".join(lines(stories)))


if __name__ == "__main__":
    main()
