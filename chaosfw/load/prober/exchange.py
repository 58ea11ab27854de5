"""
One request on one socket, moved on by readiness: connect, shake hands, send, read.

Owned by :mod:`chaosfw.load.prober.sending`, which knows about time and about other requests; an exchange knows neither. Each
way in which it can end is an :class:`~chaosfw.model.load.Outcome`.
"""

from __future__ import annotations

import errno
import select
import socket
import ssl

from chaosfw.load.prober.names import Address
from chaosfw.load.prober.response import Answer, Broken, Malformed
from chaosfw.model.load import Outcome

IN, OUT = select.EPOLLIN | select.EPOLLRDHUP, select.EPOLLOUT

_PIECE = 65536
_OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
_GONE = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED, errno.ENOTCONN}


class Exchange:
    """``step`` is called when the socket is ready; the outcome once there is one, else None and ``wants`` says for what it waits."""

    __slots__ = (
        "_alpn",
        "_host",
        "_reading",
        "_rest",
        "_secure",
        "_shaken",
        "connected",
        "descriptor",
        "due",
        "end",
        "number",
        "response",
        "reused",
        "sent",
        "sock",
        "wants",
    )

    def __init__(self, number: int, *, due: int, sent: int, request: bytes, response: Answer) -> None:
        self.number, self.due, self.sent = number, due, sent
        self.response = response
        self.reused = False
        self.connected = False
        self.end = 0
        self.wants = OUT
        self.sock: socket.socket | None = None
        self.descriptor = -1
        """Stays the same when the socket is wrapped, and is known still when it is closed."""
        self._rest = memoryview(request)
        self._secure: ssl.SSLContext | None = None
        self._host = ""
        self._alpn: str | None = None
        self._shaken = True
        self._reading = False

    def open(self, address: Address, *, secure: ssl.SSLContext | None, host: str, alpn: str | None) -> Outcome | None:
        """
        A new connection. On this machine it is usually up at once, and the request is sent with it. ``alpn``: the protocol that the server
        has to agree to while hands are shaken.
        """
        try:
            sock = socket.socket(address[0], socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            return outcome_of(error)
        self.sock, self.descriptor = sock, sock.fileno()
        code = sock.connect_ex(address[1])
        if code not in (0, errno.EINPROGRESS):
            return outcome_of(OSError(code, "connect"))
        if secure is not None:
            self._secure, self._host, self._alpn, self._shaken = secure, host, alpn, False
            return None
        return self._send(early=True)

    def reuse(self, sock: socket.socket) -> Outcome | None:
        """A connection from the pool."""
        self.sock, self.descriptor, self.reused, self.connected = sock, sock.fileno(), True, True
        return self._send(early=False)

    def step(self) -> Outcome | None:
        try:
            if not self.connected and (trouble := self._connect()) is not None:
                return trouble
            if not self._shaken and not self._shake():
                return None
            if self._rest and ((trouble := self._send(early=False)) is not None or self._rest or not self._reading):
                return trouble
            return Outcome.ok if self.response.immediate else self._read()
        except ssl.SSLWantReadError:
            self.wants = IN
        except ssl.SSLWantWriteError:
            self.wants = OUT
        except ssl.SSLError:
            return Outcome.tls
        except Malformed:
            return Outcome.assertion
        except Broken as broken:
            return broken.outcome
        except BlockingIOError:
            pass
        except OSError as error:
            return outcome_of(error)
        return None

    def timed_out(self) -> Outcome:
        return Outcome.read_timeout if self.connected and self._shaken else Outcome.connect_timeout

    def _connect(self) -> Outcome | None:
        assert self.sock is not None
        code = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return outcome_of(OSError(code, "connect"))
        self.connected = True
        return None

    def _shake(self) -> bool:
        if self._secure is not None and self.sock is not None:  # only a connected socket can be wrapped; its descriptor stays
            self.sock = self._secure.wrap_socket(self.sock, server_hostname=self._host, do_handshake_on_connect=False)
            self._secure = None
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.do_handshake()
        if self._alpn is not None and self.sock.selected_alpn_protocol() != self._alpn:
            raise ssl.SSLError(f"the server does not speak {self._alpn}")
        self._shaken = True
        return True

    def _send(self, *, early: bool) -> Outcome | None:
        assert self.sock is not None
        if not self._rest and early:
            return None  # nothing to say: whether the connection is up, the socket tells
        try:
            self._rest = self._rest[self.sock.send(self._rest) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.wants = OUT
            return None
        except ssl.SSLWantReadError:
            self.wants = IN
            return None
        except OSError as error:
            if early and error.errno == errno.ENOTCONN:
                return None
            return outcome_of(error)
        self.connected = True
        self.wants = OUT if self._rest else IN
        return None

    def _read(self) -> Outcome | None:
        assert self.sock is not None
        self._reading = True
        while True:
            data = self.sock.recv(_PIECE)
            if not data:
                self.response.keeps = False
                return Outcome.ok if self.response.ended() else Outcome.reset
            if self.response.feed(data):
                return Outcome.ok
            if reply := self.response.reply():
                self._rest = memoryview(reply)
                if (trouble := self._send(early=False)) is not None or self._rest:
                    return trouble
            if len(data) < _PIECE and not isinstance(self.sock, ssl.SSLSocket):
                return None


def outcome_of(error: OSError) -> Outcome:
    """What an error of the kernel means. ``dropped``: this machine lacked a descriptor, port or buffer; the service was not asked."""
    code = error.errno
    if code in _OURS:
        return Outcome.dropped
    if code == errno.ETIMEDOUT:
        return Outcome.connect_timeout
    return Outcome.reset if code in _GONE else Outcome.refused
