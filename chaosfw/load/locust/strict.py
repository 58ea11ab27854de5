"""
Makes Locust's clients tell of every attempt: no request waits for ever, and none is sent again in secret.

Runs in the child ``python -m chaosfw.processes.locust`` only, before the locustfile is imported. The file itself is not touched; what it
says of time-outs and retries holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent.monkey
from geventhttpclient.connectionpool import ConnectionPool
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession, FastHttpUser

_POLL = gevent.monkey.get_original("select", "poll")()
"""One for all, because making one takes longer than asking it: between its three calls nobody else gets a turn."""
_READABLE = 1
"""POLLIN."""


def patient(timeout: float) -> None:
    """Requests without a time-out of their own get ``timeout`` seconds: with none, or a minute, an outage hides in users that wait."""
    FastHttpUser.network_timeout = FastHttpUser.connection_timeout = timeout
    request = HttpSession.request

    def timed(session: Any, *positional: Any, **named: Any) -> Any:
        named.setdefault("timeout", timeout)
        return request(session, *positional, **named)

    HttpSession.request = timed


def watched(flying: dict[int, object], mark: Callable[[], object]) -> None:
    """
    What ``mark`` gives is in ``flying`` as long as a request is under way. One whose user is killed meanwhile stays there: Locust tells
    nothing of it.
    """
    for kind in (HttpSession, FastHttpSession):
        kind.request = _watched(kind.request, flying, mark)


def once() -> None:
    """
    FastHttpUser's client sends a request again, up to eleven times, when its connection is reset or closed, and reports only the last
    answer: an outage of 20 ms is never seen. Here it is sent once; a kept connection that the server has closed meanwhile is not used.
    """
    FastHttpUser.max_retries = 0
    begin, get = ConnectionPool.__init__, ConnectionPool.get_socket

    def __init__(pool: Any, *positional: Any, **named: Any) -> None:
        begin(pool, *positional, **named)
        pool.size = -1  # read for nothing but the number of attempts, which is one more

    def get_socket(pool: Any) -> Any:
        while _is_closed(sock := get(pool)):
            pool.release_socket(sock)
        return sock

    ConnectionPool.__init__ = __init__
    if not hasattr(ConnectionPool, "_is_socket_alive"):  # the newer ones ask by themselves
        ConnectionPool.get_socket = get_socket


def _watched(request: Callable[..., Any], flying: dict[int, object], mark: Callable[[], object]) -> Callable[..., Any]:
    def asked(session: Any, *positional: Any, **named: Any) -> Any:
        mine = mark()
        key = id(mine)  # its own for as long as it is there
        flying[key] = mine
        try:
            answer = request(session, *positional, **named)
        except Exception:  # not GreenletExit, which is what kills a user
            del flying[key]
            raise
        del flying[key]
        return answer

    return asked


def _is_closed(sock: Any) -> bool:
    """Something to read before anything was asked: the end of the connection."""
    number = sock.fileno()
    _POLL.register(number, _READABLE)
    readable = bool(_POLL.poll(0))
    _POLL.unregister(number)
    return readable
