"""
``chaosfw reap``: the healer that lives in the cluster (``deploy/reaper/``), and outlives every host that breaks something in it.

Ends on SIGTERM after what it is doing. ``/healthz`` tells whether the cluster has answered it lately.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from chaosfw.assembly.inside import kubeconfig as own_kubeconfig
from chaosfw.executor.child import healing
from chaosfw.safety.reaper import Reaper
from chaosfw.timing import SYSTEM, iso, seconds

STALE = 60.0
"""Seconds without an answer of the cluster after which it does not count as healthy."""


def reap(given: argparse.Namespace) -> int:
    """Watches until it is told to stop. Raises UsageError outside a pod, where no kubeconfig is given."""
    stop = threading.Event()
    with tempfile.TemporaryDirectory(prefix="chaosfw-reaper-") as directory:
        place = Path(directory)
        kubeconfig = given.kubeconfig or _own_kubeconfig(place)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        env = {"KUBECONFIG": str(kubeconfig), "TMPDIR": directory}
        with healing(clock=SYSTEM, env=env, log=place / "executor.log") as caller:
            reaper = Reaper(
                caller=caller,
                clock=SYSTEM,
                namespace=given.namespace or os.environ.get("POD_NAMESPACE", "default"),
                who=f"reaper {os.environ.get('POD_NAME') or socket.gethostname()}",
                state=place / "state",
                say=_say,
                looked=SYSTEM.monotonic_ns(),
            )
            if given.health:
                _serve(given.health, reaper)
            _say(f"{reaper.who} watches over the runs that publish in namespace {reaper.namespace}")
            reaper.run(stop)
    _say("told to stop")
    return 0


def _own_kubeconfig(place: Path) -> Path:
    path = place / "kubeconfig"
    path.write_text(json.dumps(own_kubeconfig(os.environ)))
    path.chmod(0o600)
    return path


def _serve(port: int, reaper: Reaper) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ago = seconds(SYSTEM.monotonic_ns() - reaper.looked)
            self.send_response(200 if self.path == "/healthz" and ago < STALE else 404 if self.path != "/healthz" else 503)
            self.end_headers()
            self.wfile.write(f"the cluster answered {ago:.1f} s ago\n".encode())

        def log_message(self, *_: object) -> None:
            """Probes are not news."""

    server = ThreadingHTTPServer((os.environ.get("POD_IP", ""), port), Health)
    threading.Thread(target=server.serve_forever, name="chaosfw-health", daemon=True).start()


def _say(what: str) -> None:
    print(f"{iso(SYSTEM.wall_ns())} {what}", flush=True)
