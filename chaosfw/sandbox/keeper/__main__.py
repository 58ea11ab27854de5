"""
The main of the keeper: ``python -m chaosfw.sandbox.keeper LEASE_FD``. Its first line on that socket says what is wanted.

Started by :mod:`.launch`. It leaves its starter's session and process tree at once, and from then on the lease is the only tie.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import claim
from chaosfw.sandbox.keeper.home import base, create, starting, sweep
from chaosfw.sandbox.keeper.keeper import Keeper
from chaosfw.sandbox.lines import Message, pack, read_line
from chaosfw.sandbox.prctl import adopt_orphans


def main() -> None:
    lease = socket.socket(fileno=int(sys.argv[1]))
    if os.fork():
        os._exit(0)
    os.setsid()
    request = read_line(lease)
    if request is None:
        return  # the starter is gone already
    try:
        keeper = _settle_in(request)
    except (SandboxError, OSError) as error:
        lease.sendall(pack({"error": str(error)}))
        return
    try:
        keeper.spawn()
        lease.setblocking(False)
        asyncio.run(keeper.run(lease))
    finally:
        keeper.clean()


def _settle_in(request: Message) -> Keeper:
    home = base()
    with starting(home):
        sweep(home)
        claimed = claim(home / "networks")
        directory, lock = create(home)
    os.set_inheritable(lock, False)
    os.umask(0o077)
    _take_streams(directory / "keeper.log")
    adopt_orphans()
    return Keeper(directory=directory, claim=claimed, spec=request["spec"])


def _take_streams(log: Path) -> None:
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target in (1, 2):
        os.dup2(fd, target)
    os.close(fd)


if __name__ == "__main__":
    main()
