"""
What a pod's environment and volumes are made of: fields of the pod, config maps, secrets, claims.

Used by :mod:`.environment` and :mod:`.volumes`. :class:`Missing` is what the real kubelet calls CreateContainerConfigError or FailedMount.
"""

from __future__ import annotations

import asyncio
import base64
import math
import re
from typing import Final

from chaosfw.sandbox.client.verbs import ApiError, Client, Object
from chaosfw.sandbox.objects import quantity

_INDEXED: Final = re.compile(r"^metadata\.(labels|annotations)\['(?P<key>.+)'\]$")

_TRIES: Final = 20
_MOMENT: Final = 0.05


class Missing(Exception):
    """Something that the pod names and that is not there yet."""


class Sources:
    """Reads each config map and secret once; made anew for each attempt to start a container."""

    def __init__(self, client: Client, *, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._read: dict[tuple[str, str], dict[str, bytes] | None] = {}

    async def config_map(self, name: str, *, optional: bool) -> dict[str, bytes]:
        return await self._data("configmaps", "configmap", name, optional=optional)

    async def secret(self, name: str, *, optional: bool) -> dict[str, bytes]:
        return await self._data("secrets", "secret", name, optional=optional)

    async def volume(self, claim: str) -> str:
        """The name of the volume that a claim is bound to, and that has to be there."""
        try:
            found = await self._get("persistentvolumeclaims", claim)
            name = found["spec"].get("volumeName") or ""
            if (found.get("status") or {}).get("phase") != "Bound" or not name:
                raise Missing(f'persistentvolumeclaim "{claim}" is not bound')
            await self._get("persistentvolumes", name, namespace="")
        except (ApiError, OSError) as error:
            raise Missing(f"cannot read the volume of persistentvolumeclaim {claim}: {error}") from error
        return str(name)

    async def _data(self, resource: str, word: str, name: str, *, optional: bool) -> dict[str, bytes]:
        if (resource, name) not in self._read:
            self._read[resource, name] = await self._fetch(resource, name)
        data = self._read[resource, name]
        if data is None and not optional:
            raise Missing(f'{word} "{name}" not found')
        return data or {}

    async def _fetch(self, resource: str, name: str) -> dict[str, bytes] | None:
        try:
            found = await self._get(resource, name)
        except (ApiError, OSError) as error:
            if isinstance(error, ApiError) and error.code == 404:
                return None
            raise Missing(f"cannot read {resource} {name}: {error}") from error
        if resource == "secrets":
            return {key: base64.b64decode(text) for key, text in (found.get("data") or {}).items()}
        plain = {key: text.encode() for key, text in (found.get("data") or {}).items()}
        return plain | {key: base64.b64decode(text) for key, text in (found.get("binaryData") or {}).items()}

    async def _get(self, resource: str, name: str, *, namespace: str | None = None) -> Object:
        """The Node authorizer of a real API server may learn of a pod after its node has: a moment later it lets the node read."""
        space = self._namespace if namespace is None else namespace
        for _ in range(_TRIES):
            try:
                return await self._client.get(resource, name, namespace=space)
            except ApiError as error:
                if "no relationship found" not in error.message:
                    raise
            await asyncio.sleep(_MOMENT)
        return await self._client.get(resource, name, namespace=space)


def field(pod: Object, path: str, *, pod_ip: str, host_ip: str) -> str:
    """``fieldRef``: what the downward API knows of a pod."""
    meta, spec = pod["metadata"], pod["spec"]
    if indexed := _INDEXED.match(path):
        return str((meta.get(indexed[1]) or {}).get(indexed["key"], ""))
    known = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta["namespace"],
        "metadata.uid": meta["uid"],
        "metadata.labels": _lines(meta.get("labels")),
        "metadata.annotations": _lines(meta.get("annotations")),
        "spec.nodeName": spec.get("nodeName", ""),
        "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": host_ip,
        "status.hostIPs": host_ip,
    }
    if path not in known:
        raise Missing(f"unsupported fieldPath: {path}")
    return str(known[path])


def resource(container: Object, selector: Object) -> str:
    """``resourceFieldRef``: a request or limit, in units of ``divisor``, rounded up."""
    side, _, name = selector["resource"].partition(".")
    amount = container.get("resources", {}).get(side, {}).get(name)
    divisor = selector.get("divisor") or "1"
    if amount is None:
        return "0"
    return str(math.ceil(quantity.parse(amount) / (quantity.parse(divisor) or 1)))


def _lines(pairs: Object | None) -> str:
    return "\n".join(f'{key}="{value}"' for key, value in sorted((pairs or {}).items()))
