"""
The nodes as machines: switched off, frozen, cut off from the others, and back again.

Asked through the control process. A machine that dies tells nobody: first its links fall silent in the data plane, then its kubelet and its
processes stop, and what is killed is killed behind the silence, so that no peer ever hears a FIN or an RST of it. The cluster is told
nothing either; it finds out by the leases that are not renewed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.dataplane.table import LinkFault, fault_to_json
from chaosfw.sandbox.kubelet.hollow import Hollow
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.lines import Caller
from chaosfw.sandbox.spec import MACHINE_STATES

OWNER: Final = "machines"
"""Whose faults these are in the data plane, beside those that users set."""


class Machines:
    """``kubelets`` may grow after this was made."""

    def __init__(self, kubelets: Iterable[Kubelet], *, hollow: Hollow, dataplane: Path) -> None:
        self._kubelets, self._hollow, self._path = kubelets, hollow, dataplane
        self._states: dict[str, str] = {}
        self._turn = asyncio.Lock()
        self._dataplane: Caller | None = None

    def states(self) -> dict[str, str]:
        names = (*(kubelet.node.name for kubelet in self._kubelets), *self._hollow.nodes)
        return {name: self._states.get(name, "on") for name in names}

    async def bring(self, name: str, state: str) -> None:
        """Into that state, when this returns. SandboxError: no such node or state, or it is in another one than "on"."""
        kubelet = next((one for one in self._kubelets if one.node.name == name), None)
        if kubelet is None and name not in self._hollow.nodes:
            there = ", ".join(one.node.name for one in self._kubelets)
            there += f", hollow-1 to hollow-{len(self._hollow.nodes)}" if self._hollow.nodes else ""
            raise SandboxError(f"no node {name!r}; there: {there}")
        if state not in MACHINE_STATES:
            raise SandboxError(f"a machine can not be {state!r}; it can be: {', '.join(MACHINE_STATES)}")
        async with self._turn:
            before = self._states.get(name, "on")
            if before == state:
                return
            if "on" not in (before, state):
                raise SandboxError(f"{name} is {before}", hint=f"bring it back first: chaosfw sandbox node {name} on")
            if kubelet is None:
                self._change_hollow(name, state)
            else:
                await self._change(kubelet, before, state)

    def _change_hollow(self, name: str, state: str) -> None:
        """Of one that is a record only nothing can be seen but whether it is heard of."""
        if state == "on":
            del self._states[name]
            self._hollow.speak(name)
        else:
            self._states[name] = state
            self._hollow.silence(name)

    async def _change(self, kubelet: Kubelet, before: str, state: str) -> None:
        name = kubelet.node.name
        if state == "on":
            await _come_back(kubelet, before)
            del self._states[name]
            await self._silence()
            return
        self._states[name] = state
        await self._silence()
        match state:
            case "off":
                await kubelet.power_off()
            case "frozen":
                kubelet.freeze()
            case "cut":
                kubelet.line.cut()

    async def _silence(self) -> None:
        """Nothing goes to or comes from a machine that is not on, as soon as this returns."""
        if self._dataplane is None:
            self._dataplane = await Caller.connect(self._path)
        places = [{"node": name} for name in self._states if name not in self._hollow.nodes]
        faults = [LinkFault(kind="silence", source=place) for place in places]
        faults += [LinkFault(kind="silence", destination=place) for place in places]
        await self._dataplane.ask({"do": "fault", "of": OWNER, "faults": [fault_to_json(fault) for fault in faults]})


async def _come_back(kubelet: Kubelet, before: str) -> None:
    match before:
        case "off":
            await kubelet.boot()
        case "frozen":
            kubelet.thaw()
        case "cut":
            kubelet.line.mend()
