"""The reaper's decisions: when a run is dead, whose things are put back, and what comes late; a scripted target, a fake clock."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from chaosfw.errors import EnvironmentTrouble
from chaosfw.model.environment import Target
from chaosfw.model.fault import Proof, Reverted, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, to_json
from chaosfw.safety import lease
from chaosfw.safety.heal import LATE
from chaosfw.safety.reaper import AGAIN, BEAT, BUSY, IDLE, Reaper
from chaosfw.testing.clock import FakeClock
from tests.safety.test_lease import Api

SPACE = "chaosfw"


def record(name: str, *, run: str = "dead", state: UndoState = UndoState.armed) -> UndoRecord:
    """In the order of their names."""
    subject = Target(kind="node", name=name)
    return UndoRecord(undo=Undo(id=name, run=run, fault="x/1", environment="e", subject=subject, order=ord(name)), state=state)


class World(Api):
    """One Lease, published records by run, and a value for each node that a fault or a late request sets."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock
        self.published: dict[str, list[UndoRecord]] = {}
        self.elsewhere: list[UndoRecord] = []
        """Marks of runs that publish in another namespace."""
        self.broken: set[str] = set()
        self.words: dict[str, Json] = {}
        self.events: list[str] = []
        self.reverted: list[str] = []
        self.beats: list[str] = []
        self.late: set[str] = set()
        """What a request breaks again that was under way when its run died."""
        self.stuck = False

    def kind(self, kind: str, verb: str, data: Json, *, timeout: float) -> Json:
        if self.away:
            raise EnvironmentTrouble("no answer")
        if kind == "x/1":
            return self._fault(verb, data)
        given = dict(data)
        name = given.pop("verb")
        return super().kind(kind, verb, data, timeout=timeout) if verb == "lease" else getattr(self, f"do_{name}")(**given)

    def _fault(self, verb: str, data: Json) -> Json:
        if verb == "healed":
            name = data["subject"]["name"]
            if any(slept >= LATE for slept in self.clock.slept) and name in self.late:
                self.late.discard(name)
                self.broken.add(name)
            return to_json(Proof(holds=name not in self.broken, what="seen"))
        name = data["record"]["undo"]["subject"]["name"]
        self.reverted.append(name)
        if self.stuck:
            return to_json(Reverted(ending=None, what="no such thing"))
        self.broken.discard(name)
        return to_json(Reverted(ending="restored", what="put back"))

    def publish(self, *records: UndoRecord) -> None:
        for one in records:
            self.published.setdefault(one.undo.run, []).append(one)
            self.broken.add(one.undo.id)

    def do_beat(self, namespace: str, who: str, seconds: int) -> Json:
        self.beats.append(who)

    def do_leave(self, namespace: str, who: str) -> Json:
        self.beats.append(f"{who} left")

    def do_publications(self, namespace: str) -> Json:
        return [{"run": run, "word": self.words.get(run)} for run in self.published]

    def do_vow(self, namespace: str, who: str) -> Json:
        new = {run: {"by": who, "lacking": []} for run in self.published if run not in self.words}
        self.words |= new
        return list(new.values())

    def do_revertible(self, namespace: str) -> Json:
        return [to_json(one) for one in (*(one for found in self.published.values() for one in found), *self.elsewhere)]

    def do_tell(self, namespace: str, record: Json, who: str, what: str) -> Json:
        self.events.append(f"{record['undo']['id']}: {what}")

    def do_withdraw_if_done(self, namespace: str, run: str) -> Json:
        self.published.pop(run, None)
        return True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(clock: FakeClock) -> World:
    return World(clock)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def reaper(world: World, clock: FakeClock, tmp_path: Path, said: list[str]) -> Reaper:
    return Reaper(caller=world, clock=clock, namespace=SPACE, who="reaper r", state=tmp_path / "state", say=said.append)


def test_a_run_that_renews_is_left_alone(world: World, reaper: Reaper, clock: FakeClock) -> None:
    world.put("a run", 1)
    world.publish(record("a"))

    for _ in range(20):
        assert reaper.look() == BUSY
        clock.advance(lease.LASTS / 3)
        world.put("a run", 1)

    assert world.words == {"dead": {"by": "reaper r", "lacking": []}}
    assert not world.reverted


def test_a_run_is_dead_when_its_lease_has_not_changed_for_as_long_as_it_lasts(world: World, reaper: Reaper, clock: FakeClock) -> None:
    """By the reaper's own clock, from when it first saw it so: not by what the Lease says about the time."""
    world.put("a run", 4)
    world.publish(record("a"), record("b"))
    reaper.look()
    clock.advance(lease.LASTS - 0.1)
    reaper.look()
    assert not world.reverted

    clock.advance(0.1)
    reaper.look()

    assert world.reverted == ["b", "a"]
    assert world.events == ["b: put back", "a: put back"]
    assert (world.broken, world.published) == (set(), {})
    assert (world.now.holder, world.now.epoch) == ("", 5)
    assert reaper.look() == IDLE


def test_what_a_run_left_open_when_it_let_go_is_put_back_at_once(world: World, reaper: Reaper, said: list[str]) -> None:
    world.put("a run", 1)
    world.release(SPACE, "a run", 1)
    world.publish(record("a"))

    reaper.look()

    assert world.reverted == ["a"]
    assert "nobody holds the environment: putting back 1 object(s) of dead (epoch 2)" in said


def test_only_runs_that_publish_here_are_put_back(world: World, reaper: Reaper) -> None:
    """What another environment of the same cluster marks has another Lease."""
    world.publish(record("a"))
    world.elsewhere = [record("b", run="alive", state=UndoState.in_), record("c", state=UndoState.in_)]

    reaper.look()

    assert sorted(world.reverted) == ["a", "c"]


def test_a_request_that_comes_late_is_put_back_too(world: World, reaper: Reaper, clock: FakeClock, said: list[str]) -> None:
    world.publish(record("a"), record("b"))
    world.late = {"a"}

    reaper.look()

    assert LATE in clock.slept
    assert world.reverted == ["b", "a", "a"]
    assert world.broken == set()
    assert any("came late" in line for line in said)
    assert world.published == {}


def test_a_run_that_goes_on_in_the_middle_is_not_put_back(world: World, reaper: Reaper, clock: FakeClock, said: list[str]) -> None:
    """It was suspended, and renews between the last look and the taking."""
    held = world.put("a run", 1)
    world.publish(record("a"))
    reaper.look()
    clock.advance(lease.LASTS)
    told = world.do_revertible

    def renewed(namespace: str) -> Json:
        world.put("a run", 1)
        return told(namespace)

    world.do_revertible = renewed  # type: ignore[method-assign]  # the moment that is hard to hit

    reaper.look()

    assert not world.reverted
    assert world.now.version != held.version
    assert any("somebody else puts it back" in line for line in said)


def test_what_is_stuck_is_tried_again_but_not_all_the_time(world: World, reaper: Reaper, clock: FakeClock) -> None:
    world.publish(record("a"))
    world.stuck = True
    reaper.look()
    tries = len(world.reverted)
    assert world.published

    reaper.look()
    assert len(world.reverted) == tries
    world.stuck = False
    clock.advance(AGAIN)
    reaper.look()

    assert world.broken == set()
    assert world.published == {}


def test_what_the_next_run_leaves_is_not_made_to_wait_for_what_the_last_one_left(world: World, reaper: Reaper, clock: FakeClock) -> None:
    world.publish(record("a"))
    reaper.look()
    world.put("the next run", world.now.epoch + 1)
    world.publish(record("b", run="next"))
    reaper.look()
    assert world.reverted == ["a"]
    clock.advance(lease.LASTS)
    assert lease.LASTS < AGAIN

    reaper.look()

    assert world.reverted == ["a", "b"]


def test_it_shows_life_all_the_time_and_says_goodbye(world: World, reaper: Reaper, clock: FakeClock, said: list[str]) -> None:
    rounds = iter(range(20))

    class Rounds(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            clock.advance(timeout or 0.0)
            world.away = (turn := next(rounds)) in range(5, 9)
            return turn == 19

    reaper.run(Rounds())

    assert world.beats[-1] == "reaper r left"
    assert len(world.beats) >= 3
    assert [line for line in said if "does not answer" in line] == ["the cluster does not answer, trying on: no answer"]
    assert BEAT < lease.LASTS
