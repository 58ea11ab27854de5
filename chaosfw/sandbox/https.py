"""
The sandbox's API server for callers without a loop: one request at a time, JSON both ways.

Used by :mod:`.public` and :mod:`.manifests` in the user's process; loads the standard library only.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
import urllib.parse
from pathlib import Path
from typing import Any

from chaosfw.errors import SandboxError
from chaosfw.sandbox.client.verbs import ApiError, Object


class Api:
    def __init__(self, server: str, *, token: str, authority: Path) -> None:
        parts = urllib.parse.urlsplit(server)
        self._host, self._port = parts.hostname or "", parts.port or 443
        self._token = token
        self._context = ssl.create_default_context(cafile=str(authority))
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str) -> Object:
        return self.call("GET", path)

    def call(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Object:
        """Raises ApiError for what the server refuses, SandboxError when there is none."""
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        try:
            status, answer = self._exchange(method, path, data, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise SandboxError(f"the sandbox's API server does not answer: {error or type(error).__name__}") from error
        if status >= 400:
            raise ApiError(status, answer.get("reason", ""), answer.get("message", ""), details=answer.get("details"))
        return answer

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, Object]:
        if self._connection is not None and _is_over(self._connection):
            self.close()
        if self._connection is None:
            self._connection = http.client.HTTPSConnection(self._host, self._port, context=self._context, timeout=30)
        self._connection.request(method, path, body=data, headers=headers)
        response = self._connection.getresponse()
        text = response.read()
        return response.status, _object(text, status=response.status)


def _is_over(connection: http.client.HTTPSConnection) -> bool:
    """The server has ended it meanwhile, as servers do after a minute or two: there is something to read before anything was asked."""
    return connection.sock is None or bool(select.select([connection.sock], [], [], 0)[0])


def _object(text: bytes, *, status: int) -> Object:
    try:
        found = json.loads(text)
    except ValueError:
        found = {"message": text.decode(errors="replace")}
    return found if isinstance(found, dict) else {"message": f"answer {status} is no object"}
