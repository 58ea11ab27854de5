"""What several rooms of the sandbox's tests need."""

from __future__ import annotations

import pytest

from tests.sandbox.apiserver.plane import kubectl_path


@pytest.fixture(scope="session")
def kubectl() -> str:
    """A real kubectl."""
    return kubectl_path()
