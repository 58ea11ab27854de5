"""
One pod on its node, from the first sight of it to its last status.

Owned by :mod:`.kubelet`. The worker's main task makes volumes, runs init containers one after the other and then all containers;
``delete`` ends it with its grace. The status is sent by a task of its own, so that many changes become one patch.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chaosfw.sandbox.addresses import Address, HostPort
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kubelet.container import Container
from chaosfw.sandbox.kubelet.events import Recorder
from chaosfw.sandbox.kubelet.place import Place
from chaosfw.sandbox.kubelet.site import NodeName, Site
from chaosfw.sandbox.kubelet.sources import Missing, Sources
from chaosfw.sandbox.kubelet.status import OURS, PAUSED, TERMINAL, Observed, pod_status
from chaosfw.sandbox.kubelet.volumes import Volumes
from chaosfw.sandbox.objects.moments import stamp

LOG = logging.getLogger("chaosfw.sandbox")
_RETRY: Final = 1.0


class PodWorker:
    def __init__(
        self, pod: Object, *, address: Address, node: NodeName, host_ip: str, site: Site, recorder: Recorder, gone: Callable[[str], None]
    ) -> None:
        assert address.back is not None
        self.pod = pod
        self.uid: str = pod["metadata"]["uid"]
        self.name: str = pod["metadata"]["name"]
        self.namespace: str = pod["metadata"]["namespace"]
        self.address = address
        self._site = site
        self._recorder = recorder
        self._host_ip = host_ip
        self._gone = gone
        self._directory = site.directory / "pods" / self.uid
        self._back = address.back.host
        ips = {"pod_ip": self._back, "host_ip": host_ip}
        self._volumes = Volumes(self._directory / "volumes", site=site.directory, pod=pod, tokens=site.tokens, **ips)
        self._place = Place(
            pod=pod,
            node=node,
            ip=address.recorded.host,
            back=self._back,
            host_ip=host_ip,
            logs=self._directory / "logs",
            mounts=self._volumes.mounts,
        )
        spec = pod["spec"]
        going = bool(pod["metadata"].get("deletionTimestamp"))
        self._policy: str = "Never" if going else spec.get("restartPolicy") or "Always"
        self._init = [self._container(c, init=True) for c in spec.get("initContainers") or ()]
        self._main = [self._container(c, init=False) for c in spec["containers"]]
        self._sidecars: set[asyncio.Task[None]] = set()
        self._made = False
        self._initialized = False
        self._final = False
        self._deleted = False
        self._pause_wanted = False
        self._paused: bool | None = None
        """Whether something of it was stopped; None: it never was asked for."""
        self._stopping = asyncio.Event()
        self._dirty = asyncio.Event()
        self._sent: Object = {}
        self._written = 0
        """The version of the pod that our last status made: what is older than that says nothing of others."""
        self._started_at = (pod.get("status") or {}).get("startTime") or stamp(site.clock.wall_ns())
        loop = asyncio.get_running_loop()
        self._running = loop.create_task(self._run(), name=f"pod {self.namespace}/{self.name}")
        self._running.add_done_callback(_report_failure)
        self._reporting = loop.create_task(self._report(), name=f"status of {self.namespace}/{self.name}")
        self._ending: asyncio.Task[None] | None = None

    # --- what the kubelet tells

    def update(self, pod: Object) -> None:
        """A new version of the same pod: its deletion, or conditions that others set."""
        self.pod = pod
        self._obey_pause((pod["metadata"].get("annotations") or {}).get(PAUSED) == "true")
        if _ready(self._sent) == "True" != _ready(pod.get("status") or {}) and int(pod["metadata"]["resourceVersion"]) > self._written:
            self._sent = {}  # the node was taken for lost meanwhile: what we say of the pod has to be said again
            self._dirty.set()
        if pod["metadata"].get("deletionTimestamp"):
            self.delete(grace=pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        elif {c["type"] for c in pod.get("status", {}).get("conditions") or ()} - set(OURS):
            self._dirty.set()  # a readiness gate may have opened

    def delete(self, *, grace: float) -> None:
        """Ends it within ``grace`` and then removes it from the API. A later call can only shorten the grace."""
        self._stopping.set()
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(grace=grace), name=f"end of {self.namespace}/{self.name}")
            self._ending.add_done_callback(_report_failure)
        else:
            for container in self._containers():
                container.hurry(grace=grace)

    def _obey_pause(self, wanted: bool) -> None:
        """Our own extension: what runs now is stopped as by SIGSTOP, and goes on when the annotation is taken away."""
        if wanted == self._pause_wanted:
            return
        self._pause_wanted = wanted
        stopped = [container.pause() if wanted else container.resume() for container in self._containers()]
        self._paused = wanted and any(stopped)
        self._dirty.set()

    def signal(self, number: int) -> None:
        """To everything of it that runs. What is paused stays so, whatever is thawed around it."""
        for container in self._containers():
            container.signal(number)

    def vanish(self) -> None:
        """The API has forgotten it: kill it at once and send nothing more."""
        self._deleted = True
        self.delete(grace=0)

    async def close(self) -> None:
        """For the end of the kubelet: the tasks end, the processes are the runtime's to kill."""
        tasks = [task for task in (self._running, self._reporting, self._ending, *self._sidecars) if task is not None]
        for container in self._containers():
            container.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what others ask

    def container(self, name: str) -> Container | None:
        """By name; the only one when the name is empty."""
        for container in self._containers():
            if container.name == name:
                return container
        return self._main[0] if not name else None

    def back(self, port: int) -> HostPort:
        """Where its process listens that thinks it listens on ``port``."""
        found = self._site.network.back(self.address.recorded.host, port)
        assert found is not None  # a pod's own address always has one
        return found

    # --- its life

    async def _run(self) -> None:
        if not await self._make_volumes():
            return
        self._made = True
        self._dirty.set()
        if not await self._initialize():
            self._finish_early()
            return
        self._initialized = True
        self._dirty.set()
        await asyncio.gather(*(container.live() for container in self._main))
        await self._stop_sidecars()
        self._dirty.set()

    async def _make_volumes(self) -> bool:
        while not self._stopping.is_set():
            try:
                await self._volumes.make(Sources(self._site.client, namespace=self.namespace))
                return True
            except Missing as problem:
                self._recorder.pod(self.pod, "Warning", "FailedMount", f"MountVolume.SetUp failed : {problem}")
                self._dirty.set()
                await self._pause(_RETRY)
        return False

    async def _initialize(self) -> bool:
        """All init containers, in order; false when one failed for good or the pod is to end."""
        for container in self._init:
            if self._stopping.is_set():
                return False
            if container.spec.get("restartPolicy") == "Always":
                await self._start_sidecar(container)
                continue
            await container.live()
            if container.exit_code != 0:
                return False
        return not self._stopping.is_set()

    async def _start_sidecar(self, container: Container) -> None:
        loop = asyncio.get_running_loop()
        life = loop.create_task(container.live())
        self._sidecars.add(life)
        started, stopped = loop.create_task(container.started.wait()), loop.create_task(self._stopping.wait())
        await asyncio.wait({started, stopped}, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        stopped.cancel()

    def _finish_early(self) -> None:
        """An init container failed for good: nothing else will run."""
        self._final = not self._stopping.is_set()
        self._dirty.set()

    async def _stop_sidecars(self) -> None:
        grace = self.pod["spec"].get("terminationGracePeriodSeconds", 30)
        if not self._stopping.is_set():
            await asyncio.gather(*(container.stop(grace=grace) for container in self._init if container.running))
        await asyncio.gather(*self._sidecars)

    async def _end(self, *, grace: float) -> None:
        """Containers first, then sidecars, then the last status, then the object."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        await asyncio.gather(*(container.stop(grace=grace) for container in self._main))
        left = max(0.0, deadline - loop.time())
        await asyncio.gather(*(container.stop(grace=left) for container in reversed(self._init)))
        await asyncio.gather(self._running, *self._sidecars, return_exceptions=True)
        self._final = True
        self._reporting.cancel()
        await asyncio.gather(self._reporting, return_exceptions=True)
        if not self._deleted:
            await self._send_last()
            await self._remove()
        await loop.run_in_executor(None, _discard, self._directory)
        self._recorder.forget(self.uid)
        self._gone(self.uid)

    async def _remove(self) -> None:
        """Asked again until the API takes it: a pod that is never removed holds a drain up for ever."""
        while True:
            try:
                await self._site.client.delete("pods", self.name, namespace=self.namespace, uid=self.uid, grace=0)
                return
            except (ApiError, OSError) as error:
                if isinstance(error, ApiError) and error.code in (404, 409):
                    return  # it is gone, or another pod has its name
                LOG.warning("cannot remove pod %s/%s: %s; trying again", self.namespace, self.name, error)
                await asyncio.sleep(_RETRY)

    # --- its status

    async def _send_last(self) -> None:
        try:
            await self._send()
        except (ApiError, OSError) as error:
            LOG.warning("cannot send the last status of pod %s/%s: %s", self.namespace, self.name, error)

    async def _report(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            try:
                await self._send()
            except (ApiError, OSError) as error:
                LOG.warning("cannot send the status of pod %s/%s: %s; trying again", self.namespace, self.name, error)
                await asyncio.sleep(_RETRY)
                self._dirty.set()

    async def _send(self) -> None:
        status = self.status()
        if status == self._sent or (self._sent.get("phase") in TERMINAL and status["phase"] not in TERMINAL):
            return
        told = {**status, "podIPs": [*status.get("podIPs", ()), *self._given_up()]}
        body = {"metadata": {"uid": self.uid}, "status": told}
        try:
            place = {"namespace": self.namespace, "subresource": "status"}
            written = await self._site.client.patch("pods", self.name, body, style="strategic", **place)
            self._written = int(written["metadata"]["resourceVersion"])
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            self._deleted = True  # it is gone, or another pod has its name
        self._sent = status

    def _given_up(self) -> list[Object]:
        """The address it had before its machine went, for a strategic patch to delete: a pod has one at a time."""
        known = (self.pod.get("status") or {}).get("podIPs") or ()
        return [{"ip": one["ip"], "$patch": "delete"} for one in known if one["ip"] != self.address.recorded.host]

    def status(self) -> Object:
        conditions = self._sent.get("conditions") or self.pod.get("status", {}).get("conditions") or []
        others = [c for c in self.pod.get("status", {}).get("conditions") or () if c["type"] not in OURS]
        seen = Observed(
            pod=self.pod,
            init=[container.status() for container in self._init],
            main=[container.status() for container in self._main],
            initialized=self._initialized,
            sandbox_made=self._made,
            pod_ip=self.address.recorded.host if self._made else "",
            host_ip=self._host_ip,
            started_at=self._started_at,
            before=[*conditions, *others],
            now=stamp(self._site.clock.wall_ns()),
            final=self._final,
            paused=self._paused,
        )
        return pod_status(seen)

    def _container(self, spec: Object, *, init: bool) -> Container:
        policy = self._policy if not init else spec.get("restartPolicy") or ("Never" if self._policy == "Never" else "OnFailure")
        container = Container(
            spec, place=self._place, site=self._site, recorder=self._recorder, changed=self._dirty_set, policy=policy, init=init
        )
        statuses = (self.pod.get("status") or {}).get("initContainerStatuses" if init else "containerStatuses") or ()
        before = next((one for one in statuses if one["name"] == spec["name"]), None)
        if before is not None:
            container.recall(before, again=init and self._policy != "Never")
        return container

    def _dirty_set(self) -> None:
        self._dirty.set()

    def _containers(self) -> list[Container]:
        return [*self._init, *self._main]

    async def _pause(self, wait: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), wait)
        except TimeoutError:
            pass


def _ready(status: Object) -> str:
    return str(next((one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"), ""))


def _discard(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)


def _report_failure(task: asyncio.Task[None]) -> None:
    """A task of a pod that broke is a bug of ours: it goes to the log, with its trace."""
    if not task.cancelled() and (error := task.exception()) is not None:
        LOG.error("%s failed", task.get_name(), exc_info=error)
