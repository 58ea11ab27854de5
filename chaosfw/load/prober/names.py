"""
The prober's own DNS: a name is resolved before the load begins and again each second, beside the loop and never in it.

Read by :mod:`chaosfw.load.prober.sending` for each new connection. An address literal is never looked up. One address is
used and no other is tried when it does not answer: that would be a retry that no sample tells of.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

Address = tuple[int, Any]
"""Address family and what ``connect`` takes."""

_REFRESH = 1.0


class Names:
    """One host. ``address`` None: the last look-up failed, and requests end as ``dns``. ``made`` and ``failed`` count look-ups."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._over = threading.Event()
        self._looked_up = not _is_literal(host)
        self.made = self.failed = 0
        self.address: Address | None = self._resolve()
        if self._looked_up:
            threading.Thread(target=self._follow, name="dns", daemon=True).start()

    def close(self) -> None:
        self._over.set()

    def _follow(self) -> None:
        while not self._over.wait(_REFRESH):
            self.address = self._resolve()

    def _resolve(self) -> Address | None:
        self.made += self._looked_up
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # a label of 64 letters does not get as far as the resolver
            self.failed += self._looked_up
            return None
        first = min(found, key=lambda one: one[0] != socket.AF_INET)  # one address is taken: IPv4 is what test services listen on
        return (first[0], first[4])


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
