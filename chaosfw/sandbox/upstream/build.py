"""
Builds the control plane from the Go modules of Kubernetes and etcd: one program that is all four, by its name.

Called by ``chaosfw sandbox build-control-plane``, and by nothing else: a sandbox never starts a build by itself. Needs Go and a module
proxy; takes minutes, 4 GB of disk while it lasts, and leaves 150 MB.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.upstream.binaries import ETCD, PARTS, VERSION, built
from chaosfw.timing import SYSTEM, seconds

_STAGING: Final = VERSION.replace("1.", "0.", 1)
"""The modules that Kubernetes publishes with each release have its number with another major version."""
_NAME: Final = "control-plane"
_TOLD_EACH: Final = 5.0


def build(told: Callable[[str], None]) -> Path:
    """
    The directory with the programs; does nothing when they are there. ``told`` hears how far it is. Raises SandboxError with the last words
    of Go when it fails.
    """
    target = built()
    if all(shutil.which(target / name) for name in (*PARTS, "etcd")):
        return target
    go = shutil.which("go")
    if go is None:
        raise SandboxError(
            "there is no Go here to build with", hint="https://go.dev/dl, 1.26 or later; or copy the four programs to a directory on PATH"
        )
    with tempfile.TemporaryDirectory(prefix="chaosfw-control-plane-") as made:
        work = Path(made)
        shutil.copy(Path(__file__).with_name("main.go"), work / "main.go")
        (work / "go.mod").write_text(_module())
        _run([go, "mod", "tidy"], work, what="fetching the modules of", told=told)
        _run([go, "build", "-trimpath", "-ldflags", _flags(), "-o", _NAME, "."], work, what="building", told=told)
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
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOCACHE": str(work / "cache"), "GOWORK": "off"}
    began = SYSTEM.monotonic_ns()
    log = work / "log"
    with log.open("wb") as out, subprocess.Popen(words, cwd=work, env=environment, stdout=out, stderr=out) as child:
        while True:
            told(f"{what} Kubernetes {VERSION}: {seconds(SYSTEM.monotonic_ns() - began):.0f} s")
            try:
                code = child.wait(_TOLD_EACH)
                break
            except subprocess.TimeoutExpired:
                continue
            except BaseException:
                child.kill()
                raise
    if code:
        last = "\n".join(log.read_text(errors="replace").strip().splitlines()[-8:])
        raise SandboxError(f"{what} Kubernetes {VERSION} failed:\n{last}", hint="go env GOPROXY says where modules come from")


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
