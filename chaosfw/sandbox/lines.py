"""
JSON lines over Unix sockets: how the sandbox's own processes and their users talk. A request is an object with ``do``; the answer
is an object, with ``error`` when it went wrong.

Used by the data plane, the control process, the keeper and :mod:`chaosfw.sandbox.public`. Says nothing about what is asked.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from chaosfw.errors import SandboxError

Message = dict[str, Any]
Handler = Callable[[Message], Awaitable[Message]]

LIMIT = 64 * 1024 * 1024
"""Longest line: a full table of routes or an exposure log."""


def pack(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def ask(path: Path, request: Message, *, timeout: float = 10.0) -> Message:
    """One question on a connection of its own, for callers without a loop."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout)
        try:
            sock.connect(str(path))
            sock.sendall(pack(request))
            answer = read_line(sock)
        except OSError as error:
            raise SandboxError(f"the sandbox does not answer at {path}: {error}") from error
    if answer is None:
        raise SandboxError(f"the sandbox closed {path} without an answer to {request.get('do')!r}")
    return checked(answer)


def read_line(sock: socket.socket) -> Message | None:
    """The next message, or nothing at end of file. What is behind it stays in the socket for whoever reads on."""
    buffer = bytearray()
    while not buffer.endswith(b"\n"):
        waiting = sock.recv(65_536, socket.MSG_PEEK)
        if not waiting:
            return None
        buffer += sock.recv(waiting.find(b"\n") + 1 or len(waiting))
    message: Message = json.loads(buffer)
    return message


def checked(answer: Message) -> Message:
    """The answer, or its error raised."""
    if "error" in answer:
        raise SandboxError(str(answer["error"]), hint=str(answer.get("hint", "")))
    return answer


class Caller:
    """One connection that asks many questions, in order, from a loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> Caller:
        return cls(*await asyncio.open_unix_connection(str(path), limit=LIMIT))

    async def ask(self, request: Message) -> Message:
        async with self._turn:
            self._writer.write(pack(request))
            await self._writer.drain()
            line = await self._reader.readline()
        if not line:
            raise SandboxError(f"the other side is gone, {request.get('do')!r} has no answer")
        return checked(json.loads(line))

    def close(self) -> None:
        self._writer.close()


async def serve(path: Path, handler: Handler) -> asyncio.Server:
    """Answers questions at ``path`` until the server is closed. An exception of the handler is the answer."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(pack(await _answer(handler, json.loads(line))))
                await writer.drain()
        except (OSError, ValueError):
            pass  # the other side went away in mid-sentence
        finally:
            writer.close()

    return await asyncio.start_unix_server(session, str(path), limit=LIMIT)


async def _answer(handler: Handler, request: Message) -> Message:
    try:
        return await handler(request)
    except SandboxError as error:
        return {"error": error.message, "hint": error.hint}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
