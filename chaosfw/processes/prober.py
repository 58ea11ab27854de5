"""
Main of the prober: ``python -m chaosfw.processes.prober <orders.json>``. Says it is ready in one line on standard output,
sends until its standard input ends, leaves a seal.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from pathlib import Path

import msgspec

from chaosfw.load.book import Book, seal
from chaosfw.load.orders import Orders, Ready
from chaosfw.load.prober.driver import processes
from chaosfw.load.prober.parts import Parts
from chaosfw.load.prober.sending import Sending
from chaosfw.model.load import Generator
from chaosfw.model.struct import encode
from chaosfw.timing import SYSTEM


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer: it heals first
    orders = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    _allow_many_descriptors()
    _go_first()
    out, amount = Path(orders.out), processes(orders.load)
    gc.collect()
    gc.freeze()
    gc.disable()  # nothing here makes cycles; a collection would make requests late
    run: Sending | Parts
    if amount > 1:
        run = Parts(orders, clock=SYSTEM, stdin=sys.stdin.fileno(), amount=amount)
        book = run.book
    else:
        book = Book(out / "samples.bin")
        run = Sending(orders, clock=SYSTEM, stdin=sys.stdin.fileno(), book=book)
    signal.signal(signal.SIGTERM, lambda _number, _frame: run.stop())
    blind = ("no certificate is checked",) if orders.load.tls is not None and not orders.load.tls.verify else ()
    os.write(1, encode(Ready(generator=Generator(name="prober", version="1", on=run.on, pid=os.getpid(), blind=blind))) + b"\n")
    seal(book, out, run.run())


def _allow_many_descriptors() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _go_first() -> None:
    """Where the system allows it, sending on time goes before everything else: a late generator makes a run inconclusive."""
    try:
        os.nice(-10)
    except OSError:
        pass  # an ordinary user may not; lateness is measured and judged all the same


if __name__ == "__main__":
    main()
