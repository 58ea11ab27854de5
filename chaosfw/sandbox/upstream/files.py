"""Names of what the keeper's authority leaves in the sandbox's directory for an API server that is not ours."""

from __future__ import annotations

from typing import Final

NODES: Final = "nodes.pem"
"""With what kubelets answer."""
CALLER: Final = "kubelet-client.pem"
"""With what the API server calls them."""
SIGNING: Final = "service-accounts.key"
VERIFYING: Final = "service-accounts.pub"
