"""
A container's environment variables, in the order of the real kubelet: services, envFrom, env; ``$(NAME)`` is replaced.

Called by :mod:`.container` before each start. What the machine needs (PATH, HOME …) comes first, so a manifest wins over it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from chaosfw.sandbox.addresses import HostPort
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kubelet.sources import Missing, Sources, field, resource

_REFERENCE: Final = re.compile(r"\$(?:\$|\((?P<name>[^)\s]+)\))")


async def variables(container: Object, *, pod: Object, sources: Sources, pod_ip: str, host_ip: str) -> dict[str, str]:
    """
    What ``envFrom`` and ``env`` say; raises Missing naming what is not there. ``pod_ip`` is the back address: what the process can
    bind.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        found |= await _all_of(source, sources)
    for entry in container.get("env") or ():
        value = await _value(entry, container=container, pod=pod, sources=sources, pod_ip=pod_ip, host_ip=host_ip)
        if value is not None:
            found[entry["name"]] = expand(value, found)
    return found


def expand(text: str, known: Mapping[str, str]) -> str:
    """``$(NAME)`` by its value where it is known, ``$$`` by ``$``; anything else stays."""
    return _REFERENCE.sub(lambda match: "$" if match["name"] is None else known.get(match["name"], match[0]), text)


def service_variables(services: Mapping[str, Iterable[tuple[str, HostPort]]]) -> dict[str, str]:
    """``WEB_SERVICE_HOST`` and its kin, with the fronts that this node's pods are to use."""
    found: dict[str, str] = {}
    for name, ports in services.items():
        prefix = name.upper().replace("-", "_")
        for number, (port_name, front) in enumerate(ports):
            if number == 0:
                found |= {
                    f"{prefix}_SERVICE_HOST": front.host,
                    f"{prefix}_SERVICE_PORT": str(front.port),
                    f"{prefix}_PORT": f"tcp://{front}",
                }
            if port_name:
                found[f"{prefix}_SERVICE_PORT_{port_name.upper().replace('-', '_')}"] = str(front.port)
            found |= _docker_style(f"{prefix}_PORT_{front.port}_TCP", front)
    return found


def _docker_style(prefix: str, front: HostPort) -> dict[str, str]:
    return {prefix: f"tcp://{front}", f"{prefix}_PROTO": "tcp", f"{prefix}_PORT": str(front.port), f"{prefix}_ADDR": front.host}


async def _all_of(source: Object, sources: Sources) -> dict[str, str]:
    prefix = source.get("prefix", "")
    if reference := source.get("configMapRef"):
        data = await sources.config_map(reference["name"], optional=reference.get("optional", False))
    elif reference := source.get("secretRef"):
        data = await sources.secret(reference["name"], optional=reference.get("optional", False))
    else:
        data = {}
    return {prefix + key: value.decode(errors="replace") for key, value in data.items()}


async def _value(entry: Object, *, container: Object, pod: Object, sources: Sources, pod_ip: str, host_ip: str) -> str | None:
    """Nothing for an optional reference to something that is not there."""
    source = entry.get("valueFrom")
    if source is None:
        return str(entry.get("value", ""))
    if reference := source.get("fieldRef"):
        return field(pod, reference["fieldPath"], pod_ip=pod_ip, host_ip=host_ip)
    if reference := source.get("resourceFieldRef"):
        return resource(container, reference)
    if reference := source.get("configMapKeyRef"):
        optional = reference.get("optional", False)
        return _key(await sources.config_map(reference["name"], optional=optional), reference, "ConfigMap", pod=pod, optional=optional)
    if reference := source.get("secretKeyRef"):
        optional = reference.get("optional", False)
        return _key(await sources.secret(reference["name"], optional=optional), reference, "Secret", pod=pod, optional=optional)
    raise Missing(f"env {entry['name']}: valueFrom {', '.join(source)} is not supported by the sandbox")


def _key(data: Mapping[str, bytes], reference: Object, word: str, *, pod: Object, optional: bool) -> str | None:
    key = reference["key"]
    if key in data:
        return data[key].decode(errors="replace")
    if optional:
        return None
    raise Missing(f"couldn't find key {key} in {word} {pod['metadata']['namespace']}/{reference['name']}")
