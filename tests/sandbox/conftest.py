"""What several rooms of the sandbox's tests need."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A real kubectl, or a skip that says where one is looked for."""
    found = os.environ.get("CHAOSFW_TEST_KUBECTL") or shutil.which("kubectl") or str(Path("~/.cache/chaosfw/bin/kubectl").expanduser())
    if not Path(found).exists():
        pytest.skip("no kubectl: set CHAOSFW_TEST_KUBECTL, or put one on PATH or in ~/.cache/chaosfw/bin")
    return found
