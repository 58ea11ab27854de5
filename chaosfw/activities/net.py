"""Probes of plain network services and of what says whether to go on, as Chaos Toolkit python providers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from chaosfw.errors import DriverError

__all__ = ["file_is_absent", "promql_is_empty", "tcp_accepts"]


def tcp_accepts(address: str, timeout: float = 1.0) -> bool:
    """Whether ``host:port`` (or a URL) accepts a TCP connection within ``timeout`` seconds."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "127.0.0.1", port), timeout=timeout):
            return True
    except OSError:
        return False


def file_is_absent(path: str) -> bool:
    """Whether there is no such file: somebody makes it to say stop. Raises OSError when the folder can not be looked into."""
    try:
        Path(path).stat()
    except FileNotFoundError:
        return True
    return False


def promql_is_empty(server: str, expression: str, timeout: float = 2.0) -> bool:
    """
    Whether a PromQL expression has no result right now, as an alert that does not fire. ``server``: a Prometheus, such as
    ``https://prometheus.example``. Raises DriverError with its words when it does not answer, or not with a result.
    """
    asked = Request(f"{server.rstrip('/')}/api/v1/query?{urlencode({'query': expression})}", headers={"Accept": "application/json"})
    try:
        with urlopen(asked, timeout=timeout) as answer:
            told = json.load(answer)
    except (OSError, ValueError) as trouble:
        raise DriverError(f"{server} does not answer {expression!r}: {trouble}") from trouble
    if told.get("status") != "success":
        raise DriverError(f"{server} can not answer {expression!r}: {told.get('error', 'without a word')}")
    return not told["data"]["result"]
