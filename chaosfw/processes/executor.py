"""
Main of the executor's child: ``python -m chaosfw.processes.executor FD [module …]``. Reads calls on standard input, answers
on descriptor FD; standard output belongs to the drivers, who like to print.
"""

from __future__ import annotations

import os
import signal
import sys

from chaosfw.assembly.catalogue import kind_call, provider_call
from chaosfw.executor.serving import Serving, leave
from chaosfw.timing import SYSTEM


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer: it heals first
    replies = os.fdopen(int(sys.argv[1]), "wb", buffering=0)
    os.set_inheritable(replies.fileno(), False)
    requests = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    Serving(clock=SYSTEM, provider=provider_call, kind=kind_call, requests=requests, replies=replies).run(sys.argv[2:])
    leave()


if __name__ == "__main__":
    main()
