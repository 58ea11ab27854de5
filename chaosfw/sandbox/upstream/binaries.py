"""
Where etcd, kube-apiserver, kube-controller-manager and kube-scheduler are on this machine.

Called by :mod:`.processes` before anything is started, and by whoever wants to tell early that they are missing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError

VERSION: Final = "1.37.2"
"""Of Kubernetes, as ``chaosfw sandbox build-control-plane`` builds it."""
ETCD: Final = "3.7.0"

PARTS: Final = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""One place has to have all three: parts of different versions are no cluster that anybody runs."""
ASSETS: Final = "KUBEBUILDER_ASSETS"
HINT: Final = (
    "chaosfw sandbox build-control-plane builds them once (6 to 17 minutes, needs Go); or put them on PATH, or set KUBEBUILDER_ASSETS"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    etcd: Path
    apiserver: Path
    manager: Path
    scheduler: Path


def built(variables: Mapping[str, str] = os.environ) -> Path:
    """The directory into which the programs are built."""
    base = variables.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "chaosfw" / f"control-plane-{VERSION}"


def find(variables: Mapping[str, str] = os.environ) -> Binaries:
    """Raises SandboxError that says how to get them."""
    places = list(_places(variables))
    for place in places:
        parts = [place / name for name in PARTS]
        if all(map(_runs, parts)):
            etcd = next((one / "etcd" for one in (place, *places) if _runs(one / "etcd")), None)
            if etcd is None:
                raise SandboxError(f"{place} has Kubernetes' programs, and there is no etcd", hint=HINT)
            return Binaries(etcd=etcd, apiserver=parts[0], manager=parts[1], scheduler=parts[2])
    raise SandboxError(f"the control plane that Kubernetes ships needs {', '.join(PARTS)} and etcd, which are not here", hint=HINT)


def _places(variables: Mapping[str, str]) -> Iterator[Path]:
    if named := variables.get(ASSETS):
        yield Path(named)
    yield from (Path(one) for one in variables.get("PATH", os.defpath).split(os.pathsep) if one)
    yield built(variables)


def _runs(path: Path) -> bool:
    return shutil.which(path) is not None
