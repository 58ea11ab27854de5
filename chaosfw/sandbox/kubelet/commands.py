"""
What a container runs: the command configured for its image, its own command, or the stand-in app with a character read from the pod.

Called by :mod:`.container` before each start, because config maps and services may have changed since the last one.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chaosfw.errors import UsageError
from chaosfw.sandbox.addresses import unprivileged
from chaosfw.sandbox.app.character import PREFIX, VARIABLE, Character, qualities, to_text
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kubelet.environment import expand, service_variables, variables
from chaosfw.sandbox.kubelet.place import Place
from chaosfw.sandbox.kubelet.site import Site
from chaosfw.sandbox.kubelet.sources import Sources

STAND_IN: Final = ("python", "-m", "chaosfw.sandbox.app")


@dataclass(frozen=True, slots=True)
class Command:
    argv: tuple[str, ...]
    environment: Mapping[str, str]


async def command_of(container: Object, *, place: Place, site: Site, sources: Sources, init: bool) -> Command:
    """Raises Missing for what the pod names and is not there, UsageError for an annotation that cannot be read."""
    own = await variables(container, pod=place.pod, sources=sources, pod_ip=place.back, host_ip=place.host_ip)
    found = {**site.environment, **_given(container, place, site), **own}
    entrypoint = site.images.entrypoint(container["image"])
    if entrypoint is None:
        return Command(STAND_IN, {**found, VARIABLE: to_text(_character(container, place, site, init=init))})
    words = [*(container.get("command") or entrypoint), *(container.get("args") or ())]
    if not words:
        raise UsageError(
            f"image {container['image']!r} has an empty command configured and container {container['name']!r} has none of its own"
        )
    return Command(tuple(expand(word, found) for word in words), found)


def _given(container: Object, place: Place, site: Site) -> dict[str, str]:
    """What every container gets without asking."""
    meta, spec = place.pod["metadata"], place.pod["spec"]
    node = place.node.name
    services = site.fronts.of_namespace(meta["namespace"], node=node) if spec.get("enableServiceLinks", True) else {}
    kubernetes = {"kubernetes": [("https", site.server)]}
    return {
        "HOSTNAME": spec.get("hostname") or meta["name"],
        "POD_IP": place.back,
        "CHAOSFW_PROXY": f"http://{site.proxy}",
        "PYTHONUNBUFFERED": "1",
        **service_variables({**services, **kubernetes}),
        **place.mounts(container),
    }


def _character(container: Object, place: Place, site: Site, *, init: bool) -> Character:
    meta, spec = place.pod["metadata"], place.pod["spec"]
    annotations = meta.get("annotations") or {}
    readiness = (container.get("readinessProbe") or {}).get("httpGet") or {}
    ends = spec.get("restartPolicy", "Always") != "Always" or (init and container.get("restartPolicy") != "Always")
    return Character(
        pod=meta["name"],
        node=place.node.name,
        zone=place.node.zone,
        host=place.back,
        ports=() if ends else _ports(container),
        ends=ends,
        ready_paths=(readiness.get("path") or "/",) if readiness else (),
        depends_on=_front_of(annotations.get(PREFIX + "depends-on", ""), place, site),
        **qualities(annotations),
    )


def _ports(container: Object) -> tuple[int, ...]:
    """The declared ones and those that its probes ask."""
    declared = [port["containerPort"] for port in container.get("ports") or () if port.get("protocol", "TCP") == "TCP"]
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind) or {}
        asked = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
        if isinstance(asked, int):
            declared.append(asked)
    return tuple(dict.fromkeys(map(unprivileged, declared)))


def _front_of(url: str, place: Place, site: Site) -> str:
    """``http://web.shop:80/path`` with the front of service ``web`` in place of its name; other hosts stay."""
    if not url:
        return ""
    parts = urllib.parse.urlsplit(url)
    name, _, rest = (parts.hostname or "").partition(".")
    namespace = rest.partition(".")[0] or place.pod["metadata"]["namespace"]
    front = site.fronts.of_service(namespace, name, node=place.node.name, port=parts.port)
    return url if front is None else urllib.parse.urlunsplit(parts._replace(netloc=str(front)))
