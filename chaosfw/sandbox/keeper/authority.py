"""
Makes the sandbox's certificate authority and server certificate: ``python -m chaosfw.sandbox.keeper.authority DIRECTORY HOST FD [NODE…]``.

With the addresses of nodes also what an API server in other hands needs: the certificates with which it calls kubelets and they answer, and
the keys of service accounts.

Started by the keeper as a process of its own, because loading the cryptography takes as long as loading an API server and can be
done beside it. That it is done shows in the end of file on the inherited socket FD.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from chaosfw.sandbox.upstream.files import CALLER, NODES, SIGNING, VERIFYING


def main() -> None:
    directory, host = Path(sys.argv[1]), sys.argv[2]
    os.umask(0o077)
    authority = trustme.CA(organization_name="chaosfw sandbox")
    issue(authority, directory, host=host, nodes=sys.argv[4:])


def issue(authority: trustme.CA, directory: Path, *, host: str, nodes: Sequence[str] = ()) -> None:
    server = authority.issue_cert(host, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))
    server.private_key_and_cert_chain_pem.write_to_path(str(directory / "server.pem"))
    if nodes:
        authority.issue_cert(*nodes).private_key_and_cert_chain_pem.write_to_path(str(directory / NODES))
        caller = authority.issue_cert(common_name="kube-apiserver-kubelet-client", organization_name="system:masters")
        caller.private_key_and_cert_chain_pem.write_to_path(str(directory / CALLER))
        _service_account_keys(directory)


def _service_account_keys(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / SIGNING).write_bytes(private)
    (directory / VERIFYING).write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


if __name__ == "__main__":
    main()
