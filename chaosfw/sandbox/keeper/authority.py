"""
Makes the sandbox's certificate authority and server certificate: ``python -m chaosfw.sandbox.keeper.authority DIRECTORY HOST FD``.

Started by the keeper as a process of its own, because loading the cryptography takes as long as loading an API server and can be
done beside it. That it is done shows in the end of file on the inherited socket FD.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trustme


def main() -> None:
    directory, host = Path(sys.argv[1]), sys.argv[2]
    os.umask(0o077)
    authority = trustme.CA(organization_name="chaosfw sandbox")
    server = authority.issue_cert(host, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))


if __name__ == "__main__":
    main()
