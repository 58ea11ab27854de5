"""
The kubelet's side of the socket to the runtime.

Used by :mod:`chaosfw.sandbox.kubelet`. An order becomes a :class:`Process` whose exit can be awaited. When the runtime is gone every
process counts as killed: its pods died with it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from dataclasses import dataclass

from chaosfw.errors import SandboxError
from chaosfw.sandbox.lines import pack
from chaosfw.sandbox.runtime.orders import Order, order_to_json
from chaosfw.timing import SYSTEM, Clock


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    signal: int
    at_ns: int


class Process:
    """One running process of a pod."""

    def __init__(self, door: RuntimeDoor, id: str) -> None:
        loop = asyncio.get_running_loop()
        self.id = id
        self.pid = 0
        self.started_ns = 0
        self.ended: asyncio.Future[Ended] = loop.create_future()
        self.started: asyncio.Future[None] = loop.create_future()
        self._door = door

    def signal(self, number: int) -> None:
        """To its whole group; nothing happens when it has ended."""
        if not self.ended.done():
            self._door.send({"do": "signal", "id": self.id, "signal": int(number)})

    async def wait(self) -> Ended:
        """Cancelling the caller leaves the process alone."""
        return await asyncio.shield(self.ended)


class RuntimeDoor:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, clock: Clock = SYSTEM) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._processes: dict[str, Process] = {}
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def over(cls, sock: socket.socket) -> RuntimeDoor:
        sock.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=sock))

    async def start(self, order: Order) -> Process:
        """Returns when it runs; raises SandboxError when it could not be started."""
        process = Process(self, order.id)
        self._processes[order.id] = process
        self.send({"do": "start", "order": order_to_json(order)})
        await asyncio.shield(process.started)
        return process

    def send(self, message: dict[str, object]) -> None:
        if not self._writer.is_closing():
            self._writer.write(pack(message))

    def signal(self, identity: str, number: int) -> None:
        """To the process that was started by that id, and to those whose ids are below it (``id/…``)."""
        for id, process in self._processes.items():
            if id == identity or id.startswith(f"{identity}/"):
                process.signal(number)

    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._processes.values() if process.pid)

    async def close(self) -> None:
        self._listening.cancel()
        self._writer.close()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                self._hear(json.loads(line))
        except (OSError, ValueError):
            pass  # same as end of file: the runtime is gone
        for process in list(self._processes.values()):
            self._end(process, Ended(128 + signal.SIGKILL, signal.SIGKILL, self._clock.monotonic_ns()))

    def _hear(self, message: dict[str, object]) -> None:
        process = self._processes.get(str(message["id"]))
        if process is None:
            return
        match message["event"]:
            case "started":
                process.pid, process.started_ns = int(str(message["pid"])), int(str(message["at_ns"]))
                process.started.set_result(None)
            case "failed":
                del self._processes[process.id]
                process.started.set_exception(SandboxError(f"cannot start {process.id}: {message['error']}"))
            case "exited":
                self._end(process, Ended(int(str(message["code"])), int(str(message["signal"])), int(str(message["at_ns"]))))

    def _end(self, process: Process, ended: Ended) -> None:
        self._processes.pop(process.id, None)
        if not process.started.done():
            process.started.set_exception(SandboxError(f"cannot start {process.id}: the runtime is gone"))
        if not process.ended.done():
            process.ended.set_result(ended)
