"""
HTTP to a pod or a service through the API server (``…/pods/NAME:PORT/proxy/PATH``), for clients that reach nothing else.

Called by the exchange; the way leads through the sandbox's door, as Kubernetes' own API server takes it. No upgrades, and HTML is not
rewritten.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.verbs import Verbs
from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.door import FAILED
from chaosfw.sandbox.kinds.row import Kind, items, read

METHODS: Final = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_SLICES: Final = "endpointslices.discovery.k8s.io"
_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding", "upgrade", "host"}
)
_OURS: Final = _HOP | {"authorization"}
_PIECE: Final = 65_536


async def carry(request: web.BaseRequest, verbs: Verbs, row: Kind, namespace: str, name: str, *, through: str) -> web.StreamResponse:
    """Asks whoever is meant and gives back what they answer. Raises ApiError when there is nobody, or nobody is reached."""
    scheme, _, plain, port = _split(name)
    if scheme == "https":
        raise errors.bad_request("the sandbox proxies http only")
    where = _of_pod(verbs, row, namespace, plain, port) if row.resource == "pods" else _of_service(verbs, row, namespace, plain, port)
    if not through:
        raise _unreached("there is no way to pods here")
    path = "".join(request.rel_url.raw_path.split("/", 8)[8:])  # after /api/v1/namespaces/SPACE/KIND/NAME/proxy/, whatever these are called
    url = URL(f"http://{where}/{path}", encoded=True).with_query(request.rel_url.query)
    headers = {key: value for key, value in request.headers.items() if key.lower() not in _OURS}
    headers |= {"X-Forwarded-Uri": request.rel_url.raw_path, "X-Forwarded-Host": request.host, "X-Forwarded-Proto": "https"}
    body = request.content if request.can_read_body else None
    try:
        async with (
            aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=("User-Agent", "Content-Type")) as session,
            session.request(request.method, url, headers=headers, data=body, proxy=through, allow_redirects=False) as answer,
        ):
            if FAILED in answer.headers:
                raise _unreached((await answer.text()).strip())
            return await _pass_on(request, answer)
    except aiohttp.ClientError as trouble:
        raise _unreached(str(trouble)) from trouble


async def _pass_on(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    told = web.StreamResponse(status=answer.status, reason=answer.reason)
    for key, value in answer.headers.items():
        if key.lower() not in _HOP:
            told.headers.add(key, value)
    await told.prepare(request)
    async for piece in answer.content.iter_chunked(_PIECE):
        await told.write(piece)
    await told.write_eof()
    return told


def _split(name: str) -> tuple[str, str, str, str]:
    """Scheme, what of the name it was, name and port of ``NAME``, ``NAME:PORT`` or ``SCHEME:NAME:PORT``."""
    parts = name.split(":")
    if len(parts) > 3 or not parts[-2 if len(parts) == 3 else 0]:
        raise errors.bad_request(f'invalid proxy request "{name}"')
    scheme, plain, port = parts if len(parts) == 3 else ("", *parts, "")[:3]
    return scheme, name, plain, port


def _of_pod(verbs: Verbs, row: Kind, namespace: str, name: str, port: str) -> str:
    pod = verbs.get(row, namespace, name).obj
    if not read(pod, "status.podIP"):
        raise errors.bad_request("address not allowed")
    first = next((one["containerPort"] for container in items(pod, "spec.containers") for one in container.get("ports") or ()), 80)
    return f"{pod['status']['podIP']}:{port or first}"


def _of_service(verbs: Verbs, row: Kind, namespace: str, name: str, port: str) -> str:
    """One of its ready pods, by chance."""
    service = verbs.get(row, namespace, name).obj
    if port.isdigit():
        named = next((one.get("name", "") for one in items(service, "spec.ports") if one["port"] == int(port)), None)
        if named is None:
            raise ApiError(503, "ServiceUnavailable", f'no service port {port} found for service "{name}"')
        port = named
    found = list(_ready(verbs, namespace, name, port))
    if not found:
        raise ApiError(503, "ServiceUnavailable", f'no endpoints available for service "{name}"')
    return random.choice(found)


def _ready(verbs: Verbs, namespace: str, name: str, port: str) -> Iterator[str]:
    for one in verbs.store.all(_SLICES):
        labels, piece = one.obj["metadata"].get("labels") or {}, one.obj
        if one.obj["metadata"]["namespace"] == namespace and labels.get("kubernetes.io/service-name") == name:
            numbers = [known["port"] for known in piece.get("ports") or () if (known.get("name") or "") == port]
            yield from (f"{end['addresses'][0]}:{number}" for number in numbers for end in piece.get("endpoints") or () if _takes(end))


def _takes(end: Object) -> bool:
    return (end.get("conditions") or {}).get("ready") is not False


def _unreached(why: str) -> ApiError:
    return ApiError(503, "ServiceUnavailable", f"error trying to reach service: {why}")
