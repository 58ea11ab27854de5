"""
What a sandbox is to be, as data: written by whoever starts one, carried by the keeper, read by the control process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import MAX_NODES
from chaosfw.sandbox.profiles import profile

EMBEDDED: Final = "embedded"
KUBERNETES: Final = "kubernetes"
CONTROL_PLANES: Final = (EMBEDDED, KUBERNETES)
"""Ours, in Python; and the one that Kubernetes ships."""
HOLLOW: Final = "chaosfw.dev/hollow"
"""Label (``"true"``) and taint (``NoSchedule``) of nodes that are records only."""
MAX_HOLLOW: Final = 5_000
"""As many as Kubernetes itself is tested with."""
MACHINE_STATES: Final = ("on", "off", "frozen", "cut")
"""Of what a node runs on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """
    ``hollow_nodes``: so many more that are records only. ``images`` maps image names, with or without tag, to commands; all others run the
    stand-in app. Commands run in ``workdir``.
    """

    nodes: int = 3
    hollow_nodes: int = 0
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")
    profile: str = "fast"
    control_plane: str = EMBEDDED
    manifests: tuple[Path, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    workdir: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= MAX_NODES:
            raise SandboxError(f"nodes = {self.nodes}: a sandbox has between 1 and {MAX_NODES}")
        if not 0 <= self.hollow_nodes <= MAX_HOLLOW:
            raise SandboxError(f"hollow_nodes = {self.hollow_nodes}: a sandbox has between 0 and {MAX_HOLLOW}")
        if not self.zones:
            raise SandboxError("zones is empty: a node stands in a zone")
        profile(self.profile)
        if self.control_plane not in CONTROL_PLANES:
            raise SandboxError(f"there is no control plane {self.control_plane!r}; there are: {', '.join(CONTROL_PLANES)}")

    def node_zones(self) -> dict[str, str]:
        """Each node's zone, dealt out in turn."""
        return {f"node-{i + 1}": self.zones[i % len(self.zones)] for i in range(self.nodes)}

    def hollow_zones(self) -> dict[str, str]:
        return {f"hollow-{i + 1}": self.zones[i % len(self.zones)] for i in range(self.hollow_nodes)}


def spec_to_json(spec: SandboxSpec) -> dict[str, Any]:
    return {
        "nodes": spec.nodes,
        "hollow_nodes": spec.hollow_nodes,
        "zones": list(spec.zones),
        "profile": spec.profile,
        "control_plane": spec.control_plane,
        "manifests": [str(path) for path in spec.manifests],
        "images": dict(spec.images),
        "seed": spec.seed,
        "workdir": str(spec.workdir),
    }


def spec_from_json(data: Mapping[str, Any]) -> SandboxSpec:
    return SandboxSpec(
        nodes=data["nodes"],
        hollow_nodes=data["hollow_nodes"],
        zones=tuple(data["zones"]),
        profile=data["profile"],
        control_plane=data["control_plane"],
        manifests=tuple(map(Path, data["manifests"])),
        images=data["images"],
        seed=data["seed"],
        workdir=Path(data["workdir"]),
    )
