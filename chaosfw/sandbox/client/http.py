"""
The client over HTTPS: the same verbs against any API server, ours or a real one.

Used by the kubelet where the control plane is another process. It learns the path of a resource from discovery, once.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp

from chaosfw.sandbox.client.verbs import ApiError, Object, PatchStyle

_STYLES: Mapping[str, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is served."""

    root: str
    namespaced: bool

    def path(self, plural: str, *, namespace: str, name: str = "", subresource: str = "") -> str:
        where = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        tail = "".join(f"/{quote(part)}" for part in (name, subresource) if part)
        return f"{self.root}{where}/{plural}{tail}"


class HttpClient:
    """A :class:`~.verbs.Client` over one connection pool. Use it as an async context manager, or ``close`` it."""

    def __init__(self, url: str, *, ssl_context: ssl.SSLContext, token: str) -> None:
        self._url, self._ssl = url.rstrip("/"), ssl_context
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._session: aiohttp.ClientSession | None = None
        self._places: dict[str, Place] = {}

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # --- verbs

    async def get(self, resource: str, name: str, *, namespace: str = "") -> Object:
        return await self._call("GET", await self._path(resource, namespace=namespace, name=name))

    async def list(self, resource: str, *, namespace: str = "", labels: str = "", fields: str = "") -> tuple[list[Object], str]:
        query = _query(labelSelector=labels, fieldSelector=fields)
        found = await self._call("GET", await self._path(resource, namespace=namespace), query=query)
        kind, version = found["kind"].removesuffix("List"), found["apiVersion"]
        return [{"kind": kind, "apiVersion": version, **item} for item in found["items"] or ()], found["metadata"]["resourceVersion"]

    async def watch(
        self, resource: str, *, since: str, namespace: str = "", labels: str = "", fields: str = ""
    ) -> AsyncIterator[tuple[str, Object]]:
        query = _query(watch="true", resourceVersion=since, allowWatchBookmarks="true", labelSelector=labels, fieldSelector=fields)
        url = self._url + await self._path(resource, namespace=namespace)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        with _told_as_trouble(url):
            async with self._open().get(url, params=query, timeout=timeout, ssl=self._ssl) as answer:
                if answer.status >= 400:
                    raise _refusal(answer.status, await answer.read())
                async for line in _lines(answer.content):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise _from_status(event["object"])
                    yield event["type"], event["object"]

    async def create(self, resource: str, body: Object, *, namespace: str = "") -> Object:
        inner = namespace or body.get("metadata", {}).get("namespace", "")
        if resource == "bindings":  # by the pod's own door, as Kubernetes' scheduler does it: only there a pod gets its node's topology
            path = await self._path("pods", namespace=inner, name=body["metadata"]["name"], subresource="binding")
        else:
            path = await self._path(resource, namespace=inner)
        return await self._call("POST", path, body=body)

    async def replace(self, resource: str, name: str, body: Object, *, namespace: str = "", subresource: str = "") -> Object:
        path = await self._path(resource, namespace=namespace, name=name, subresource=subresource)
        return await self._call("PUT", path, body=body)

    async def patch(
        self, resource: str, name: str, body: Any, *, namespace: str = "", subresource: str = "", style: PatchStyle = "merge"
    ) -> Object:
        path = await self._path(resource, namespace=namespace, name=name, subresource=subresource)
        return await self._call("PATCH", path, body=body, content_type=_STYLES[style])

    async def delete(
        self, resource: str, name: str, *, namespace: str = "", uid: str = "", grace: int | None = None, propagation: str = ""
    ) -> Object:
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid:
            body["preconditions"] = {"uid": uid}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if propagation:
            body["propagationPolicy"] = propagation
        return await self._call("DELETE", await self._path(resource, namespace=namespace, name=name), body=body)

    async def evict(self, name: str, *, namespace: str) -> Object:
        body = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": name, "namespace": namespace}}
        return await self._call("POST", await self._path("pods", namespace=namespace, name=name, subresource="eviction"), body=body)

    async def token(self, account: str, *, namespace: str, pod: Object, source: Object) -> str:
        """For a pod that runs as that service account, as a kubelet asks for it: bound to the pod, with what its volume wants."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        spec: Object = {"boundObjectRef": bound, "audiences": [source["audience"]] if source.get("audience") else []}
        if "expirationSeconds" in source:
            spec["expirationSeconds"] = source["expirationSeconds"]
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec}
        path = await self._path("serviceaccounts", namespace=namespace, name=account, subresource="token")
        return str((await self._call("POST", path, body=body))["status"]["token"])

    # --- the wire

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(headers=self._headers, connector=connector)
        return self._session

    async def _call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None, content_type: str = "application/json"
    ) -> Object:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type} if data is not None else {}
        call = self._open().request(method, self._url + path, params=query, data=data, headers=headers, ssl=self._ssl)
        with _told_as_trouble(path):
            async with call as answer:
                content = await answer.read()
        if answer.status >= 400:
            raise _refusal(answer.status, content)
        found: Object = json.loads(content)
        return found

    async def _path(self, resource: str, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
        place = self._places.get(resource) or await self._discover(resource)
        return place.path(resource.partition(".")[0], namespace=namespace, name=name, subresource=subresource)

    async def _discover(self, resource: str) -> Place:
        group = resource.partition(".")[2]
        root = "/api/v1"
        if group:
            root = f"/apis/{(await self._call('GET', f'/apis/{group}'))['preferredVersion']['groupVersion']}"
        for served in (await self._call("GET", root))["resources"]:
            if "/" not in served["name"]:
                self._places[f"{served['name']}.{group}" if group else served["name"]] = Place(root, served["namespaced"])
        if resource not in self._places:
            raise ApiError(404, "NotFound", f"the server has no resource {resource!r} under {root}")
        return self._places[resource]


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines, however long: a big object is longer than the reader's own limit."""
    rest = b""
    async for chunk in content.iter_any():
        rest += chunk
        *whole, rest = rest.split(b"\n")
        for line in whole:
            if line:
                yield line


@contextmanager
def _told_as_trouble(where: str) -> Iterator[None]:
    """What breaks on the way is a ConnectionError to callers, whoever's word for it aiohttp has."""
    try:
        yield
    except aiohttp.ClientError as error:
        raise ConnectionError(f"{where}: {error or type(error).__name__}") from error


def _query(**wanted: str) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if value}


def _refusal(code: int, content: bytes) -> ApiError:
    try:
        return _from_status(json.loads(content))
    except (ValueError, KeyError, TypeError):
        return ApiError(code, "Unknown", content.decode(errors="replace").strip())


def _from_status(status: Object) -> ApiError:
    return ApiError(status["code"], status.get("reason", ""), status.get("message", ""), details=status.get("details"))
