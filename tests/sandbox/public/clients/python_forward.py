"""The Python client connects to two ports of a pod: at one a server answers, at the other nobody listens. Prints what came of both."""

from __future__ import annotations

import json
import sys

from kubernetes import client, config
from kubernetes.stream import portforward


def main(name: str, port: int, closed: int) -> None:
    config.load_kube_config()
    api = client.CoreV1Api()
    forwarded = portforward(api.connect_get_namespaced_pod_portforward, name, "shop", ports=f"{port},{closed}")
    ours, refused = forwarded.socket(port), forwarded.socket(closed)
    for one in (ours, refused):
        one.setblocking(True)
    ours.sendall(b"GET / HTTP/1.1\r\nHost: myapp\r\nConnection: close\r\n\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer and (piece := ours.recv(4096)):
        answer += piece
    print(json.dumps({"answer": answer.decode(), "refused": forwarded.error(closed)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
