"""One holder an environment; residue is ours and only ours; the fence kills what a run started and nothing else."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosfw.errors import LockTaken
from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
from chaosfw.model.struct import but
from chaosfw.safety import audit, fence, lock
from chaosfw.testing.clock import FakeClock


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    held = lock.take(tmp_path, who="test_a", clock=FakeClock())

    with pytest.raises(LockTaken, match=r"in use by test_a \(process \d+"):
        lock.take(tmp_path, who="test_b", clock=FakeClock(), wait=1.0)
    held.release()


def test_the_epoch_grows_with_every_holder(tmp_path: Path) -> None:
    epochs = []
    for _ in range(3):
        held = lock.take(tmp_path, who="x", clock=FakeClock())
        epochs.append(held.epoch)
        held.release()

    assert epochs == [1, 2, 3]


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from chaosfw.safety import lock; from chaosfw.timing import SYSTEM\n"
        "held = lock.take(pathlib.Path(sys.argv[1]), who='child', clock=SYSTEM); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(LockTaken, match="child"):
        lock.take(tmp_path, who="x", clock=FakeClock())

    child.kill()
    child.communicate()

    held = lock.take(tmp_path, who="x", clock=FakeClock())
    assert held.still_mine()
    held.release()


def record(name: str, *, state: UndoState = UndoState.closed, ending: str | None = "restored") -> UndoRecord:
    undo = Undo(id=name, run="r", fault="kubernetes.cordon/1", environment="e", subject=Target(kind="node", name=name))
    return UndoRecord(undo=undo, state=state, ending=ending)  # type: ignore[arg-type]


CLEAN = {"node a · spec.unschedulable": False, "node b · spec.unschedulable": False, "deployment s/w · spec.replicas": 3}


def test_an_unchanged_world_is_clean() -> None:
    assert audit.compare(CLEAN, dict(CLEAN), [record("a")]) == ((), ())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"node a · spec.unschedulable": True}, "node a · spec.unschedulable: was False, is True (mend: kubectl uncordon a)"),
        ({"mark node a · chaosfw.dev/fault": "{}"}, "mark node a"),
    ],
)
def test_what_we_left_is_residue_exactly_that(change: dict[str, object], words: str) -> None:
    residue, foreign = audit.compare(CLEAN, {**CLEAN, **change}, [record("a")])

    assert len(residue) == 1
    assert words in residue[0]
    assert foreign == ()


def test_what_others_did_meanwhile_is_foreign_and_not_held_against_us() -> None:
    residue, foreign = audit.compare(
        CLEAN, {**CLEAN, "deployment s/w · spec.replicas": 5, "node b · spec.unschedulable": True}, [record("a")]
    )

    assert residue == ()
    assert len(foreign) == 2


def test_an_open_record_is_residue_even_in_an_equal_world() -> None:
    residue, _ = audit.compare(CLEAN, dict(CLEAN), [record("a", state=UndoState.stuck, ending=None)])

    assert "undo record a of node a is stuck" in residue[0]


SCALE = Undo(
    id="s",
    run="r",
    fault="kubernetes.scale/1",
    environment="e",
    subject=Target(kind="deployment", name="w", namespace="s"),
    before=3,
    ours=1,
)
SCALED = UndoRecord(undo=SCALE, state=UndoState.closed, ending="restored")
REPLICAS = "deployment s/w · spec.replicas"


@pytest.mark.parametrize(
    ("now", "writer", "ending", "mine"),
    [
        (1, "", "restored", True),
        (1, "chaosfw", "restored", True),
        (2, "chaosfw", "restored", True),  # whatever we made of it, it is not what it was
        (2, "", "restored", False),
        (1, "kubectl", "restored", False),  # after us somebody wants one, too
        (5, "kube-controller-manager", "superseded", False),
        (1, "", "superseded", False),
        (1, "", "gone", False),
    ],
)
def test_the_last_writer_of_a_field_decides_whose_it_is(now: int, writer: str, ending: str, mine: bool) -> None:
    before = {REPLICAS: 3, f"writer of {REPLICAS}": "helm"}
    after = {REPLICAS: now, **({f"writer of {REPLICAS}": writer} if writer else {})}

    residue, foreign = audit.compare(before, after, [but(SCALED, ending=ending)])

    assert (len(residue), len(foreign)) == ((1, 0) if mine else (0, 1))
    assert ["(mend: kubectl scale deployment w -n s --replicas=3)" in one for one in (*residue, *foreign)] == [mine]


KEYS = st.text(max_size=2)
JSON = st.recursive(st.integers() | st.text(max_size=2), lambda below: st.dictionaries(KEYS, below, max_size=3), max_leaves=8)


def merged(thing: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    made = dict(thing) if isinstance(thing, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged(made.get(key), value)
    return made


@given(st.dictionaries(KEYS, JSON, max_size=4), st.dictionaries(KEYS, JSON, max_size=4))
def test_the_patch_that_mends_gives_exactly_what_was_there(was: dict[str, Any], now: dict[str, Any]) -> None:
    command = audit.mend("configmap s/c · data", was, now)

    patch = json.loads(shlex.split(command)[-1])
    assert merged({"data": now}, patch) == {"data": was}


def test_only_what_differs_of_a_large_value_is_shown() -> None:
    before = {"configmap s/c · data": {"same": "secret", "changed": "x" * 1000}}
    after = {"configmap s/c · data": {"same": "secret", "changed": "y", "new": "z"}}

    _, (line,) = audit.compare(before, after, [])

    assert line.startswith("configmap s/c · data: was {'changed': 'xxx")
    assert line.endswith("…, is {'changed': 'y', 'new': 'z'}")
    assert "secret" not in line
    assert len(line) < 300


def test_what_we_wrote_last_is_ours_without_a_record() -> None:
    residue, _ = audit.compare({REPLICAS: 3}, {REPLICAS: 1, f"writer of {REPLICAS}": "chaosfw"}, [])

    assert len(residue) == 1


def test_another_field_of_an_object_that_we_changed_is_not_ours() -> None:
    residue, foreign = audit.compare({"deployment s/w · images": {"a": "1"}}, {"deployment s/w · images": {"a": "2"}}, [SCALED])

    assert (residue, len(foreign)) == ((), 1)


def test_an_older_mark_that_is_gone_is_nothing_left() -> None:
    residue, foreign = audit.compare({"mark node a · chaosfw.dev/fault": "{}"}, {}, [])

    assert (residue, len(foreign)) == ((), 1)


@pytest.mark.parametrize(("records", "left"), [([], 0), ([SCALED], 1)])
def test_a_kind_that_may_not_be_listed_is_told_and_is_residue_where_a_fault_changed_it(records: list[UndoRecord], left: int) -> None:
    world = {"deployment · not readable": 403}

    residue, foreign = audit.compare(world, world, records)

    assert len(residue) == left
    assert "no deployment may be listed" in (residue + foreign)[0]


def test_who_survives_a_dead_runner_is_named_and_not_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(["sleep", "60"], start_new_session=True)
    fence.record(tmp_path, runner=os.getpid(), writers=[(process.pid, "token")])
    alive = fence.survivors(tmp_path, marked=lambda token: [7])
    path = fence.path_of(tmp_path, os.getpid())
    path.write_text(path.read_text().replace(f'"started":"{fence.start_time(os.getpid())}"', '"started":"1"'))

    assert alive == (), "the runner lives"
    assert fence.survivors(tmp_path, marked=lambda token: [7]) == (process.pid, 7)
    assert process.poll() is None
    process.kill()
    process.wait()


def test_the_fence_kills_a_recorded_group_and_spares_a_recycled_id(tmp_path: Path) -> None:
    mine = subprocess.Popen(["sleep", "60"], start_new_session=True)
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    fence.record(tmp_path, runner=os.getpid(), writers=[(mine.pid, ""), (other.pid, "")])
    path = fence.path_of(tmp_path, os.getpid())
    written = json.loads(path.read_text())
    written["writers"][0]["started"], written["writers"][1]["started"] = fence.start_time(mine.pid), "1"
    path.write_text(json.dumps(written))

    killed = fence.fence(tmp_path, runner=os.getpid(), kill_marked=lambda token: ())

    assert killed == (mine.pid,)
    assert mine.wait() == -9
    assert other.poll() is None
    other.kill()
    other.wait()


def test_the_writers_of_a_living_runner_are_nobody_elses_to_kill(tmp_path: Path) -> None:
    """Two workers of one game day share the folder: one that ends must not take the other's load along."""
    mine = subprocess.Popen(["sleep", "60"], start_new_session=True)
    fence.record(tmp_path, runner=os.getpid(), writers=[(mine.pid, "")])

    assert fence.fence(tmp_path, runner=1, kill_marked=lambda token: ()) == ()
    assert fence.fence_the_dead(tmp_path, kill_marked=lambda token: ()) == ()

    assert mine.poll() is None
    mine.kill()
    mine.wait()
