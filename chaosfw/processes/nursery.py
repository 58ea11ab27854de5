"""
Main of the nursery: ``python -m chaosfw.processes.nursery SOCKET [module …]``. Imports the modules, says so, then forks an
executor for each message: descriptors for its requests, its replies and its log come with it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys

from chaosfw.assembly.catalogue import kind_call, provider_call
from chaosfw.executor.child import MARK
from chaosfw.executor.serving import Serving, imported, leave
from chaosfw.timing import SYSTEM


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer: it heals first
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps: nobody here waits for an executor
    runner = socket.socket(fileno=int(sys.argv[1]))
    for name in sys.argv[2:]:
        if why := imported(name):
            print(f"not warmed: {name}: {why}", flush=True)
    gc.freeze()
    runner.sendall(b'{"pid": 0}\n')
    while True:
        message, descriptors, _, _ = socket.recv_fds(runner, 4096, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            runner.close()
            _become_executor(json.loads(message)["token"], *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        runner.sendall(json.dumps({"pid": pid}).encode() + b"\n")


def _become_executor(token: str, requests: int, replies: int, log: int) -> None:
    """Never returns."""
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ[MARK] = token
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
        for descriptor in (requests, replies):
            os.set_inheritable(descriptor, False)
        serving = Serving(
            clock=SYSTEM,
            provider=provider_call,
            kind=kind_call,
            requests=os.fdopen(requests, "rb"),
            replies=os.fdopen(replies, "wb", buffering=0),
        )
        serving.run(())
    finally:
        leave()


if __name__ == "__main__":
    main()
