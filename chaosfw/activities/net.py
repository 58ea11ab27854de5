"""Probes of plain network services, as Chaos Toolkit python providers."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

__all__ = ["tcp_accepts"]


def tcp_accepts(address: str, timeout: float = 1.0) -> bool:
    """Whether ``host:port`` (or a URL) accepts a TCP connection within ``timeout`` seconds."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", port), timeout=timeout):
            return True
    except OSError:
        return False
