"""
What one stand-in app is like, read from a pod's annotations and ports; travels in the variable :data:`VARIABLE`.

Written by the kubelet, read by :mod:`.__main__`. Knows the annotations and their words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from chaosfw.errors import UsageError

VARIABLE: Final = "CHAOSFW_APP"
PREFIX: Final = "chaosfw.dev/"
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Character:
    pod: str
    node: str
    zone: str
    host: str
    ports: tuple[int, ...]
    ends: bool = False
    """For what is expected to end, such as a Job or an init container: it succeeds at once."""
    ready_paths: tuple[str, ...] = ()
    """Answer 503 until ``ready_after`` has passed."""
    drain: float = 0.0
    """``chaosfw.dev/drain``: seconds to go on serving after SIGTERM."""
    latency: float = 0.0
    error_rate: float = 0.0
    ready_after: float = 0.0
    depends_on: str = ""
    """``chaosfw.dev/depends-on``: the URL of the service (already a front) that each request calls first."""


def qualities(annotations: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a :class:`Character` that annotations decide. Raises UsageError naming the annotation."""
    found: dict[str, Any] = {}
    for name, read in (("drain", seconds), ("latency", seconds), ("ready-after", seconds), ("error-rate", _ratio)):
        if text := annotations.get(PREFIX + name):
            found[name.replace("-", "_")] = _read(name, text, read)
    return found


def seconds(text: str) -> float:
    """``250ms``, ``2s``, ``1m`` or plain seconds."""
    for unit in ("ms", "s", "m"):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * _UNITS[unit]
    return float(text)


def _ratio(text: str) -> float:
    value = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    if not 0 <= value <= 1:
        raise ValueError("not between 0 and 1")
    return value


def _read(name: str, text: str, read: Any) -> float:
    try:
        return float(read(text))
    except ValueError as error:
        raise UsageError(
            f"annotation {PREFIX}{name} is {text!r}", hint="write a duration such as 250ms or 2s, or a rate such as 0.05 or 5%"
        ) from error


def to_text(character: Character) -> str:
    return json.dumps(asdict(character), separators=(",", ":"))


def from_text(text: str) -> Character:
    data = json.loads(text)
    return Character(**{**data, "ports": tuple(data["ports"]), "ready_paths": tuple(data["ready_paths"])})
