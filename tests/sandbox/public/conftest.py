"""One sandbox with the shop for all tests of this room that only use it; those about its life start their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosfw.sandbox.public import Sandbox, SandboxSpec, start

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def shop() -> Iterator[Sandbox]:
    with start(SandboxSpec(manifests=(REPOSITORY / "deploy" / "shop",))) as sandbox:
        yield sandbox


@pytest.fixture
def settled(shop: Sandbox) -> Sandbox:
    """The shop, at rest and spread, whatever the last test did to it."""
    shop.settle()
    return shop


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A real kubectl, or a skip that says where one is looked for."""
    found = os.environ.get("CHAOSFW_TEST_KUBECTL") or shutil.which("kubectl") or str(Path("~/.cache/chaosfw/bin/kubectl").expanduser())
    if not Path(found).exists():
        pytest.skip("no kubectl: set CHAOSFW_TEST_KUBECTL, or put one on PATH or in ~/.cache/chaosfw/bin")
    return found
