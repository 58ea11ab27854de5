"""Other people's clients, stock and unchanged, on either control plane: the same answers, to the word."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from chaosfw.sandbox.public import Sandbox, SandboxSpec
from tests.sandbox.apiserver.plane import clients_python

NODES = len(SandboxSpec().node_zones())
PROGRAMS = Path(__file__).with_name("clients")


def run(program: str, shop: Sandbox) -> dict[str, Any]:
    environment = {"KUBECONFIG": str(shop.kubeconfig), "HOME": str(shop.directory), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [clients_python(), str(PROGRAMS / program)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_kr8s(shop: Sandbox) -> None:
    assert run("kr8s_calls.py", shop) == {
        "nodes": NODES,
        "exists": True,
        "pods": 2,
        "owned": ["kr8s", "kr8s"],
        "marked": ["back", "x"],
        "exec": ["out\n", "err\n", 0],
        "forwarded": True,
        "logs": True,
        "patched": ["shop", "y"],
        "watched": ["ADDED", {"k": "v"}],
        "gone": True,
        "cordoned": True,
        "missing": "NotFoundError",
    }


def test_lightkube(shop: Sandbox) -> None:
    assert run("lightkube_calls.py", shop) == {
        "nodes": NODES,
        "pods": 2,
        "patched": [{"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}],
        "logs": True,
        "applied": {"k": "v", "l": "w"},
        "applied again": {"k": "w"},
        "conflict": [409, 'Apply failed with 1 conflict: conflict with "lightkube": .data.k', [".data.k"]],
        "forced": {"k": "x"},
        "replaced": {"n": "o"},
        "owners": {"lightkube": ["Update", {"f:data": {"f:n": {}}}]},
        "missing": [404, "NotFound"],
    }
