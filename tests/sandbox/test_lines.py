"""Messages between the sandbox's processes, and where their sockets may lie."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from chaosfw.sandbox.keeper import home
from chaosfw.sandbox.lines import pack, read_line


def test_two_messages_at_once_are_read_one_after_the_other() -> None:
    """A keeper that fails says why, and at once that it ended: the first must not be lost to the second."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(pack({"error": "no room"}) + pack({"ended": "it did not start"}))
        theirs.close()

        assert [read_line(ours), read_line(ours), read_line(ours)] == [{"error": "no room"}, {"ended": "it did not start"}, None]


def test_a_message_in_pieces_is_read_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b'{"do"')
        theirs.sendall(b': "ping"}\n')

        assert read_line(ours) == {"do": "ping"}


def test_every_base_leaves_room_for_the_longest_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime directory of any length: the path of every socket in it still fits, or another base is taken."""
    for length in range(len(str(tmp_path)) + 2, 110):
        runtime = tmp_path / ("r" * (length - len(str(tmp_path)) - 1))
        runtime.mkdir(exist_ok=True)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))

        assert len(str(home.base() / "sandbox-00000000" / "dataplane.sock")) <= 107
