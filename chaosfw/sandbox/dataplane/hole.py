"""
A front that answers nothing at all, as the address of a machine without power: SYNs are dropped, a connect times out.

Used by :mod:`.proxy`. Without privileges there is one way: a listener whose queue is full. It holds the connections that fill it, and
never accepts.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from chaosfw.sandbox.addresses import HostPort

_FILLERS: Final = 2
"""A queue of length 0 has room for one connection; the second shows that it is full."""


class Hole:
    def __init__(self, at: HostPort) -> None:
        self._listener = socket.create_server(at, backlog=0)
        self._held = [_knock(at) for _ in range(_FILLERS)]

    def close(self) -> None:
        """Those that were waiting hear a reset; from here on the kernel refuses, until somebody listens again."""
        for held in self._held:
            held.close()
        self._listener.close()


def _knock(at: HostPort) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    code = sock.connect_ex(at)
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise OSError(code, f"cannot fill the queue of {at}")
    return sock
