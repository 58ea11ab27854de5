"""
What runs in an executor's child: reads calls, runs each in a thread, writes answers. Ends by end of file on its standard
input, taking with it whatever it started.

Knows neither chaoslib nor Kubernetes: the two callables that do are given by ``processes.executor``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import IO

import msgspec

from chaosfw.errors import ChaosfwError
from chaosfw.executor.wire import Ready, Request
from chaosfw.model.struct import Json, Noun, encode
from chaosfw.ports import Answer, KindCall, ProviderCall
from chaosfw.timing import Clock


class Serving:
    """``provider`` and ``kind`` answer calls; whatever they raise becomes the answer's error."""

    def __init__(
        self,
        *,
        clock: Clock,
        provider: Callable[[ProviderCall], Json],
        kind: Callable[[KindCall], Json],
        requests: IO[bytes],
        replies: IO[bytes],
    ) -> None:
        self._clock = clock
        self._provider = provider
        self._kind = kind
        self._requests = requests
        self._replies = replies
        self._guard = threading.Lock()

    def run(self, warm: Sequence[str]) -> None:
        """Returns at end of file."""
        cold = {name: why for name in warm if (why := imported(name))}
        self._send(Ready(pid=os.getpid(), warm=tuple(name for name in warm if name not in cold), cold=cold))
        decoder = msgspec.json.Decoder(Request)
        for line in self._requests:
            request = decoder.decode(line)
            threading.Thread(target=self._serve, args=(request,), daemon=True).start()

    def _serve(self, request: Request) -> None:
        began = self._clock.monotonic_ns()
        value: Json = None
        error = hint = ""
        try:
            value = self._provider(request.call) if isinstance(request.call, ProviderCall) else self._kind(request.call)
        except ChaosfwError as trouble:
            error, hint = f"{type(trouble).__name__}: {trouble.message}", trouble.hint
        except BaseException as trouble:  # a driver may raise SystemExit too: it must not pass for silence
            error = f"{type(trouble).__name__}: {trouble}"
        ended = self._clock.monotonic_ns()
        self._send(Answer(ticket=request.ticket, began=began, ended=ended, value=_plain(value), error=error, hint=hint))

    def _send(self, reply: Noun) -> None:
        try:
            with self._guard:
                self._replies.write(encode(reply) + b"\n")
                self._replies.flush()
        except OSError:
            leave()  # nobody listens any more


def leave() -> None:
    """Ends this process and its whole group at once."""
    sys.stdout.flush()
    os.killpg(os.getpgid(0), signal.SIGKILL)


def imported(name: str) -> str:
    """Imports a module; why it could not be, or nothing."""
    try:
        import_module(name)
    except Exception as trouble:
        return f"{type(trouble).__name__}: {trouble}"
    return ""


def _plain(value: Json) -> Json:
    """The value if JSON can hold it, else its words: a driver may return anything."""
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError):
        return repr(value)[:2000]
    return value
