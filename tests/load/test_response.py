"""HTTP/1.1 responses, cut at every byte."""

from __future__ import annotations

import pytest

from chaosfw.load.prober.response import Malformed, Response

WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Pod: Web-1 \r\n\r\nabc",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-pod: Web-1\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nx-pod: Web-1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: v\r\n\r\n",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-POD: Web-1\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_it_is_whole_at_its_last_byte_and_not_before(name: str) -> None:
    data = WHOLE[name]

    for cut in range(1, len(data)):
        response = Response(b"x-pod", without_body=False)
        assert not response.feed(data[:cut])
        assert not response.ended()
        assert response.feed(data[cut:])
        assert (response.status, response.seen) == (200, b"Web-1")


def test_a_body_without_length_ends_with_the_connection() -> None:
    response = Response(b"", without_body=False)

    assert not response.feed(b"HTTP/1.1 200 OK\r\n\r\nabc")
    assert response.ended()


@pytest.mark.parametrize(("head", "keeps"), [(b"HTTP/1.1 200", True), (b"HTTP/1.0 200", False)])
def test_who_keeps_the_connection(head: bytes, keeps: bool) -> None:
    response = Response(b"", without_body=True)
    response.feed(head + b" OK\r\n\r\n")

    assert response.keeps is keeps


@pytest.mark.parametrize(
    "data", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"x" * 70000, b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]
)
def test_what_is_no_response_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        Response(b"", without_body=False).feed(data)
