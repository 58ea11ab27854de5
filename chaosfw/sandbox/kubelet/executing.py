"""
A command that somebody runs in a container (``kubectl exec``): its streams, its end.

Made by :mod:`.inward`, carried over a socket by :mod:`chaosfw.sandbox.channels`. The runtime starts the process as it starts a container's
own; its streams are FIFOs in the pod's directory, or one pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import struct
import tempfile
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from chaosfw.sandbox.client.verbs import STDERR, STDIN, STDOUT, Wanted
from chaosfw.sandbox.runtime.door import Process, RuntimeDoor
from chaosfw.sandbox.runtime.orders import Order

_PIECE: Final = 32_768
_MOST: Final = 64
"""Pieces that wait for whoever listens; then the command has to."""
_NAMES: Final = {STDIN: "stdin", STDOUT: "stdout", STDERR: "stderr"}


@dataclass(frozen=True, slots=True)
class Ends:
    """Our ends, by stream, and what the process gets."""

    ours: dict[int, int]
    theirs: tuple[str, str, str]


class Execution:
    """Implements :class:`~chaosfw.sandbox.client.verbs.Execution`."""

    def __init__(self, process: Process, *, ends: Ends, tty: bool, directory: Path) -> None:
        self._process, self._tty, self._directory = process, tty, directory
        self._input = ends.ours.get(STDIN)
        self._outputs = {stream: fd for stream, fd in ends.ours.items() if stream != STDIN or tty}
        self._said: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self._held: list[tuple[int, int]] = []
        """Streams that are not read for a while: whoever listens is slower than the command."""
        self._open = 0
        loop = asyncio.get_running_loop()
        for stream, fd in self._outputs.items():
            self._open += 1
            loop.add_reader(fd, self._hear, STDOUT if tty else stream, fd)
        if not self._open:
            self._said.put_nowait(None)

    async def feed(self, data: bytes) -> None:
        """To its standard input; what it does not read holds the caller up. Nothing happens when it no longer listens."""
        rest = memoryview(data)
        while rest and self._input is not None:
            try:
                rest = rest[os.write(self._input, rest) :]
            except BlockingIOError:
                await self._writable(self._input)
            except OSError:
                self.feed_end()

    def feed_end(self) -> None:
        """End of file; a terminal has none, and goes on."""
        if self._input is not None and not self._tty:
            os.close(self._input)
            self._input = None

    def resize(self, *, width: int, height: int) -> None:
        if self._tty and self._input is not None:
            fcntl.ioctl(self._input, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """``(STDOUT | STDERR, bytes)`` until all of it has been said."""
        loop = asyncio.get_running_loop()
        while (piece := await self._said.get()) is not None:
            if self._held and self._said.qsize() < _MOST // 2:
                for stream, fd in self._held:
                    loop.add_reader(fd, self._hear, stream, fd)
                self._held = []
            yield piece

    async def code(self) -> int:
        return (await self._process.wait()).code

    def close(self) -> None:
        """Whoever asked has gone, or all is said. What still runs is hung up on, as at the end of a terminal."""
        self._process.signal(signal.SIGHUP)
        loop = asyncio.get_running_loop()
        for fd in self._outputs.values():
            loop.remove_reader(fd)
        for fd in {*self._outputs.values(), *(() if self._input is None else (self._input,))}:
            os.close(fd)
        self._outputs, self._input, self._held = {}, None, []
        shutil.rmtree(self._directory, ignore_errors=True)

    def _hear(self, stream: int, fd: int) -> None:
        try:
            data = os.read(fd, _PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal whose last process has gone says EIO
        if data:
            self._said.put_nowait((stream, data))
            if self._said.qsize() >= _MOST:
                asyncio.get_running_loop().remove_reader(fd)
                self._held.append((stream, fd))
            return
        asyncio.get_running_loop().remove_reader(fd)
        self._open -= 1
        if not self._open:
            self._said.put_nowait(None)

    async def _writable(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()

        def be_ready() -> None:
            if not ready.done():
                ready.set_result(None)

        loop.add_writer(fd, be_ready)
        ended = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]  # two kinds of future
        finally:
            loop.remove_writer(fd)
            ended.cancel()


async def execute(runtime: RuntimeDoor, order: Order, *, wanted: Wanted, directory: Path) -> Execution:
    """Starts it. Raises SandboxError when it could not be started."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="exec-", dir=directory))
    ends, guards = _terminal() if wanted.tty else _pipes(made, wanted)
    try:
        process = await runtime.start(replace(order, streams=ends.theirs))
    except BaseException:
        for fd in {*ends.ours.values(), *guards}:
            os.close(fd)
        shutil.rmtree(made, ignore_errors=True)
        raise
    if not wanted.tty and STDIN in ends.ours:  # the process has its end now: from here on ours is the only one that writes
        ends.ours[STDIN] = os.open(ends.theirs[STDIN], os.O_WRONLY | os.O_NONBLOCK)
    for fd in guards:
        os.close(fd)
    return Execution(process, ends=ends, tty=wanted.tty, directory=made)


def _pipes(directory: Path, wanted: Wanted) -> tuple[Ends, tuple[int, ...]]:
    """A FIFO for each stream that is wanted. The guard keeps that of stdin open until both sides have it."""
    theirs, ours, guards = [os.devnull] * 3, {}, []
    for stream, name in _NAMES.items():
        if stream not in wanted.streams:
            continue
        theirs[stream] = str(directory / name)
        os.mkfifo(theirs[stream], 0o600)
        if stream == STDIN:
            ours[stream] = os.open(theirs[stream], os.O_RDWR | os.O_NONBLOCK)
            guards.append(ours[stream])
        else:
            ours[stream] = os.open(theirs[stream], os.O_RDONLY | os.O_NONBLOCK)
    return Ends(ours, (theirs[0], theirs[1], theirs[2])), tuple(guards)


def _terminal() -> tuple[Ends, tuple[int, ...]]:
    """One descriptor for all that comes and goes."""
    ours, theirs = os.openpty()
    os.set_blocking(ours, False)
    name = os.ttyname(theirs)
    return Ends({STDIN: ours}, (name, name, name)), (theirs,)
