"""
Requests to one API server as raw JSON, with the credentials of the run's own kubeconfig.

The kubernetes package configures the connection (certificates, exec credential plugins); its models are not used, because
they cost seconds for a few thousand pods and refuse what other servers send. Used by everything in this room and by the
activities; knows nothing of faults.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
import yaml
from kubernetes import config

from chaosfw.errors import DriverError, EnvironmentTrouble
from chaosfw.model.struct import Json

Object = dict[str, Any]
TIMEOUT = 5.0
"""Seconds that one request may take: an API server that needs longer is not one to hold a fault on."""

MANAGER = "chaosfw"
"""Who we are in managedFields, so that the audit can tell our writes from those of others."""
PIECE = 1 << 18
"""Bytes of a log that are read at once, at most."""
WATCH = 300
"""Seconds after which the server is asked to end a watch, so that one that hangs is noticed."""


class Answered(DriverError):
    """The server answered with a failure Status: ``code`` and ``reason`` are its own."""

    def __init__(self, code: int, status: Object) -> None:
        self.code = code
        self.reason = str(status.get("reason", ""))
        self.details: Object = status.get("details") or {}
        super().__init__(f"{code} {self.reason}: {status.get('message', '')}")


class Cluster:
    """One API server. Safe to use from several threads. ``manager``: in whose name is written."""

    def __init__(self, kubeconfig: str, *, manager: str = MANAGER) -> None:
        self.kubeconfig, self._signed = kubeconfig, {"fieldManager": manager}
        self._client = config.new_client_from_config(config_file=kubeconfig)
        self._configuration = self._client.configuration
        self._pool: urllib3.PoolManager = self._client.rest_client.pool_manager
        self._token_file = _token_file(kubeconfig)
        self.server: str = self._configuration.host

    def get(self, path: str, **query: Any) -> Object:
        return self._send("GET", path, query=query)

    def readable(self, path: str) -> list[Object]:
        """All items of a list; none where there is no such list, or where it may not be read."""
        try:
            return self.items(path)
        except Answered as answer:
            if answer.code in (403, 404):
                return []
            raise

    def items(self, path: str, **query: Any) -> list[Object]:
        """All items of a list, page by page."""
        found: list[Object] = []
        page: Object = {}
        while not found or page.get("metadata", {}).get("continue"):
            token = page.get("metadata", {}).get("continue")
            page = self.get(path, limit=500, **({"continue": token} if token else {}), **query)
            found += page.get("items") or []
            if not page.get("metadata", {}).get("continue"):
                break
        return found

    def listed(self, path: str) -> tuple[list[Object], str]:
        """All items of a list in one answer, and the version from which a watch goes on."""
        answer = self.get(path)
        return answer.get("items") or [], str(answer.get("metadata", {}).get("resourceVersion", ""))

    def watch(self, path: str, *, since: str) -> Iterator[tuple[str, Object]]:
        """
        Changes from a version on, ``(ADDED, object)`` and the like, as they come; ends when the server ends it. Raises
        EnvironmentTrouble when the server is silent for longer than it promised, Answered when the version has expired.
        """
        query = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "true", "timeoutSeconds": str(WATCH)}
        timeout = urllib3.Timeout(connect=TIMEOUT, read=WATCH + TIMEOUT)
        try:
            answer = self._pool.request(
                "GET",
                f"{self.server}{path}?{urlencode(query)}",
                headers={"Accept": "application/json", **self._authorization()},
                timeout=timeout,
                retries=False,
                preload_content=False,
            )
            with answer:
                if answer.status >= 400:
                    raise Answered(answer.status, _parsed(answer.data))
                for line in answer:
                    change = _parsed(line)
                    if change.get("type") == "ERROR":
                        raise Answered(int(change["object"].get("code", 410)), change["object"])
                    yield str(change.get("type", "")), change.get("object") or {}
        except (urllib3.exceptions.HTTPError, OSError) as trouble:
            raise EnvironmentTrouble(f"watch {path}: the API server at {self.server} does not answer: {trouble}") from trouble

    def follow(self, path: str, **query: Any) -> Iterator[bytes]:
        """
        What the server goes on writing, as it comes, until it ends: a log. Raises Answered for a refusal, EnvironmentTrouble when the
        connection breaks.
        """
        url = f"{self.server}{path}?{urlencode(query)}"
        timeout = urllib3.Timeout(connect=TIMEOUT, read=None)
        try:
            answer = self._pool.request("GET", url, headers=self._authorization(), timeout=timeout, retries=False, preload_content=False)
            with answer:
                if answer.status >= 400:
                    raise Answered(answer.status, _parsed(answer.data))
                yield from answer.stream(PIECE)
        except (urllib3.exceptions.HTTPError, OSError) as trouble:
            raise EnvironmentTrouble(f"GET {path}: the API server at {self.server} went away: {trouble}") from trouble

    def find(self, path: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            return self.get(path)
        except Answered as answer:
            if answer.code == 404:
                return None
            raise

    def readable_one(self, path: str) -> Object | None:
        """The object; None where there is none, or where it may not be read."""
        try:
            return self.find(path)
        except Answered as answer:
            if answer.code == 403:
                return None
            raise

    def date(self, path: str = "/version") -> str:
        """The time that the server says it is, or what it stands before, as HTTP writes it; empty where it does not say."""
        try:
            answer = self._pool.request("GET", f"{self.server}{path}", headers=self._authorization(), timeout=TIMEOUT, retries=False)
        except (urllib3.exceptions.HTTPError, OSError) as trouble:
            raise EnvironmentTrouble(f"GET {path}: the API server at {self.server} does not answer: {trouble}") from trouble
        if answer.status >= 400:
            raise Answered(answer.status, _parsed(answer.data))
        return str(answer.headers.get("Date", ""))

    def patch(self, path: str, body: Json) -> Object:
        """A merge patch; with ``metadata.resourceVersion`` in it a compare-and-swap (409 when it moved)."""
        return self._send("PATCH", path, query=self._signed, body=body, content="application/merge-patch+json")

    def post(self, path: str, body: Json) -> Object:
        return self._send("POST", path, query=self._signed, body=body)

    def delete(self, path: str, body: Json = None) -> Object:
        return self._send("DELETE", path, body=body)

    def _send(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Json = None, content: str = "application/json"
    ) -> Object:
        url = self.server + path + ("?" + urlencode(query) if query else "")
        headers = {"Accept": "application/json", **self._authorization()}
        if body is not None:
            headers["Content-Type"] = content
        try:
            answer = self._pool.request(
                method, url, body=None if body is None else json.dumps(body).encode(), headers=headers, timeout=TIMEOUT, retries=False
            )
        except (urllib3.exceptions.HTTPError, OSError) as trouble:
            raise EnvironmentTrouble(f"{method} {path}: the API server at {self.server} does not answer: {trouble}") from trouble
        parsed = _parsed(answer.data)
        if answer.status >= 400:
            raise Answered(answer.status, parsed)
        return parsed

    def _authorization(self) -> dict[str, str]:
        if self._token_file is not None:
            return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}  # the kubelet renews it long before it ends
        if self._configuration.refresh_api_key_hook is not None:
            self._configuration.refresh_api_key_hook(self._configuration)
        for name in ("authorization", "BearerToken"):
            if value := self._configuration.get_api_key_with_prefix(name):
                return {"Authorization": value}
        basic = self._configuration.get_basic_auth_token()
        return {"Authorization": basic} if self._configuration.username and basic else {}


def _token_file(kubeconfig: str) -> Path | None:
    """Where the token of the current user is, if it is kept in a file of its own: a pod's is renewed every hour."""
    written = yaml.safe_load(Path(kubeconfig).read_text()) or {}
    contexts = {one.get("name"): one.get("context") or {} for one in written.get("contexts") or []}
    users = {one.get("name"): one.get("user") or {} for one in written.get("users") or []}
    user = users.get(contexts.get(written.get("current-context"), {}).get("user"), {})
    return Path(kubeconfig).parent / user["tokenFile"] if user.get("tokenFile") else None


_clusters: dict[str, Cluster] = {}
_guard = threading.Lock()


def here() -> Cluster:
    """The cluster of this process: the one of ``KUBECONFIG``, which the run's executor has set to its own file."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    if not kubeconfig:
        raise EnvironmentTrouble(
            "no cluster is declared here: KUBECONFIG is not set", hint="activities of chaosfw never fall back to ~/.kube/config"
        )
    with _guard:
        if kubeconfig not in _clusters:
            _clusters[kubeconfig] = Cluster(kubeconfig)
        return _clusters[kubeconfig]


def _parsed(data: bytes) -> Object:
    try:
        value = json.loads(data or b"{}")
    except ValueError:
        return {"message": data[:300].decode(errors="replace")}
    return value if isinstance(value, dict) else {"value": value}
