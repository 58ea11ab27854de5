"""
Main of the collector of a k6 that runs in a cluster: ``python -m chaosfw.processes.k6_pods <orders.json>``, with the run's KUBECONFIG.
Makes a TestRun, collects until its standard input ends, removes the TestRun and leaves a seal.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import msgspec

from chaosfw.drivers.kubernetes.cluster import here
from chaosfw.drivers.kubernetes.test_runs import TestRun
from chaosfw.errors import ChaosfwError
from chaosfw.load.k6 import program
from chaosfw.load.k6.pods import PodsCollector
from chaosfw.load.orders import Orders


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to answer: it heals first
    orders = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    script = orders.load.script
    assert script is not None
    try:
        fleet = TestRun(
            here(),
            script.namespace,
            orders.name,
            pods_wanted=script.pods,
            file=Path(script.file),
            image=script.image,
            node_selector=script.node_selector,
            arguments=orders.command,
            env=orders.env,
            output={**program.CSV, "K6_LOG_OUTPUT": "none"},  # its words would come between its points
        )
        PodsCollector(orders, fleet=fleet, stdin=sys.stdin.fileno()).run()
    except ChaosfwError as trouble:
        sys.exit(trouble.message)


if __name__ == "__main__":
    main()
