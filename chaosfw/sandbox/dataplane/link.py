"""
One proxied connection: the client's half and the pod's half, and what a fault does to them.

Made by :mod:`.proxy`, one :class:`Link` per accepted connection. It passes on bytes, half-closes and resets, each as it came, and holds
back a side whose peer does not read. It does not choose the backend.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from chaosfw.sandbox.dataplane.table import Backend, Place

_RESET: Final = struct.pack("ii", 1, 0)


class Link:
    """Two :class:`Half`, alive as long as one of them is."""

    def __init__(self, *, source: Place, backend: Backend, on_end: Callable[[Link], None]) -> None:
        self.source = source
        self.backend = backend
        self.client = Half(self)
        self.pod = Half(self)
        self.client.peer, self.pod.peer = self.pod, self.client
        self.delay = 0.0
        self.stalled = False
        self._lost = False
        self._on_end: Callable[[Link], None] | None = on_end

    def stall(self, stalled: bool) -> None:
        """Stops or restarts the bytes both ways; the kernel's windows do the rest."""
        self.stalled = stalled
        if self._lost and not stalled:
            self.reset()
            return
        self.client.breathe()
        self.pod.breathe()

    def unreachable(self) -> None:
        """Nobody listens at the pod's end. The client hears of it by RST; behind a stall, when that is over."""
        if self.stalled:
            self._lost = True
        else:
            self.reset()

    def reset(self) -> None:
        """RST to both ends."""
        self.client.reset()
        self.pod.reset()
        self.ended()

    def ended(self) -> None:
        """Tells the proxy, once."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self)


class Half(asyncio.Protocol):
    """One side. What it receives goes to its peer."""

    peer: Half

    def __init__(self, link: Link) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._peer_is_full = False
        self._reading = True
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.breathe()
        self.peer.breathe()

    def breathe(self) -> None:
        """Reads exactly while both sides are connected, the peer takes what comes, and no fault stalls the link."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        wanted = self.peer._transport is not None and not self._peer_is_full and not self._link.stalled
        if wanted and not self._reading:
            transport.resume_reading()
        elif not wanted and self._reading:
            transport.pause_reading()
        self._reading = wanted

    def data_received(self, data: bytes) -> None:
        if self._link.delay:
            asyncio.get_running_loop().call_later(self._link.delay, self.peer.send, data)
        else:
            self.peer.send(data)

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._finished:
            self._transport.write(data)

    def eof_received(self) -> bool:
        if self._link.delay:
            asyncio.get_running_loop().call_later(self._link.delay, self.peer.finish)
        else:
            self.peer.finish()
        return True

    def finish(self) -> None:
        """The peer said all it had to say: FIN, and the end of the link when both did."""
        self._finished = True
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write_eof()
        if self.peer._finished:
            self.close()
            self.peer.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self.peer.close()
        else:
            self.peer.reset()
        self._link.ended()

    def pause_writing(self) -> None:
        self.peer._peer_is_full = True
        self.peer.breathe()

    def resume_writing(self) -> None:
        self.peer._peer_is_full = False
        self.peer.breathe()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()


def reset_on_close(sock: socket.socket) -> None:
    """Makes the coming close an RST."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    except OSError:
        pass  # already gone: nothing to reset
