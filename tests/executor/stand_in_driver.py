"""A driver that misbehaves on request. Imported by name in the executor's child."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


def double(value: int) -> int:
    return value * 2


def chatter() -> str:
    print("hello from a driver")
    sys.stdout.flush()
    return "said"


def fail() -> None:
    raise RuntimeError("the database is on fire")


def leave() -> None:
    sys.exit(7)


def hang() -> None:
    threading.Event().wait()


def daemonise(note: str) -> bool:
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    Path(note).write_text(str(child.pid))
    return True


def leak(secrets: dict[str, Any] | None = None) -> str:
    return f"the password is {(secrets or {}).get('password') or (secrets or {}).get('shop', {}).get('password')}"
