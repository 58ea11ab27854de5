"""
API servers and controllers of both kinds, mixed: ours under Kubernetes' own controller manager and scheduler, and the other way round.

Behind each there is the same fake kubelet, so that nothing differs but what is compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from chaosfw.sandbox.controllers.manager import Controllers
from chaosfw.sandbox.keeper.authority import issue
from chaosfw.sandbox.kinds.row import Kind
from chaosfw.sandbox.profiles import profile
from chaosfw.sandbox.scheduler.scheduler import Scheduler
from chaosfw.sandbox.upstream.binaries import find
from chaosfw.sandbox.upstream.processes import Upstream
from tests.sandbox.apiserver import plane as planes
from tests.sandbox.apiserver.plane import NODES, TOKEN, Plane, oracle, plane, served

OURS, THEIRS = "ours", "theirs"
CONTROLLERS: Final = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "daemonset-controller",
    "job-controller",
    "ttl-after-finished-controller",
    "cronjob-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector-controller",
    "persistentvolume-binder-controller",
    "persistentvolumeclaim-protection-controller",
    "persistentvolume-protection-controller",
)
"""What of Kubernetes' own is asked of the embedded API server; the others work on kinds that it has not."""


DEVICES: Final = tuple(
    Kind(kind=kind, plural=plural, group="resource.k8s.io", namespaced=kind == "ResourceClaim", custom=True)
    for kind, plural in (
        ("DeviceClass", "deviceclasses"),
        ("DeviceTaintRule", "devicetaintrules"),
        ("ResourceSlice", "resourceslices"),
        ("ResourceClaim", "resourceclaims"),
    )
)
"""Kinds that Kubernetes' scheduler wants to see the list of, and that the embedded API server has not."""


class Elsewhere(Upstream):
    """Controller manager and scheduler that ask another API server than their own, in JSON."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(find(), service_cidr="10.96.0.0/16", ended=lambda why: None, **options)
        self._url = url

    @property
    def url(self) -> str:
        return self._url

    def _manager(self, kubeconfig: Path) -> dict[str, str]:
        wanted = {"kube-api-content-type": "application/json", "controllers": ",".join(CONTROLLERS)}
        return {**super()._manager(kubeconfig), **wanted}

    def _scheduler(self, kubeconfig: Path) -> dict[str, str]:
        return {**super()._scheduler(kubeconfig), "kube-api-content-type": "application/json"}


@asynccontextmanager
async def mixed(*, api: str, controllers: str, settings: str = "fast") -> AsyncIterator[Plane]:
    """Both are ``ours`` or ``theirs``."""
    async with AsyncExitStack() as stack:
        if api == OURS and controllers == OURS:
            yield await stack.enter_async_context(plane(settings=settings))
        elif api == OURS:
            running = await stack.enter_async_context(plane(controllers=False, settings=settings))
            assert running.server is not None
            for row in DEVICES:
                running.server._registry.add(row)
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            issue(planes._CA, directory, host="127.0.0.1", nodes=["127.0.0.1"])
            elsewhere = Elsewhere(running.url, directory=directory, host="127.0.0.1", profile=profile(settings))
            stack.push_async_callback(elsewhere.stop)
            await elsewhere.run(token=TOKEN, authority=planes._CA.cert_pem.bytes())
            yield running
        else:
            url, http = await stack.enter_async_context(oracle(controllers=controllers == THEIRS, settings=settings))
            parts: list[Any] = [] if controllers == THEIRS else [Controllers(http, profile=profile(settings)), Scheduler(http)]
            yield await stack.enter_async_context(served(url, http, parts, nodes=NODES, hold=(), kubelet=True))
