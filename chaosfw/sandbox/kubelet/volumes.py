"""
A pod's volumes as files under its directory.

Called by :mod:`.pod` before the first container. Without a mount namespace nothing can appear at a ``mountPath``: the variable
:data:`VARIABLE` of each container maps its mount paths to where the files really are, as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaosfw.sandbox.client.verbs import ApiError, Object
from chaosfw.sandbox.kubelet.site import Tokens
from chaosfw.sandbox.kubelet.sources import Missing, Sources, field
from chaosfw.sandbox.objects import storage

VARIABLE: Final = "CHAOSFW_VOLUMES"


class Volumes:
    """``site``: the directory in which persistent volumes are; they outlive the pod, and every node has them."""

    def __init__(self, directory: Path, *, site: Path, pod: Object, tokens: Tokens, pod_ip: str, host_ip: str) -> None:
        self._directory, self._site = directory, site
        self._claimed: dict[str, Path] = {}
        self._pod = pod
        self._tokens = tokens
        self._ips = {"pod_ip": pod_ip, "host_ip": host_ip}

    async def make(self, sources: Sources) -> None:
        """Raises Missing for what is not there yet; can be called again."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for volume in self._pod["spec"].get("volumes") or ():
            place = await self._place(volume, sources)
            place.mkdir(parents=True, exist_ok=True)
            for name, data in (await self._files(volume, sources)).items():
                _write(place, name, data)
        self._make_parts()

    def _make_parts(self) -> None:
        """Directories that a ``subPath`` names; where it names a file, that is there."""
        spec = self._pod["spec"]
        for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
            for mount in container.get("volumeMounts") or ():
                part = self._where(mount["name"]) / mount.get("subPath", "")
                if not part.exists():
                    part.mkdir(parents=True)

    def mounts(self, container: Object) -> dict[str, str]:
        """The variable that tells a container where its mounts are; none without mounts."""
        mounts = container.get("volumeMounts") or ()
        places = {mount["mountPath"]: str(self._where(mount["name"]) / mount.get("subPath", "")) for mount in mounts}
        return {VARIABLE: json.dumps(places)} if places else {}

    def _where(self, volume: str) -> Path:
        return self._claimed.get(volume, self._directory / volume)

    async def _place(self, volume: Object, sources: Sources) -> Path:
        name = volume["name"]
        if source := volume.get("persistentVolumeClaim"):
            self._claimed[name] = storage.place_of(self._site, await sources.volume(source["claimName"]))
        elif "ephemeral" in volume:
            self._claimed[name] = storage.place_of(self._site, await sources.volume(storage.own_claim(self._pod["metadata"]["name"], name)))
        return self._where(name)

    async def _files(self, volume: Object, sources: Sources) -> dict[str, bytes]:
        if source := volume.get("configMap"):
            return _chosen(await sources.config_map(source["name"], optional=source.get("optional", False)), source)
        if source := volume.get("secret"):
            return _chosen(await sources.secret(source["secretName"], optional=source.get("optional", False)), source)
        if source := volume.get("downwardAPI"):
            return self._fields(source)
        if source := volume.get("projected"):
            return await self._projected(source, sources)
        return {}

    async def _projected(self, projected: Object, sources: Sources) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        for part in projected.get("sources") or ():
            if source := part.get("serviceAccountToken"):
                files[source["path"]] = (await self._token(source)).encode()
            elif source := part.get("configMap"):
                optional = source.get("optional", False) or source["name"] == "kube-root-ca.crt"
                files |= _chosen(await sources.config_map(source["name"], optional=optional), source, lenient=optional)
            elif source := part.get("secret"):
                files |= _chosen(await sources.secret(source["name"], optional=source.get("optional", False)), source)
            elif source := part.get("downwardAPI"):
                files |= self._fields(source)
        return files

    async def _token(self, source: Object) -> str:
        try:
            return await self._tokens.of_pod(self._pod, source=source)
        except (ApiError, OSError) as error:
            raise Missing(f"failed to fetch token: {error}") from error

    def _fields(self, source: Object) -> dict[str, bytes]:
        items = [item for item in source.get("items") or () if "fieldRef" in item]
        return {item["path"]: field(self._pod, item["fieldRef"]["fieldPath"], **self._ips).encode() for item in items}


def _chosen(data: Mapping[str, bytes], source: Mapping[str, Any], *, lenient: bool = False) -> dict[str, bytes]:
    """All keys under their own names, or the ``items`` under their paths."""
    items = source.get("items")
    if not items:
        return dict(data)
    lacking = [item["key"] for item in items if item["key"] not in data]
    if lacking and not lenient and not source.get("optional", False):
        raise Missing(f"references non-existent config key: {', '.join(lacking)}")
    return {item["path"]: data[item["key"]] for item in items if item["key"] in data}


def _write(place: Path, name: str, data: bytes) -> None:
    path = (place / name).resolve()
    if not path.is_relative_to(place.resolve()):
        raise Missing(f"volume path {name!r} leads out of its volume")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
