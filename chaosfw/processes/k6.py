"""
Main of k6's collector: ``python -m chaosfw.processes.k6 <orders.json>``. Runs k6 until its standard input ends, and leaves a seal.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import msgspec

from chaosfw.load.k6.collecting import Collector
from chaosfw.load.orders import Orders


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer: it heals first
    Collector(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders), stdin=sys.stdin.fileno()).run()


if __name__ == "__main__":
    main()
