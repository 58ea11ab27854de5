"""A driver that nobody adorns: a switch that is a file. What it was asked is in the file's lines, the last one counts."""

from __future__ import annotations

from pathlib import Path


def turn(path: str, to: str) -> str:
    """Appends a line. Raises RuntimeError when told to turn ``broken``, after having done it."""
    with Path(path).open("a") as file:
        file.write(f"{to}\n")
    if to == "broken":
        raise RuntimeError("the switch broke")
    return to


def stands(path: str) -> str:
    """The last line; ``on`` where there is none."""
    file = Path(path)
    return file.read_text().split()[-1] if file.exists() else "on"
