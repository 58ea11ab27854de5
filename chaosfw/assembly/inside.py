"""
The credentials that a pod has of its own, as a kubeconfig file: what everything here takes. Called by the reaper, which runs as a pod.

The token's path is written, not the token: it is read again for each request, because the kubelet renews it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from chaosfw.errors import UsageError
from chaosfw.model.struct import Json

MOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet puts token, certificate authority and namespace of a pod's service account."""
VOLUMES = "CHAOSFW_VOLUMES"
"""Variable of the sandbox, which has no mount namespaces: where the files of each mount path really are, as JSON."""


def kubeconfig(variables: Mapping[str, str]) -> Json:
    """The kubeconfig of this pod's service account. Raises UsageError outside a pod."""
    mount = Path(json.loads(variables.get(VOLUMES, "{}")).get(MOUNT, MOUNT))
    host, port = variables.get("KUBERNETES_SERVICE_HOST", ""), variables.get("KUBERNETES_SERVICE_PORT", "")
    if not (host and port and (mount / "token").is_file()):
        raise UsageError(
            "this is not a pod with a service account: no KUBERNETES_SERVICE_HOST, or no token at " + str(mount),
            hint="deploy/reaper/ runs it as one; elsewhere: --kubeconfig FILE",
        )
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "inside", "cluster": {"server": server, "certificate-authority": str(mount / "ca.crt")}}],
        "users": [{"name": "inside", "user": {"tokenFile": str(mount / "token")}}],
        "contexts": [{"name": "inside", "context": {"cluster": "inside", "user": "inside"}}],
        "current-context": "inside",
    }
