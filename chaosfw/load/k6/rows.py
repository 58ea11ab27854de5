"""
Our own output in a k6 that has it, ``--out chaosfw-v1``: its frames become requests in the account.

Written by ``output/output.go``, which says what a frame is. A request costs k6 and this reader a fraction of what nine lines of CSV
cost them, and its times are exact by the monotonic clock, however the wall was set meanwhile.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import msgspec

from chaosfw.load.frames import Unframed
from chaosfw.load.k6.account import Account, Request, Tags

OUTPUT = "chaosfw-v1"
"""How k6 knows it. A k6 that was built with another version of the format has another one, and is read by its CSV."""

_ROW = struct.Struct("<qqIIiBBH")
_DROP = struct.Struct("<qQ")
_NUMBER = struct.Struct("<Q")
_BEGAN = struct.Struct("<q")
_FAILED = (False, True, None)


class _Told(msgspec.Struct):
    status: str = ""
    code: str = ""
    error: str = ""


class _Asked(msgspec.Struct):
    Asked: int
    Failed: int


@dataclass(slots=True)
class Rows:
    """Fed with pieces of the pipe, tells the account. ``planned``: the script is ours, and requests carry their number."""

    account: Account
    planned: bool = False
    _frames: Unframed = field(default_factory=Unframed)
    _tags: list[Tags] = field(default_factory=list)

    def anchor(self) -> None:
        """Nothing here is stamped by the wall."""

    def feed(self, piece: bytes) -> None:
        for kind, payload in self._frames.feed(piece):
            self._take(kind, payload)

    def close(self) -> None:
        """k6 writes whole frames, and half of one only if it was killed: then the seal says so."""

    def _take(self, kind: bytes, payload: bytes) -> None:
        account = self.account
        if kind == b"q":
            self._requests(payload)
        elif kind == b"t":
            told = msgspec.json.decode(payload, type=_Told)
            self._tags.append(Tags(status=int(told.status or 0), code=int(told.code or 0), error=told.error))
        elif kind == b"n":
            self._tags.clear()
        elif kind == b"d":
            at, amount = _DROP.unpack(payload)
            account.drop(at, amount=amount)
        elif kind == b"c":
            for name, one in msgspec.json.decode(payload, type=dict[str, _Asked]).items():
                account.check(name, asked=one.Asked, failed=one.Failed)
        elif kind == b"b":
            (account.on,) = _BEGAN.unpack(payload)
        elif kind == b"u":
            account.asked += _NUMBER.unpack(payload)[0]
        else:
            raise ValueError(f"k6's output wrote a frame of the kind {kind!r}, which nobody knows")

    def _requests(self, payload: bytes) -> None:
        account, tags, planned = self.account, self._tags, self.planned
        account.asked += len(payload) // _ROW.size
        for end, took, told, vu, number, failed, connecting, _ in _ROW.iter_unpack(payload):
            account.write(
                Request(
                    end,
                    took,
                    tags[told],
                    vu,
                    number if planned and number >= 0 else None,
                    _FAILED[failed],
                    connecting > 0,
                )
            )
