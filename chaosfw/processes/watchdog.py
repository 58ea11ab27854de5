"""
Main of the watchdog: ``python -m chaosfw.processes.watchdog BEATS LIFE``, orders on standard input. Says READY on descriptor
LIFE when it holds the environment, has read it with the credentials that it will heal with, and watches.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from chaosfw.assembly.environments import hold, is_gone
from chaosfw.executor.child import ExecutorChild, PatientCaller, kill_marked, start
from chaosfw.safety.companion import READY
from chaosfw.safety.watchdog import Note, Orders, Watchdog
from chaosfw.timing import SYSTEM

REPORTING = 120.0
"""Seconds that the report of the runs that died may take."""
WARM = ("chaosfw.drivers.kubernetes.cordon",)


def main() -> None:
    beats, life = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (beats, life):
        os.set_inheritable(descriptor, False)
    orders = msgspec.json.decode(sys.stdin.buffer.read(), type=Orders)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner answers Ctrl-C
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it goes when nothing is open and the runner says so, not before
    place = hold(orders.place)
    caller = PatientCaller(_healer(orders), renew=lambda: _healer(orders))
    try:
        caller.executor.wait_ready()
        if orders.environment.kubeconfig:
            caller.kind("", "identity", None, timeout=10.0)
        os.write(life, READY)
        note = Watchdog(
            orders=orders,
            caller=caller,
            clock=SYSTEM,
            kill_marked=lambda token: kill_marked(token, clock=SYSTEM),
            beats=beats,
            is_gone=lambda: is_gone(orders.place),
        ).watch()
        if note is not None:
            print(note, flush=True)
            report(orders, note)
    finally:
        caller.executor.close()
        shutil.rmtree(Path(orders.state) / f"tmp-{orders.runner}", ignore_errors=True)
        place.close()


def report(orders: Orders, note: Note) -> None:
    """In a process of its own: it needs modules that the way back does not, and whatever happens to it, everything is put back."""
    if orders.folder:
        command = [sys.executable, "-m", "chaosfw.processes.aftermath", orders.folder, orders.runs]
        subprocess.run(command, input=msgspec.json.encode(note), timeout=REPORTING, check=False)


def _healer(orders: Orders) -> ExecutorChild:
    log = Path(orders.state) / "watchdog-executor.log"
    return start(clock=SYSTEM, env={"KUBECONFIG": orders.environment.kubeconfig}, warm=WARM, log=log, role="healer")


if __name__ == "__main__":
    main()
