"""
Go at work for us: one of its commands, its words kept, and somebody told each few seconds that it still runs.

Used by whatever builds an outside program from source: Kubernetes' control plane, a k6 with our output. Where what it made goes is theirs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chaosfw.timing import SYSTEM, seconds

HOW_TO_GET = "https://go.dev/dl, 1.26 or later"
WHERE_FROM = "go env GOPROXY says where modules come from"
_TOLD_EACH = 5.0
_LAST = 8
"""Lines of its words that a failure shows."""


def found() -> str | None:
    """The program, if there is one on PATH."""
    return shutil.which("go")


def go(words: Sequence[str], work: Path, *, what: str, told: Callable[[str], None], env: Mapping[str, str] | None = None) -> str:
    """Runs it in the folder ``work``, without C. Empty, or the last of what it said when it failed. ``what`` it does: "building k6"."""
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off", **(env or {})}
    began, log = SYSTEM.monotonic_ns(), work / "log"
    with log.open("wb") as out, subprocess.Popen([found() or "go", *words], cwd=work, env=environment, stdout=out, stderr=out) as child:
        while True:
            told(f"{what}: {seconds(SYSTEM.monotonic_ns() - began):.0f} s")
            try:
                code = child.wait(_TOLD_EACH)
                break
            except subprocess.TimeoutExpired:
                continue
            except BaseException:
                child.kill()
                raise
    if not code:
        return ""
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-_LAST:]) or f"exit code {code}"
