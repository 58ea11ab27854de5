"""
Main of one of several Locust processes: ``python -m chaosfw.processes.locust_worker HOST:PORT [locustfile.py]``. Joins the master there,
which is a load of chaosfw's that runs; without a file the master sends its own. Ends with it.
"""

from __future__ import annotations

import gevent.monkey

gevent.monkey.patch_all()  # before anything else: Locust does it too, and then it is too late for what has been imported

import os  # noqa: E402
import signal  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402

import gevent  # noqa: E402
import locust.main  # noqa: E402

from chaosfw.load.frames import Unframed  # noqa: E402
from chaosfw.load.locust import strict  # noqa: E402
from chaosfw.load.locust.words import worker_arguments  # noqa: E402
from chaosfw.load.locust.worker import Worker, greeted  # noqa: E402
from chaosfw.timing import SYSTEM, nanoseconds  # noqa: E402

PATIENCE = 300.0
"""Seconds in which the master has to come up, where somebody starts workers first."""


def main() -> None:
    if len(sys.argv) not in (2, 3) or not sys.argv[1].rpartition(":")[2].isdigit():
        sys.exit("usage: python -m chaosfw.processes.locust_worker HOST:PORT [locustfile.py]")
    signal.signal(signal.SIGINT, signal.SIG_IGN) if len(sys.argv) == 3 else None  # ours ends with the master, which Ctrl-C does not end
    host, _, port = sys.argv[1].rpartition(":")
    connection = _joined(host, int(port))
    unframed = Unframed()
    welcome = greeted(connection, unframed)
    strict.patient(welcome.orders.load.timeout)
    strict.once()
    worker = Worker(connection, rest=unframed, load_orders=welcome.orders)
    file = sys.argv[2] if len(sys.argv) == 3 else "-"
    os.environ.setdefault("TARGET", welcome.orders.url)
    sys.argv = ["locust", *worker_arguments(welcome.orders, host=host, port=welcome.port, file=file)]
    try:
        locust.main.main()
    except SystemExit:
        pass
    worker.finish()


def _joined(host: str, port: int) -> socket.socket:
    """The connection. Waits for a master that is not there yet; raises OSError when it does not come."""
    until = SYSTEM.monotonic_ns() + nanoseconds(PATIENCE)
    while True:
        try:
            connection = socket.create_connection((host, port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except ConnectionRefusedError:
            if SYSTEM.monotonic_ns() > until:
                raise
            gevent.sleep(0.5)


if __name__ == "__main__":
    main()
