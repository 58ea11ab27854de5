"""
The main of the runtime: ``python -m chaosfw.sandbox.runtime ORDERS_FD KEEPER_FD DIRECTORY``.

Started by the keeper. No loop library and no thread runs here, because it forks: orders come and exits go over the inherited socket
ORDERS_FD. End of file from the keeper or from the kubelet kills every pod; then the sandbox's directory goes too, in case the keeper can
no longer do it.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from chaosfw.sandbox.lines import pack
from chaosfw.sandbox.prctl import adopt_orphans
from chaosfw.sandbox.runtime.orders import order_from_json
from chaosfw.sandbox.runtime.spawner import Running, Spawner
from chaosfw.timing import SYSTEM


class Runtime:
    """The loop: orders, output, exits, and the two ends that mean stop."""

    def __init__(self, *, orders: socket.socket, keeper: int) -> None:
        self._orders = orders
        self._keeper = keeper
        self._spawner = Spawner(clock=SYSTEM)
        self._selector = selectors.DefaultSelector()
        self._buffer = b""
        self._running = True

    def run(self) -> None:
        wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        self._watch(wake, lambda: self._reap(wake))
        self._watch(self._orders.fileno(), self._take_orders)
        self._watch(self._keeper, self._stop)
        while self._running:
            for key, _ in self._selector.select():
                if key.fd in self._selector.get_map():
                    key.data()
        self._spawner.kill_all()

    def _watch(self, fd: int, react: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, react)

    def _stop(self) -> None:
        self._running = False

    def _take_orders(self) -> None:
        data = self._orders.recv(1 << 20)
        if not data:
            self._stop()
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, message: dict[str, Any]) -> None:
        if message["do"] == "signal":
            self._spawner.signal(message["id"], message["signal"])
        else:
            self._start(message["order"])

    def _start(self, data: dict[str, Any]) -> None:
        try:
            running = self._spawner.start(order_from_json(data))
        except OSError as error:
            self._tell({"event": "failed", "id": data["id"], "error": str(error)})
            return
        self._watch(running.pipe, lambda: self._drain(running))
        self._tell({"event": "started", "id": running.id, "pid": running.pid, "at_ns": SYSTEM.monotonic_ns()})

    def _drain(self, running: Running) -> None:
        if not self._spawner.drain(running):
            self._selector.unregister(running.pipe)

    def _reap(self, wake: int) -> None:
        try:
            while os.read(wake, 4096):
                pass
        except BlockingIOError:
            pass
        for running, ended in self._spawner.reap():
            self._forget(running)
            self._tell(
                {"event": "exited", "id": ended.id, "pid": ended.pid, "code": ended.code, "signal": ended.signal, "at_ns": ended.at_ns}
            )

    def _forget(self, running: Running) -> None:
        """Its pipe is closed already, so the selector has to be told without asking the kernel; unless it saw the end before."""
        try:
            self._selector.unregister(running.pipe)
        except (KeyError, ValueError):
            pass

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._orders.sendall(pack(message))
        except OSError:
            self._stop()


def main() -> None:
    orders, keeper, directory = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), sys.argv[3]
    orders.setblocking(True)
    adopt_orphans()
    gc.collect()
    gc.freeze()
    os.write(keeper, pack({"ready": True}))
    Runtime(orders=orders, keeper=keeper).run()
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
