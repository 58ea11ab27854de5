"""
One sandbox with the shop for all tests of this room that only use it, on either control plane; those about its life start their own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaosfw.sandbox.public import Sandbox, SandboxSpec, start
from chaosfw.sandbox.spec import CONTROL_PLANES

Ask = Callable[..., subprocess.CompletedProcess[str]]

SLOW = 120.0
"""Seconds until a sandbox has to be there on a busy machine; never what is measured."""
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module", params=CONTROL_PLANES)
def shop(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with start(SandboxSpec(manifests=(REPOSITORY / "deploy" / "shop",), control_plane=request.param), timeout=SLOW) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def ask(shop: Sandbox, kubectl: str) -> Ask:
    """Stock kubectl with this sandbox's kubeconfig."""
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}

    def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([kubectl, *arguments], env=environment, input=given, capture_output=True, text=True, timeout=90)

    return run


@pytest.fixture
def settled(shop: Sandbox) -> Sandbox:
    """The shop, at rest and spread, whatever the last test did to it."""
    shop.settle()
    return shop
