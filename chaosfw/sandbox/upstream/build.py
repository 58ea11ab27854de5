"""
Builds the control plane from the Go modules of Kubernetes and etcd: one program that is all four, by its name.

Called by ``chaosfw sandbox build-control-plane``, and by nothing else: a sandbox never starts a build by itself. Needs Go and a module
proxy; takes minutes, 4 GB of disk while it lasts, and leaves 150 MB.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chaosfw import golang
from chaosfw.errors import SandboxError
from chaosfw.sandbox.upstream.binaries import ETCD, PARTS, VERSION, built

_STAGING: Final = VERSION.replace("1.", "0.", 1)
"""The modules that Kubernetes publishes with each release have its number with another major version."""
_NAME: Final = "control-plane"


def build(told: Callable[[str], None]) -> Path:
    """
    The directory with the programs; does nothing when they are there. ``told`` hears how far it is. Raises SandboxError with the last words
    of Go when it fails.
    """
    target = built()
    if all(shutil.which(target / name) for name in (*PARTS, "etcd")):
        return target
    if golang.found() is None:
        raise SandboxError(
            "there is no Go here to build with", hint=f"{golang.HOW_TO_GET}; or copy the four programs to a directory on PATH"
        )
    with tempfile.TemporaryDirectory(prefix="chaosfw-control-plane-") as made:
        work = Path(made)
        shutil.copy(Path(__file__).with_name("main.go"), work / "main.go")
        (work / "go.mod").write_text(_module())
        _run(["mod", "tidy"], work, what="fetching the modules of", told=told)
        _run(["build", "-trimpath", "-ldflags", _flags(), "-o", _NAME, "."], work, what="building", told=told)
        _put(work / _NAME, target)
    return target


def _module() -> str:
    template = Path(__file__).with_name("go.mod.template").read_text()
    return template.replace("{version}", VERSION).replace("{staging}", _STAGING).replace("{etcd}", ETCD)


def _flags() -> str:
    major, minor, _ = VERSION.split(".")
    said = {"gitVersion": f"v{VERSION}", "gitMajor": major, "gitMinor": minor}
    words = [f"-X k8s.io/component-base/version.{name}={value}" for name, value in said.items()]
    return " ".join(("-s -w", *words, f"-X k8s.io/client-go/pkg/version.gitVersion=v{VERSION}"))


def _run(words: list[str], work: Path, *, what: str, told: Callable[[str], None]) -> None:
    """The build cache is 4 GB that nobody needs afterwards, so it goes with the directory."""
    if last := golang.go(words, work, what=f"{what} Kubernetes {VERSION}", told=told, env={"GOCACHE": str(work / "cache")}):
        raise SandboxError(f"{what} Kubernetes {VERSION} failed:\n{last}", hint=golang.WHERE_FROM)


def _put(program: Path, target: Path) -> None:
    """All at once: a directory that is there is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=target.parent))
    made.chmod(0o755)
    shutil.move(program, made / _NAME)
    for name in (*PARTS, "etcd"):
        (made / name).symlink_to(_NAME)
    shutil.rmtree(target, ignore_errors=True)
    made.rename(target)
