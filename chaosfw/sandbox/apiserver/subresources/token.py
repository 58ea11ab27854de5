"""
TokenRequest: a token for a service account. Nobody checks it here (authorization is not enforced), but clients that ask
get something of the right form, and it is not the cluster's own token.
"""

from __future__ import annotations

import secrets

from chaosfw.sandbox.apiserver.verbs import Verbs
from chaosfw.sandbox.client.verbs import Object
from chaosfw.sandbox.kinds.cluster import SERVICE_ACCOUNT
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.objects import moments
from chaosfw.timing import NANOSECONDS, SYSTEM

_HOUR = 3600


def issue(verbs: Verbs, namespace: str, name: str, body: Object) -> Object:
    account = verbs.get(SERVICE_ACCOUNT, namespace, name).obj
    lifetime = int(read(body, "spec.expirationSeconds", _HOUR))
    expires = moments.stamp(SYSTEM.wall_ns() + lifetime * NANOSECONDS)
    return {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": account["metadata"]["name"], "namespace": namespace, "creationTimestamp": moments.stamp(SYSTEM.wall_ns())},
        "spec": {"audiences": read(body, "spec.audiences", ["https://kubernetes.default.svc"]), "expirationSeconds": lifetime},
        "status": {"token": secrets.token_urlsafe(32), "expirationTimestamp": expires},
    }
