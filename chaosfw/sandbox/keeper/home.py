"""
The sandbox's directory: one per sandbox under the user's runtime directory, private, with a lock that its keeper holds.

Used by the keeper. :func:`sweep` removes what a keeper left that was killed together with its runtime.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError

_LONGEST: Final = 107 - len("/sandbox-00000000/dataplane.sock")
"""Bytes of the base's path: a Unix socket's path has room for 107."""


def base() -> Path:
    """``$XDG_RUNTIME_DIR/chaosfw``, or a private directory in the temporary one. Refuses one that belongs to somebody else."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    path = Path(runtime, "chaosfw") if runtime and Path(runtime).is_dir() else Path(tempfile.gettempdir(), f"chaosfw-{os.getuid()}")
    if len(os.fsencode(path)) > _LONGEST:
        path = Path("/tmp", f"chaosfw-{os.getuid()}")
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077 or path.is_symlink():
        raise SandboxError(f"{path} is not private to this user", hint="remove it, or set XDG_RUNTIME_DIR")
    return path


@contextmanager
def starting(path: Path) -> Iterator[None]:
    """One sandbox at a time passes from claim to directory. The directory itself is what is locked: no file stays behind."""
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def create(path: Path) -> tuple[Path, int]:
    """A new directory and the descriptor of its held lock."""
    directory = path / f"sandbox-{secrets.token_hex(4)}"
    directory.mkdir(mode=0o700)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)  # waits for somebody who only looks, see is_alive
    return directory, lock


def sweep(path: Path) -> None:
    """Removes directories whose keeper is dead. Called under :func:`starting`."""
    for directory in path.glob("sandbox-*"):
        if not _is_held(directory / "lock"):
            shutil.rmtree(directory, ignore_errors=True)


def is_alive(directory: Path) -> bool:
    """Whether a keeper holds this sandbox."""
    return _is_held(directory / "lock")


def _is_held(lock: Path) -> bool:
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
