"""The command line as processes, in a folder of its own and with a runtime directory of its own: other sandboxes are not seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = """
[tool.chaosfw.environments.sandbox]
manifests = ["shop/*.yaml"]
endpoints = { shop = "service/shop/myapp:80" }
"""


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def hint(self) -> str:
        return self.err.partition("hint: ")[2].strip()


@dataclass(frozen=True)
class Shell:
    """``run("sandbox", "up")`` in a user's folder."""

    folder: Path
    variables: dict[str, str]

    def run(self, *arguments: str, timeout: float = 90.0, **variables: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "chaosfw.cli.main", *arguments],
            cwd=self.folder,
            env=self.variables | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """The runtime directory lies in /tmp and has a short name: a Unix socket's path has room for 107 bytes."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "pyproject.toml").write_text(SETTINGS)
    shutil.copytree(ROOT / "deploy" / "shop", folder / "shop")
    with tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp") as runtime:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHAOSFW_", "XDG_", "KUBE"))}
        made = Shell(folder, kept | {"XDG_RUNTIME_DIR": runtime, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"})
        yield made
        for left in Path(runtime).glob("chaosfw/sandbox-*"):
            made.run("sandbox", "down", str(left))
