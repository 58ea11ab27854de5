"""
All controllers of a control plane, over one set of caches. Started by the control process; knows no server, only a client.
"""

from __future__ import annotations

import asyncio

from chaosfw.sandbox.client.verbs import Client
from chaosfw.sandbox.controllers.caches import Caches
from chaosfw.sandbox.controllers.daemons import DaemonSets
from chaosfw.sandbox.controllers.deployments import Deployments
from chaosfw.sandbox.controllers.disruption import Disruption
from chaosfw.sandbox.controllers.endings import Expiry, Uncounted
from chaosfw.sandbox.controllers.endpoints import Endpoints
from chaosfw.sandbox.controllers.ephemeral import EphemeralVolumes
from chaosfw.sandbox.controllers.evictions import TaintEvictions
from chaosfw.sandbox.controllers.garbage import DEFINITIONS, Garbage
from chaosfw.sandbox.controllers.jobs import Jobs
from chaosfw.sandbox.controllers.namespaces import Namespaces
from chaosfw.sandbox.controllers.nodes import LEASES, Nodes
from chaosfw.sandbox.controllers.orphans import QUARANTINE, Orphans
from chaosfw.sandbox.controllers.protection import Protection
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.replicas import ReplicaSets
from chaosfw.sandbox.controllers.revisions import RESOURCE as REVISIONS
from chaosfw.sandbox.controllers.stateful import StatefulSets
from chaosfw.sandbox.controllers.volumes import Volumes
from chaosfw.sandbox.objects.storage import CLASSES, VOLUMES
from chaosfw.sandbox.profiles import Profile

OWNED = (
    "pods",
    "services",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "configmaps",
    "secrets",
    "serviceaccounts",
    "persistentvolumeclaims",
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    REVISIONS,
    "jobs.batch",
    "cronjobs.batch",
    "poddisruptionbudgets.policy",
    "horizontalpodautoscalers.autoscaling",
)
"""Resources whose owners are minded."""

OTHERS = ("namespaces", "nodes", LEASES, DEFINITIONS, VOLUMES, CLASSES)


class Controllers:
    """``start`` returns when all caches are filled and all loops run; ``root_ca`` is what pods find in kube-root-ca.crt."""

    def __init__(self, client: Client, *, profile: Profile, root_ca: str = "", quarantine: float = QUARANTINE) -> None:
        self._caches = Caches(client, (*OWNED, *OTHERS))
        self._recorders: list[Recorder] = []
        nodes = self._recorder("node-controller")
        self._nodes = Nodes(self._caches, nodes, profile=profile)
        self._garbage = Garbage(self._caches, OWNED)
        self._controllers = (
            Namespaces(self._caches, root_ca=root_ca),
            Deployments(self._caches, self._recorder("deployment-controller")),
            ReplicaSets(self._caches, self._recorder("replicaset-controller")),
            StatefulSets(self._caches, self._recorder("statefulset-controller")),
            DaemonSets(self._caches, self._recorder("daemonset-controller")),
            Jobs(self._caches, self._recorder("job-controller")),
            Uncounted(self._caches),
            Expiry(self._caches),
            Endpoints(self._caches),
            Disruption(self._caches),
            Protection(self._caches),
            Volumes(self._caches, self._recorder("persistentvolume-controller")),
            EphemeralVolumes(self._caches, self._recorder("ephemeral_volume")),
            self._garbage,
            self._nodes,
            TaintEvictions(self._caches, self._recorder("taint-eviction-controller")),
            Orphans(self._caches, quarantine=quarantine),
        )

    def _recorder(self, component: str) -> Recorder:
        self._recorders.append(Recorder(self._caches.client, component))
        return self._recorders[-1]

    async def start(self) -> None:
        await self._caches.start()
        for controller in self._controllers:
            controller.listen()
            controller.loop.start()
        self._nodes.start()

    async def stop(self) -> None:
        await self._nodes.stop()
        await self._garbage.stop()
        await asyncio.gather(*(controller.loop.stop() for controller in self._controllers))
        await asyncio.gather(*(recorder.stop() for recorder in self._recorders))
        await self._caches.stop()
