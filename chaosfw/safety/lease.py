"""
The lock of an environment that several hosts share: the file lock of this host first, then a Lease in the cluster.

Who looks on judges expiry by the own monotonic time since the Lease last *changed*; wall clocks are never compared. A holder whose
process is gone from this very host is not waited for: the kernel has said that it is dead. The holder renews from a thread of its own,
and counts the lock as lost when it was taken, or when nobody has confirmed it for as long as it lasts.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from chaosfw.errors import ChaosfwError, LockTaken
from chaosfw.model.lease import Held
from chaosfw.model.struct import Json
from chaosfw.ports import Caller
from chaosfw.safety.fence import start_time
from chaosfw.safety.lock import FileLock
from chaosfw.timing import Clock, boot_id, nanoseconds

LASTS = 15
"""Seconds that a Lease counts after its last renewal, as Kubernetes' own leaders have it."""
RENEW = 5.0
"""Seconds between renewals."""
HEAR = 1.0
"""Seconds between looks at our own Lease: whether somebody has taken it, or asks every run to halt."""
CALL = 4.0
"""Seconds that one call may take."""
LOOK = 0.5
"""Seconds between looks at a Lease that somebody else holds."""


@dataclass(slots=True)
class LeaseLock:
    """ports.Lock. ``epoch`` is the Lease's."""

    file: FileLock
    caller: Caller
    clock: Clock
    namespace: str
    holder: str
    epoch: int
    halted: str = ""
    """Who asked on the cluster for a halt, as it was last heard."""
    _confirmed: int = 0
    _taken: bool = False
    _stop: threading.Event = field(default_factory=threading.Event)
    _renewing: threading.Thread | None = None

    def keep(self) -> None:
        """Starts renewing."""
        self._confirmed = self.clock.monotonic_ns()
        self._renewing = threading.Thread(target=self._keep, name="chaosfw-lease", daemon=True)
        self._renewing.start()

    def still_mine(self) -> bool:
        """Without asking anybody: not taken as far as is known, and confirmed not longer ago than it lasts."""
        fresh = self.clock.monotonic_ns() - self._confirmed < nanoseconds(LASTS)
        return fresh and not self._taken and self.file.still_mine()

    def regain(self) -> bool:
        """Asks: False only when it has gone to somebody else. What can not be asked is left to the writes' own preconditions."""
        try:
            self._renew()
        except ChaosfwError:
            return not self._taken
        return not self._taken

    def cord(self) -> str:
        """That of this host, which is seen at once, or that of the cluster, which is heard within ``HEAR``."""
        return self.file.cord() or self.halted

    def hear(self) -> None:
        """Looks at the Lease once."""
        seen = msgspec.convert(self._ask("held"), Held | None) or Held()
        self.halted = seen.halt
        if (seen.holder, seen.epoch) != (self.holder, self.epoch):
            self._taken = True

    def release(self) -> None:
        """Safe twice."""
        self._stop.set()
        if self._renewing is not None:
            self._renewing.join()
            self._renewing = None
            try:
                self._ask("release", holder=self.holder, epoch=self.epoch)
            except ChaosfwError:
                pass  # it expires by itself
        self.file.release()

    def _keep(self) -> None:
        looks = 0
        while not self._stop.wait(HEAR):
            looks += 1
            try:
                self.hear()
                if looks * HEAR >= RENEW and not self._taken:
                    self._renew()
                    looks = 0
            except ChaosfwError:
                continue  # not confirmed: still_mine counts the time

    def _renew(self) -> None:
        asked = self.clock.monotonic_ns()
        if self._ask("renew", holder=self.holder, epoch=self.epoch):
            self._confirmed = asked
        else:
            self._taken = True

    def _ask(self, verb: str, **data: Json) -> Json:
        return self.caller.kind("", "lease", {"verb": verb, "namespace": self.namespace, **data}, timeout=CALL)


def take(
    *,
    file: FileLock,
    caller: Caller,
    clock: Clock,
    namespace: str,
    who: str,
    wait: float,
    waiting: Callable[[str], None] | None = None,
    over: str = "",
    holder: str = "",
) -> LeaseLock:
    """
    The Lease with the next epoch, for whoever holds the file lock; that is let go where the Lease can not be had. Waits up to ``wait``
    seconds, and calls ``waiting`` once with the holder's words. ``over``: the version in which it was seen to expire already. ``holder``:
    who takes it, from ``identity``, for those that try again: an answer that was lost may have been a yes, and one does not wait for
    oneself. Raises LockTaken, or what the caller raises.
    """
    made = LeaseLock(file, caller, clock, namespace, holder or identity(who), 0)
    try:
        made.epoch = _taken(made, wait=wait, waiting=waiting, over=over)
    except BaseException:
        file.release()
        raise
    made.keep()
    return made


def identity(who: str) -> str:
    """A name that nobody else takes a Lease by."""
    return f"{who} {_process()} {secrets.token_hex(4)}"


def _taken(lock: LeaseLock, *, wait: float, waiting: Callable[[str], None] | None, over: str) -> int:
    until = lock.clock.monotonic_ns() + nanoseconds(wait)
    version, since, told = "", lock.clock.monotonic_ns(), False
    while True:
        seen = msgspec.convert(lock._ask("held"), Held | None) or Held()
        now = lock.clock.monotonic_ns()
        if seen.version != version:
            version, since = seen.version, now
        expired = seen.version == over or now - since >= nanoseconds(seen.seconds)
        if not seen.holder or seen.holder == lock.holder or expired or _is_dead_here(seen.holder):
            got = msgspec.convert(lock._ask("take", holder=lock.holder, seconds=LASTS, seen=seen.version), Held | None)
            if got is not None:
                lock.halted = got.halt
                return got.epoch
            continue
        if now >= until:
            raise LockTaken(f"the environment is in use by {words(seen.holder)}", hint="wait for it, or give --chaos-lock-timeout")
        if waiting is not None and not told:
            waiting(words(seen.holder))
            told = True
        lock.clock.sleep(LOOK)


def words(holder: str) -> str:
    """A holder for people: who, and on which host."""
    who, _, rest = holder.rpartition(" host=")
    return f"{who} (on {rest.split()[0]})" if who and rest else holder


def _process() -> str:
    """Which process of which host: process ids mean something only within one boot and one namespace of them (containers)."""
    return f"host={socket.gethostname()} boot={_boot()} pid={os.getpid()} start={start_time(os.getpid())}"


def _boot() -> str:
    space = Path("/proc/self/ns/pid")
    return f"{boot_id()}/{os.readlink(space).strip('pid:[]') if space.exists() else ''}"


def _is_dead_here(holder: str) -> bool:
    """Whether the holder was a process of this host, by its boot, that is gone."""
    said = dict(part.split("=", 1) for part in holder.split() if "=" in part)
    if said.get("boot") != _boot() or not said.get("pid", "").isdigit():
        return False
    return start_time(int(said["pid"])) != said.get("start")
