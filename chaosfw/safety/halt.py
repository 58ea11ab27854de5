"""
The cord that anybody can pull: a file beside an environment's ledger. While it is there, runs halt and heal, and no new one starts.

Written by ``chaosfw halt``, taken away by ``chaosfw halt --lift``, looked at by every runner of the environment. It heals nothing itself.
"""

from __future__ import annotations

import json
from pathlib import Path

from chaosfw.model.struct import Noun, to_json
from chaosfw.safety.ledger import write_durably

FILE = "halt.json"


class Cord(Noun, frozen=True, kw_only=True):
    """Who pulled it, when and why."""

    who: str
    at: str
    reason: str = ""

    def __str__(self) -> str:
        return f"halted by {self.who} at {self.at}" + (f": {self.reason}" if self.reason else "")


def pull(directory: Path, cord: Cord) -> None:
    """Durable when it returns."""
    directory.mkdir(parents=True, exist_ok=True)
    write_durably(directory / FILE, json.dumps(to_json(cord)).encode())


def lift(directory: Path) -> bool:
    """Lets runs start again; False when nobody had pulled it."""
    there = (directory / FILE).exists()
    (directory / FILE).unlink(missing_ok=True)
    return there


def standing(directory: Path) -> str:
    """In words who pulled the cord; empty when nobody did. A file that can not be read is a pulled cord too."""
    path = directory / FILE
    try:
        told = json.loads(path.read_bytes())
        return str(Cord(who=str(told["who"]), at=str(told["at"]), reason=str(told.get("reason", ""))))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError) as trouble:
        return f"halted by {path}, which can not be read: {trouble}"
