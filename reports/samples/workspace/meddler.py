"""Somebody who means well: waits for a cordoned node and uncordons it."""

import sys
import threading

from chaosfw.drivers.kubernetes.cluster import Cluster


def main(kubeconfig: str, after: float) -> None:
    cluster, pause = Cluster(kubeconfig), threading.Event()
    while True:
        for node in cluster.items("/api/v1/nodes"):
            if node["spec"].get("unschedulable"):
                pause.wait(after)
                cluster.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"spec": {"unschedulable": None}})
                return
        pause.wait(0.05)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
