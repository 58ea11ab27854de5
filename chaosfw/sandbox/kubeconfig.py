"""
The sandbox's kubeconfig: one cluster, one user, one context, readable by this user only.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

NAME: Final = "chaosfw-sandbox"


def write_kubeconfig(path: Path, *, server: str, token: str, authority: bytes) -> None:
    """JSON, which is YAML too."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME, "namespace": "default"}}],
        "preferences": {},
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))
