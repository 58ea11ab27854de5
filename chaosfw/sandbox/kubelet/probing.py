"""
Probes, as Kubernetes means them: periods, thresholds, and the three ways to ask.

Used by :mod:`.container`, one :class:`Probe` per probe and incarnation. A probe reports only when its verdict changes.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from chaosfw.sandbox.addresses import HostPort
from chaosfw.sandbox.client.verbs import Object

FIRST_LOOK: Final = 0.05
"""
Seconds from the start of a container to its first probe. The real kubelet learns of a start from the container runtime, which takes
longer still.
"""

Say = Callable[[bool, str], None]
"""The verdict and, when it is bad, what was seen."""

Execute = Callable[[tuple[str, ...], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container: exit code and output; raises TimeoutError."""


@dataclass(frozen=True, slots=True)
class Answer:
    good: bool
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to ask. ``at`` resolves a probe's port, by number or name, to a back address."""

    at: Callable[[int | str], HostPort]
    execute: Execute


class Probe:
    """One probe of one running container."""

    def __init__(self, spec: Object, *, target: Target, starts_good: bool | None, awake: asyncio.Event) -> None:
        self._spec = spec
        self._target = target
        self._awake = awake
        self._verdict = starts_good
        self._streak = 0
        self._last: bool | None = None

    async def run(self, *, said: Say, failed: Callable[[str], None]) -> None:
        """Until cancelled. ``said`` hears each change of verdict, ``failed`` each single failure."""
        await asyncio.sleep(max(FIRST_LOOK, self._spec.get("initialDelaySeconds", 0)))
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._awake.wait()
            answer = await ask(self._spec, self._target)
            if not self._awake.is_set():
                continue  # the machine froze while it was asked: that says nothing of the container
            if not answer.good:
                failed(answer.text)
            if (verdict := self._weigh(answer)) is not None:
                said(verdict, answer.text)
            due = max(due + (self._spec.get("periodSeconds") or 10), loop.time())
            await asyncio.sleep(due - loop.time())

    def _weigh(self, answer: Answer) -> bool | None:
        """The new verdict when this answer changes it."""
        self._streak = self._streak + 1 if answer.good == self._last else 1
        self._last = answer.good
        needed = (self._spec.get("successThreshold") or 1) if answer.good else (self._spec.get("failureThreshold") or 3)
        if self._streak < needed or self._verdict == answer.good:
            return None
        self._verdict = answer.good
        return answer.good


async def ask(spec: Object, target: Target) -> Answer:
    """One look. Never raises: what goes wrong is a bad answer."""
    timeout = spec.get("timeoutSeconds") or 1
    try:
        async with asyncio.timeout(timeout):
            if http := spec.get("httpGet"):
                return await _http(http, target)
            if tcp := spec.get("tcpSocket"):
                return await _tcp(target.at(tcp["port"]))
            if command := spec.get("exec"):
                return await _exec(tuple(command.get("command") or ()), target, timeout=timeout)
    except TimeoutError:
        return Answer(
            False, f"command timed out after {timeout}s" if "exec" in spec else "context deadline exceeded (Client.Timeout exceeded)"
        )
    except (OSError, ValueError, KeyError, LookupError) as error:
        return Answer(False, str(error))
    return Answer(True)


async def _http(http: Object, target: Target) -> Answer:
    at = target.at(http["port"])
    path = http.get("path") or "/"
    secure = _unverified() if (http.get("scheme") or "HTTP") == "HTTPS" else None
    reader, writer = await asyncio.open_connection(at.host, at.port, ssl=secure)
    try:
        headers = {"Host": str(at), "User-Agent": "kube-probe/1.37", "Accept": "*/*", "Connection": "close"}
        headers |= {header["name"]: header["value"] for header in http.get("httpHeaders") or ()}
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        status = (await reader.readline()).split(b" ", 2)
    finally:
        writer.close()
    if len(status) < 2 or not status[1].isdigit():
        return Answer(False, f'Get "http://{at}{path}": EOF')
    code = int(status[1])
    return Answer(200 <= code < 400, f"HTTP probe failed with statuscode: {code}")


async def _tcp(at: HostPort) -> Answer:
    _, writer = await asyncio.open_connection(at.host, at.port)
    writer.close()
    return Answer(True)


async def _exec(command: tuple[str, ...], target: Target, *, timeout: float) -> Answer:
    code, output = await target.execute(command, timeout)
    return Answer(code == 0, output)


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
