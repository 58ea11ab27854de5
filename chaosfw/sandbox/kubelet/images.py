"""
Which command stands for an image. What is not named here runs the stand-in app.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping


class Images:
    """
    ``commands``: image name, with or without registry tag or digest, to a command line. An empty one means the container's own command.
    """

    def __init__(self, commands: Mapping[str, str]) -> None:
        self._commands = {name: tuple(shlex.split(command)) for name, command in commands.items()}

    def entrypoint(self, image: str) -> tuple[str, ...] | None:
        """The command of a named image; nothing for one that the stand-in app plays."""
        for name in (image, image.partition("@")[0], without_tag(image)):
            if name in self._commands:
                return self._commands[name]
        return None


def without_tag(image: str) -> str:
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def full_name(image: str) -> str:
    """As a container runtime reports it: with registry and tag."""
    name = image if "@" in image or ":" in image.rpartition("/")[2] else f"{image}:latest"
    first = name.partition("/")[0]
    if "/" not in name:
        return f"docker.io/library/{name}"
    return name if "." in first or ":" in first or first == "localhost" else f"docker.io/{name}"


def digest(image: str) -> str:
    """A stable imageID. No image exists, so it is made from the name."""
    name = full_name(image)
    return f"{without_tag(name)}@sha256:{hashlib.sha256(name.encode()).hexdigest()}"
