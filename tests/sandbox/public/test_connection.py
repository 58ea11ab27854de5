"""The connection that a user of a sandbox keeps to its API server."""

from __future__ import annotations

import socket

from chaosfw.sandbox.https import Api
from chaosfw.sandbox.public import SandboxSpec, start


def test_a_kept_connection_that_the_server_has_ended_is_made_anew() -> None:
    with start(SandboxSpec(nodes=1)) as sandbox:
        api = Api(sandbox.server, token=sandbox.token, authority=sandbox.ca)
        before = api.get("/version")
        assert api._connection is not None
        api._connection.sock.shutdown(socket.SHUT_RDWR)  # reads as it does when the other side is gone

        assert api.get("/version") == before
        api.close()
