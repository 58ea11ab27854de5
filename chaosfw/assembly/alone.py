"""
Sandboxes for tests that are no experiments: somebody only wants a Kubernetes, quickly, and gone afterwards.

Used by the plugin's fixtures ``sandbox`` and ``start_sandbox``; imported when one of them is asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chaosfw.errors import UsageError
from chaosfw.sandbox import public

OPTIONS: Final = ("nodes", "hollow_nodes", "zones", "profile", "control_plane", "manifests", "images")
_PATIENCE: Final = 60.0


def start(options: Mapping[str, Any], *, at: Path) -> public.Sandbox:
    """
    A sandbox of its own, with its manifests applied and at rest. Relative paths begin at ``at``. Raises UsageError for options that do not
    exist, SandboxError for what does not come up.
    """
    if unknown := options.keys() - set(OPTIONS):
        raise UsageError(f"a sandbox has no option {sorted(unknown)[0]!r}", hint=f"there are: {', '.join(OPTIONS)}")
    changes: dict[str, Any] = {name: _several(value) if name in ("zones", "manifests") else value for name, value in options.items()}
    changes["manifests"] = tuple(at / path for path in changes.get("manifests", ()))
    return public.start(dataclasses.replace(public.SandboxSpec(workdir=at), **changes), timeout=_PATIENCE)


def _several(value: Any) -> tuple[Any, ...]:
    """One path or zone is a list of one; a string is never a list of letters."""
    return (value,) if isinstance(value, str | Path) else tuple(value)
