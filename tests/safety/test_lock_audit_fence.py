"""One holder an environment; residue is ours and only ours; the fence kills what a run started and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaosfw.errors import LockTaken
from chaosfw.model.environment import Target
from chaosfw.model.fault import Undo, UndoRecord, UndoState
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
