"""The Lease: who may take it when, judged by the observer's own clock; a scripted API, a fake clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chaosfw.errors import DriverError, LockTaken
from chaosfw.model.lease import Held
from chaosfw.model.struct import Json, but, to_json
from chaosfw.ports import ProviderCall
from chaosfw.safety import halt, lease, lock
from chaosfw.testing.clock import FakeClock


class Api:
    """ports.Caller of one Lease, with compare-and-swap."""

    def __init__(self) -> None:
        self.now = Held()
        self.away = False
        self.versions = 0

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        if self.away:
            raise DriverError("EnvironmentTrouble: no answer")
        given = dict(data)
        return getattr(self, given.pop("verb"))(**given)

    def provider(self, call: ProviderCall, *, timeout: float) -> Json:
        raise AssertionError("a lock calls kinds only")

    def put(self, holder: str, epoch: int) -> Held:
        self.versions += 1
        self.now = Held(holder=holder, epoch=epoch, seconds=lease.LASTS, version=str(self.versions), halt=self.now.halt)
        return self.now

    def held(self, namespace: str) -> Json:
        return to_json(self.now) if self.now.version else None

    def take(self, namespace: str, holder: str, seconds: int, seen: str) -> Json:
        return to_json(self.put(holder, self.now.epoch + 1)) if seen == self.now.version else None

    def renew(self, namespace: str, holder: str, epoch: int) -> Json:
        if (self.now.holder, self.now.epoch) != (holder, epoch):
            return False
        self.put(holder, epoch)
        return True

    def release(self, namespace: str, holder: str, epoch: int) -> Json:
        if (self.now.holder, self.now.epoch) == (holder, epoch):
            self.put("", epoch)
        return None


def taken(
    tmp_path: Path, api: Api, clock: FakeClock, *, wait: float = 0.0, who: str = "a test", told: list[str] | None = None
) -> lease.LeaseLock:
    file = lock.take(tmp_path, who=who, clock=clock)
    waiting = told.append if told is not None else None
    return lease.take(file=file, caller=api, clock=clock, namespace="default", who=who, wait=wait, waiting=waiting)


def test_each_holder_has_a_higher_epoch_than_the_last(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()

    epochs = []
    for _ in range(3):
        held = taken(tmp_path, api, clock)
        epochs.append(held.epoch)
        assert held.still_mine()
        held.release()
        held.release()

    assert epochs == [1, 2, 3]
    assert api.now.holder == ""


class Renewing(FakeClock):
    """While somebody waits, the holder renews."""

    api: Api

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.api.renew("default", self.api.now.holder, 4)


def test_a_holder_that_renews_is_waited_for_and_named(tmp_path: Path) -> None:
    api, clock, told = Api(), Renewing(), list[str]()
    clock.api = api
    api.put("tests/x.py::test_it host=build-7 boot=other pid=17 start=5", 4)

    with pytest.raises(LockTaken, match=r"in use by tests/x.py::test_it \(on build-7\)"):
        taken(tmp_path, api, clock, wait=60.0, told=told)

    assert told == ["tests/x.py::test_it (on build-7)"]
    lock.take(tmp_path, who="the file lock was let go", clock=clock).release()


def test_one_that_renews_no_more_is_taken_after_it_lasted_by_our_own_clock(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()
    api.put("x host=build-7 boot=other pid=17 start=5", 4)
    began = clock.monotonic_ns()

    held = taken(tmp_path, api, clock, wait=60.0)

    assert held.epoch == 5
    assert lease.LASTS <= (clock.monotonic_ns() - began) / 1e9 < lease.LASTS + 2
    held.release()


def test_one_that_was_seen_to_be_over_is_taken_at_once_unless_it_has_changed_since(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()
    over = api.put("another host", 4).version

    def at_once() -> lease.LeaseLock:
        file = lock.take(tmp_path, who="r", clock=clock)
        return lease.take(file=file, caller=api, clock=clock, namespace="default", who="r", wait=0.0, over=over)

    held = at_once()
    assert held.epoch == 5
    held.release()

    api.put("another host", 6)
    with pytest.raises(LockTaken, match="another host"):
        at_once()
    assert not clock.slept


def test_a_dead_process_of_this_host_is_not_waited_for(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()
    mine = lease._process()
    api.put("x " + mine.replace(f"pid={os.getpid()}", "pid=999999"), 4)
    began = clock.monotonic_ns()

    held = taken(tmp_path, api, clock)

    assert (held.epoch, clock.monotonic_ns()) == (5, began)
    held.release()


def test_who_tries_again_does_not_wait_for_what_the_first_try_took(tmp_path: Path) -> None:
    """The first take reached the server and its answer did not come back: an executor died, or a connection."""
    api, clock, me = Api(), FakeClock(), lease.identity("watchdog")
    real = api.take

    def taken_without_a_word(namespace: str, holder: str, seconds: int, seen: str) -> Json:
        real(namespace, holder, seconds, seen)
        raise DriverError("the executor died")

    def again(holder: str) -> lease.LeaseLock:
        file = lock.take(tmp_path, who="watchdog", clock=clock)
        return lease.take(file=file, caller=api, clock=clock, namespace="default", who="watchdog", wait=0.0, holder=holder)

    api.take = taken_without_a_word  # type: ignore[method-assign]
    with pytest.raises(DriverError):
        again(me)
    assert api.now.holder == me
    api.take = real  # type: ignore[method-assign]
    with pytest.raises(LockTaken):
        again(lease.identity("watchdog"))  # somebody else of this living process has to wait

    held = again(me)

    assert held.epoch == 2
    assert held.still_mine()
    held.release()


def test_a_living_process_of_this_host_is(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()
    api.put(f"x {lease._process()}", 4)

    with pytest.raises(LockTaken):
        taken(tmp_path, api, clock)


def test_a_cord_that_was_pulled_on_the_cluster_is_heard_and_takes_nothing_away(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()
    held = taken(tmp_path, api, clock)
    assert held.cord() == ""

    api.now = but(api.now, halt="halted by somebody elsewhere")
    held.hear()

    assert held.cord() == "halted by somebody elsewhere"
    assert held.still_mine()
    held.release()
    again = taken(tmp_path, api, clock)
    assert again.cord() == "halted by somebody elsewhere", "known as soon as it is taken"
    halt.pull(tmp_path, halt.Cord(who="me", at="now"))
    assert again.cord() == "halted by me at now"
    again.release()


def test_a_lease_that_was_taken_is_lost_as_soon_as_somebody_asks(tmp_path: Path) -> None:
    api, clock = Api(), FakeClock()
    held = taken(tmp_path, api, clock)
    api.put("somebody else", 2)

    assert held.still_mine(), "nobody has asked yet"
    assert held.regain() is False
    assert held.still_mine() is False
    held.release()
    assert api.now.holder == "somebody else"


def test_one_that_nobody_confirmed_for_as_long_as_it_lasts_is_lost_and_can_be_regained(tmp_path: Path) -> None:
    """A process that was stopped: its clock says so before any call does."""
    api, clock = Api(), FakeClock()
    held = taken(tmp_path, api, clock)
    clock.advance(lease.LASTS)

    assert held.still_mine() is False
    assert held.regain() is True
    assert held.still_mine() is True
    api.away = True
    clock.advance(lease.LASTS)
    assert (held.regain(), held.still_mine()) == (True, False), "what can not be asked has not gone to anybody, and is not confirmed either"
    held.release()
