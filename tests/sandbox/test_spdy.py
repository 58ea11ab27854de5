"""Frames of SPDY/3.1: what one side makes the other understands, however it is cut; what is no SPDY is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfw.sandbox import spdy
from chaosfw.sandbox.spdy import Away, Data, Framing, Opened, Ping, Reset, SpdyError

HEADERS = {"streamtype": "data", "port": "8000", "requestid": "0"}


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=40))
def test_frames_arrive_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    client, server = Framing(), Framing()
    whole = client.opened(1, HEADERS) + spdy.sent(1, data) + client.opened(3, {"Port": "1"}) + spdy.pinged(7) + spdy.sent(1, b"", last=True)
    whole += spdy.reset(3)
    seen, at = [], 0
    while at < len(whole):
        size = cuts[len(seen) % len(cuts)]
        seen += list(server.feed(whole[at : at + size]))
        at += size
    assert seen == [Opened(1, HEADERS, False), Data(1, data, False), Opened(3, {"port": "1"}, False), Ping(7), Data(1, b"", True), Reset(3)]


def test_a_reply_is_understood_by_nobody_here_and_does_no_harm() -> None:
    client, server = Framing(), Framing()
    assert not list(client.feed(server.replied(1) + server.replied(3)))
    assert list(server.feed(struct.pack(">HHI", 0x8003, 7, 8) + bytes(8))) == [Away()]


@pytest.mark.parametrize(
    "wrong",
    [
        struct.pack(">HHI", 0x8002, 1, 10) + bytes(10),
        struct.pack(">HHI", 0x8003, 1, 14) + bytes(14),
        struct.pack(">HHI", 0x8003, 6, 2) + bytes(2),
        Framing().opened(1, HEADERS)[:20] + b"nonsense" + bytes(200),
    ],
)
def test_what_is_no_spdy_is_refused(wrong: bytes) -> None:
    with pytest.raises(SpdyError):
        list(Framing().feed(wrong))


def test_the_dictionary_is_that_of_the_draft() -> None:
    assert len(spdy.DICTIONARY) == 1423
