"""
One kubelet: registers its node and runs the pods that are bound to it.

Made by the control process, one per node, on one event loop; it talks to the API through a client and to processes through the runtime's
door only.
"""

from __future__ import annotations

import asyncio
import signal

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import MAX_PODS
from chaosfw.sandbox.client.informer import Informer
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kubelet.events import Recorder
from chaosfw.sandbox.kubelet.node import Heartbeat
from chaosfw.sandbox.kubelet.pod import PodWorker
from chaosfw.sandbox.kubelet.site import NodeName, Site
from chaosfw.sandbox.kubelet.status import TERMINAL


class Kubelet:
    def __init__(self, node: NodeName, site: Site) -> None:
        self.node = node
        self._site = site
        self._recorder = Recorder(site.client, node=node.name, clock=site.clock)
        self._heartbeat = Heartbeat(node, site)
        self._pods = self._informer()
        self._workers: dict[str, PodWorker] = {}
        self._slots: dict[str, int] = {}
        self._ended: set[str] = set()
        """Uids of pods that are over here, and that somebody's finalizers still hold in the API."""
        self._next_slot = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.line = site.client

    async def start(self) -> None:
        """Returns when the node is registered and its pods are being run."""
        await self._heartbeat.register()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._heartbeat.run()), loop.create_task(self._recorder.run())]
        self._recorder.node("Normal", "Starting", "Starting kubelet.")
        self._pods.listen(self._hear)
        await self._pods.start()

    async def stop(self) -> None:
        await self._pods.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *(worker.close() for worker in self._workers.values()), return_exceptions=True)

    # --- the machine under it

    async def power_off(self) -> None:
        """Nothing of it runs any more, and nobody is told. What was on its disk stays."""
        self.freeze()
        await self.stop()
        for worker in self._workers.values():
            worker.signal(signal.SIGKILL)

    async def boot(self) -> None:
        """After :meth:`power_off`: the node reports again, and what the API still has for it is started again."""
        self._workers.clear()
        self._slots.clear()
        self._ended.clear()
        self._pods = self._informer()
        self._heartbeat.rebooted()
        self.line.mend()
        self._site.awake.set()
        await self.start()

    def freeze(self) -> None:
        """As a virtual machine whose host has stopped it."""
        self.line.cut()
        self._site.awake.clear()
        for worker in self._workers.values():
            worker.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        for worker in self._workers.values():
            worker.signal(signal.SIGCONT)
        self._site.awake.set()
        self.line.mend()

    async def reachable(self, *, within: float) -> bool:
        """Whether a call from outside arrives in that time, seconds."""
        try:
            await asyncio.wait_for(self.line.wait(), within)
        except TimeoutError:
            return False
        return True

    def worker(self, namespace: str, name: str) -> PodWorker | None:
        """The pod of that name; the newest, while an older one of the same name is still ending."""
        for worker in reversed(self._workers.values()):
            if (worker.namespace, worker.name) == (namespace, name):
                return worker
        return None

    def _informer(self) -> Informer:
        return Informer(self._site.client, "pods", fields=f"spec.nodeName={self.node.name}")

    def _hear(self, old: Object | None, new: Object | None) -> None:
        if old is not None and (new is None or new["metadata"]["uid"] != old["metadata"]["uid"]):
            self._vanished(old["metadata"]["uid"])
        if new is not None:
            self._seen(new)

    def _seen(self, pod: Object) -> None:
        worker = self._workers.get(pod["metadata"]["uid"])
        if worker is not None:
            worker.update(pod)
        elif pod["metadata"]["uid"] in self._ended:
            return
        elif pod.get("status", {}).get("phase") not in TERMINAL or pod["metadata"].get("deletionTimestamp"):
            self._take(pod)

    def _take(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        address = self._site.network.pod(self.node.index, self._slot(uid))
        worker = PodWorker(
            pod,
            address=address,
            node=self.node,
            host_ip=self._site.network.node(self.node.index),
            site=self._site,
            recorder=self._recorder,
            gone=self._gone,
        )
        self._workers[uid] = worker
        worker.update(pod)  # it may have been deleted before we saw it

    def _vanished(self, uid: str) -> None:
        self._ended.discard(uid)
        worker = self._workers.get(uid)
        if worker is not None:
            worker.vanish()

    def _gone(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        self._slots.pop(uid, None)
        known = self._pods.get(worker.namespace, worker.name) if worker is not None else None
        if known is not None and known["metadata"]["uid"] == uid:
            self._ended.add(uid)

    def _slot(self, uid: str) -> int:
        """The next free address, in a circle: a new pod does not answer where clients may still look for the last one."""
        taken = set(self._slots.values())
        for step in range(MAX_PODS):
            slot = (self._next_slot + step) % MAX_PODS
            if slot not in taken:
                self._next_slot = slot + 1
                self._slots[uid] = slot
                return slot
        raise SandboxError(f"node {self.node.name} has no address left for another pod")
