"""
One sandbox from start to stop: its processes, its leases, its end.

Run by :mod:`.__main__`. The keeper knows nothing of Kubernetes; it spawns, waits and cleans. It ends when the last lease is closed and
nobody pinned it, when told ``down``, on SIGTERM, or when one of its processes dies; then nothing is left: no process, socket, file or
lock.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import Claim, Network
from chaosfw.sandbox.keeper.children import Child, ending, last_words, spawn, stop
from chaosfw.sandbox.lines import LIMIT, Message, pack
from chaosfw.sandbox.prctl import children
from chaosfw.sandbox.spec import KUBERNETES, spec_from_json

_STOP_WITHIN: Final = 0.3

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Keeper:
    def __init__(self, *, directory: Path, claim: Claim, spec: Message) -> None:
        self._directory = directory
        self._claim = claim
        self._spec = spec
        self._pinned = False
        self._children: tuple[Child, ...] = ()
        self._leases: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}
        self._over: asyncio.Future[str] | None = None
        self._cleaned = False
        self._streams: Mapping[Child, Stream] = {}
        self._listening: asyncio.Task[None] | None = None

    def spawn(self) -> None:
        """Everything at once, before any loop runs here: they load while we do."""
        cwd, home, host = Path(self._spec["workdir"]), self._directory, self._claim.network.api_host
        orders, orders_of_control = socket.socketpair()
        with orders, orders_of_control:
            control = spawn(
                "control",
                "chaosfw.sandbox.control",
                "{keeper}",
                orders_of_control.fileno(),
                fds=[orders_of_control.fileno()],
                directory=home,
                cwd=cwd,
            )
            runtime = spawn(
                "runtime", "chaosfw.sandbox.runtime", orders.fileno(), "{keeper}", home, fds=[orders.fileno()], directory=home, cwd=cwd
            )
        dataplane = spawn(
            "dataplane", "chaosfw.sandbox.dataplane", home / "dataplane.sock", "{keeper}", self._spec["seed"], directory=home, cwd=cwd
        )
        spec = spec_from_json(self._spec)
        called = Network(self._claim.network.number, calls_nodes=True)
        nodes = [called.node(index) for index in range(spec.nodes)] if spec.control_plane == KUBERNETES else []
        authority = spawn("authority", "chaosfw.sandbox.keeper.authority", home, host, "{keeper}", *nodes, directory=home, cwd=cwd)
        self._children = (control, runtime, dataplane, authority)

    async def run(self, first: socket.socket) -> None:
        """Until the end. ``first`` is the starter's lease, and hears whether the sandbox is ready."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, f"the keeper was told to stop by {number.name}")
        reader, writer = await asyncio.open_unix_connection(sock=first, limit=LIMIT)
        self._leases[writer] = loop.create_task(self._lease(reader, writer))
        readying = loop.create_task(self._ready())
        waiting: set[asyncio.Future[Any]] = {readying, self._over}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not readying.done() or readying.exception() is not None:
            reason = self._over.result() if self._over.done() else str(readying.exception())
            self._say(writer, {"error": reason})
            await self._stop(reason)
            return
        server = await asyncio.start_unix_server(self._welcome, str(self._directory / "keeper.sock"), limit=LIMIT)
        self._say(writer, {"ready": True, "directory": str(self._directory), "pid": os.getpid()})
        reason = await self._over
        server.close()
        await self._stop(reason)

    def clean(self) -> None:
        """The end of everything; works from any state, also when :meth:`run` raised, and does nothing the second time."""
        if self._cleaned:
            return
        self._cleaned = True
        stop(self._children, within=_STOP_WITHIN)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._claim.release()

    async def _ready(self) -> None:
        """Control is told what to be once what it needs is there: certificates and the data plane's socket."""
        control, runtime, dataplane, authority = self._children
        streams = {child: await asyncio.open_unix_connection(sock=child.socket, limit=LIMIT) for child in self._children}
        self._streams = streams  # a forgotten writer closes its socket, and that would end the child
        await streams[authority][0].read()
        if authority.process.wait():
            raise SandboxError(f"no certificates: {last_words(authority)}")
        await self._first_word(dataplane, streams[dataplane][0])
        await self._first_word(runtime, streams[runtime][0])
        config = {
            "directory": str(self._directory),
            "network": self._claim.network.number,
            "token": secrets.token_urlsafe(32),
            "spec": self._spec,
        }
        streams[control][1].write(pack(config))
        await self._first_word(control, streams[control][0])
        watched = {child: streams[child][0] for child in (control, runtime, dataplane)}
        self._listening = asyncio.get_running_loop().create_task(self._listen(watched))

    async def _first_word(self, child: Child, reader: asyncio.StreamReader) -> None:
        line = await reader.readline()
        if not line:
            raise SandboxError(f"{ending(child)}\n{last_words(child)}")
        message: Message = json.loads(line)
        if "error" in message:
            raise SandboxError(str(message["error"]))

    async def _listen(self, readers: dict[Child, asyncio.StreamReader]) -> None:
        """Whichever ends first ends the sandbox."""
        tasks = {asyncio.ensure_future(reader.read()): child for child, reader in readers.items()}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        child = tasks[done.pop()]
        self._end(f"{ending(child)}\n{last_words(child)}".strip())

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._leases[writer] = asyncio.current_task()
        self._say(writer, {"lease": len(self._leases), "pid": os.getpid()})
        await self._lease(reader, writer)

    async def _lease(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self._say(writer, self._answer(json.loads(line)))
        except (OSError, ValueError):
            pass  # gone in mid-sentence is gone
        self._leases.pop(writer, None)
        writer.close()
        if not self._leases and not self._pinned:
            self._end("the last lease was closed")

    def _answer(self, request: Message) -> Message:
        match request["do"]:
            case "leave":
                last = len(self._leases) == 1 and not self._pinned
                if last:
                    self._end("the last lease was given back")
                return {"last": last}
            case "pin":
                self._pinned = True
                return {}
            case "down":
                self._end("told to stop")
                return {}
            case "status":
                return {"leases": len(self._leases) - 1, "pinned": self._pinned, "processes": self._processes()}
            case other:
                return {"error": f"the keeper does not know {other!r}"}

    def _processes(self) -> dict[str, list[int]]:
        own = {child.name: [child.process.pid] for child in self._children if child.process.returncode is None}
        runtime = own["runtime"][0]
        plane = list(children(own["control"][0])) if "control" in own else []
        return {"keeper": [os.getpid()], **own, **({"plane": plane} if plane else {}), "pods": list(children(runtime))}

    def _end(self, reason: str) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(reason)

    def _say(self, writer: asyncio.StreamWriter, message: Message) -> None:
        if not writer.is_closing():
            writer.write(pack(message))

    async def _stop(self, reason: str) -> None:
        """Tells the leases why; their sockets stay open until the process ends, so that a closed lease means a clean machine."""
        print(f"stopping: {reason}", flush=True)
        if self._listening is not None:
            self._listening.cancel()
        for writer in list(self._leases):
            self._say(writer, {"ended": reason})
        await asyncio.sleep(0)
        self.clean()
