"""
Main of a locustfile's process: ``python -m chaosfw.processes.locust <orders.json>``. Runs Locust's own command line with a listener of
ours, until its standard input ends.
"""

from __future__ import annotations

import gevent.monkey

gevent.monkey.patch_all()  # before anything else: Locust does it too, and then it is too late for what has been imported

import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import locust.main  # noqa: E402
import msgspec  # noqa: E402

from chaosfw.load.locust import strict  # noqa: E402
from chaosfw.load.locust.master import Master  # noqa: E402
from chaosfw.load.locust.running import Running  # noqa: E402
from chaosfw.load.locust.words import arguments  # noqa: E402
from chaosfw.load.orders import Orders  # noqa: E402


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer: it heals first
    orders = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    said = os.dup(1)
    os.dup2(2, 1)  # what the file prints is not the word that we wait for
    strict.patient(orders.load.timeout)
    strict.once()
    script = orders.load.script
    running: Running | Master
    if orders.load.processes > 1 or (script is not None and script.listen):
        running = Master(orders, said=said)
        sys.argv = ["locust", *arguments(orders), *running.arguments()]
    else:
        running = Running(orders, said=said)
        sys.argv = ["locust", *arguments(orders)]
    try:
        locust.main.main()
        ended = "Locust ended"
    except SystemExit as end:
        ended = f"Locust ended with exit code {end.code}"
    running.finish(ended)


if __name__ == "__main__":
    main()
