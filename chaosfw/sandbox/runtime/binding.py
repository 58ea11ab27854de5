"""
Makes a Python program that binds "all addresses" bind its pod's own: three pods cannot all have 0.0.0.0:8000 on one machine.

Called once in a fresh fork, before the program. Only programs that bind through ``socket.socket`` are reached; others bind ``$POD_IP``.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from chaosfw.sandbox.addresses import unprivileged

_ANY: Final = frozenset({"", "0.0.0.0"})


def rewrite_binds(host: str) -> None:
    """From here on, 0.0.0.0 means ``host`` in this process, and ports below 1024 are moved up as on every back address."""
    bind = socket.socket.bind

    def rewritten(self: socket.socket, address: Any) -> None:
        bind(self, _own(self, address, host=host))

    socket.socket.bind = rewritten  # type: ignore[method-assign, assignment]  # typeshed names the argument otherwise


def _own(sock: socket.socket, address: Any, *, host: str) -> Any:
    if sock.family == socket.AF_INET and address[0] in _ANY:
        return (host, unprivileged(address[1]))
    if sock.family == socket.AF_INET6 and address[0] in {"", "::"}:
        return _own6(sock, address, host=host)
    return address


def _own6(sock: socket.socket, address: Any, *, host: str) -> Any:
    """A v6-only listener stands beside a v4 one that gets the real address: it goes out of the way, to a port of its own."""
    if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return ("::1", 0, *address[2:])
    return (f"::ffff:{host}", unprivileged(address[1]), *address[2:])
