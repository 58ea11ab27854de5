"""
Machines that are switched through the API: an annotation on the node says what its machine shall be, a condition of that name what it is.

Run by :mod:`chaosfw.sandbox.control` beside both control planes, for those who have nothing but the API, as experiments have. Who talks to
the sandbox itself needs none of it, and is left alone: only a change of the annotation is obeyed.
"""

from __future__ import annotations

from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.client.informer import Informer, key_of
from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.controllers.objects import now
from chaosfw.sandbox.controllers.recorder import Recorder
from chaosfw.sandbox.controllers.work import Key, Loop
from chaosfw.sandbox.machines import Machines

WANTED: Final = "chaosfw.dev/machine"
"""Annotation: ``off``, ``frozen`` or ``cut``; none is ``on``. Condition: True when it is on, else its reason is the state."""

AGAIN: Final = 2.0
"""Seconds until what was refused is tried again."""


class Switches:
    def __init__(self, client: Client, machines: Machines) -> None:
        self._client, self._machines = client, machines
        self._nodes = Informer(client, "nodes")
        self._recorder = Recorder(client, "chaosfw-machines")
        self._loop = Loop("machines", self._reconcile)
        self._obeyed: dict[str, str] = {}

    async def start(self) -> None:
        await self._nodes.start()
        self._nodes.listen(self._on_node)
        self._loop.start()

    def _on_node(self, old: Object | None, new: Object | None) -> None:
        node = new or old or {}
        if _wanted(new) != self._obeyed.get(node["metadata"]["name"], "on"):
            self._loop.add(key_of(node))

    async def _reconcile(self, key: Key) -> None:
        node, name = self._nodes.get(*key), key[1]
        wanted, before = _wanted(node), self._obeyed.get(name, "on")
        if wanted == before:
            return
        try:
            if before != "on":
                await self._machines.bring(name, "on")
            await self._machines.bring(name, wanted)
        except SandboxError as error:
            self._refuse(node, error)
            self._loop.later(key, AGAIN)
            return
        if node is not None:
            await self._tell(node, wanted)
        self._obeyed[name] = wanted

    def _refuse(self, node: Object | None, error: SandboxError) -> None:
        """Somebody has switched it by other means, or it can not be that. Asked again after a while: there is always a way back."""
        if node is not None:
            self._recorder.tell(node, "MachineRefused", f"{WANTED}: {error.message}", warning=True)

    async def _tell(self, node: Object, state: str) -> None:
        said = {"type": WANTED, "status": "True" if state == "on" else "False", "reason": state, "message": f"the machine is {state}"}
        change = {"metadata": {"uid": node["metadata"]["uid"]}, "status": {"conditions": [{**said, "lastTransitionTime": now()}]}}
        try:
            await self._client.patch("nodes", node["metadata"]["name"], change, subresource="status", style="strategic")
        except ApiError as error:
            if error.code not in (404, 409):
                raise


def _wanted(node: Object | None) -> str:
    """The machine of a node that was deleted is on again, as its annotation is gone, and registers anew."""
    if node is None:
        return "on"
    return str((node["metadata"].get("annotations") or {}).get(WANTED) or "on")
