"""TLS as a load describes it. Used by the prober's process, and by its driver to tell before anything is touched that a file is no use."""

from __future__ import annotations

import ssl

from chaosfw.model.load import Tls


def context(wanted: Tls | None, *, alpn: str | None = None) -> ssl.SSLContext:
    """``alpn``: a protocol to offer. Raises OSError (an ssl.SSLError is one) for a file that is missing or holds no certificate or key."""
    made = ssl.create_default_context(cafile=wanted.ca or None if wanted else None)
    if alpn is not None:
        made.set_alpn_protocols([alpn])
    if wanted is None:
        return made
    if wanted.certificate:
        made.load_cert_chain(wanted.certificate, wanted.key or None)
    if not wanted.verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
