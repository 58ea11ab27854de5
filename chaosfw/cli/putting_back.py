"""``chaosfw heal``, ``chaosfw audit`` and ``chaosfw halt``: the way back, whoever's run it was."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from chaosfw.assembly.environments import AnyPlace, open_place
from chaosfw.errors import ChaosfwError, DriverError, NoSandbox, UsageError
from chaosfw.executor.child import PatientCaller, healing, kill_marked, marked
from chaosfw.model.activity import Action
from chaosfw.model.fault import PLAIN, UndoRecord, UndoState
from chaosfw.model.struct import Json, but, to_json
from chaosfw.ports import Lock
from chaosfw.safety import audit as auditing
from chaosfw.safety import fence, halt, lease, lock, watchdog
from chaosfw.safety.heal import heal as put_back
from chaosfw.safety.heal import heal_unfenced
from chaosfw.safety.ledger import LedgerFile
from chaosfw.sandbox.public import VARIABLE
from chaosfw.settings import load
from chaosfw.timing import SYSTEM, iso

LEFT = 12
LOOK = 15.0
"""Seconds that one look at the environment may take."""


def heal(given: argparse.Namespace) -> int:
    """
    Fence, lock, heal, say what was done; 12 when something is still open. With ``--all`` for each declared environment, whatever comes of
    the others: 12 too where one could not be looked at.
    """
    if not given.all:
        return _heal(given)
    if given.environment or given.by_hand:
        raise UsageError("--all means every declared environment", hint="without --environment and --by-hand")
    return max([_heal_one_of_all(given, name) for name in sorted(load(Path.cwd(), variables=os.environ, flags={}).environments)])


def _heal_one_of_all(given: argparse.Namespace, name: str) -> int:
    print(f"{name}:", flush=True)
    try:
        return _heal(argparse.Namespace(**{**vars(given), "environment": name}))
    except NoSandbox as trouble:
        print(f"  {trouble.message}: what was in one is gone with it")
        return 0
    except ChaosfwError as trouble:
        print(f"  can not be looked at: {trouble.message}" + (f"\n  hint: {trouble.hint}" if trouble.hint else ""))
        return LEFT


def _heal(given: argparse.Namespace) -> int:
    with _place(given) as place:
        state = Path(place.environment.state)
        ledger = LedgerFile(state)
        for _, note in watchdog.notes(state):
            print(note)
        found = _on_target(place, ledger) if given.from_target or not ledger.open() else ()
        unplayed = _unplayed(found, given)
        found = tuple(record for record in found if record not in unplayed)
        if given.from_target and not given.dry_run:
            ledger.adopt(found)
        before = _wanted((*ledger.open(), *(found if given.dry_run else ())), given.whose)
        if not before:
            return LEFT if unplayed else _nothing(place, _wanted(found, given.whose), given.whose)
        for record in before:
            print(f"open: {record.undo.subject} ({record.undo.fault}, {record.state}), record {record.undo.id} of run {record.undo.run}")
        if given.dry_run:
            return LEFT
        if given.by_hand is not None and given.by_hand not in [record.undo.id for record in before]:
            raise UsageError(f"no open record is {given.by_hand!r}", hint="open: " + ", ".join(record.undo.id for record in before))
        held = lock.take(state, who="chaosfw heal", clock=SYSTEM, wait=10.0)
        try:
            if given.by_hand is not None:
                return _closed_by_hand(ledger, given.by_hand)
            how = partial(heal_unfenced, waiting=_print) if found else put_back
            left = len(unplayed) + _healed(place, ledger, before, given.whose, held, how=how)
        finally:
            held.release()
        print("everything is put back" if not left else f"{left} record(s) still open")
        return LEFT if left else 0


def _unplayed(found: Sequence[UndoRecord], given: argparse.Namespace) -> list[UndoRecord]:
    """
    Rollbacks that are code, known only from the target: whoever may write ConfigMaps there could have written them, so they are played
    only by somebody who has read them.
    """
    if not given.from_target or given.play_rollbacks:
        return []
    unplayed = [record for record in _wanted(found, given.whose) if record.undo.fault == PLAIN]
    for record in unplayed:
        print(f"on the target, not played: the rollbacks of {record.undo.subject}, record {record.undo.id} of run {record.undo.run}:")
        for rollback in msgspec.convert(record.undo.before, tuple[Action, ...]):
            print(f"  {json.dumps(to_json(rollback.provider))}")
        if record.undo.ours is not None:
            print(f"  and asked whether it helped: {json.dumps(record.undo.ours['provider'])}")
    if unplayed:
        print("hint: when these are what you would call yourself: chaosfw heal --from-target --play-rollbacks")
    return unplayed


def _healed(
    place: AnyPlace, ledger: LedgerFile, before: Sequence[UndoRecord], whose: str, held: lock.FileLock, *, how: Callable[..., int]
) -> int:
    """How many are still open; what was kept for the runs that are done is taken away. Takes the cluster's Lease beside our own lock."""
    with _executor(place) as caller:
        whole = _leased(place, caller, held)
        try:
            fence.fence_the_dead(Path(place.environment.state), kill_marked=lambda token: kill_marked(token, clock=SYSTEM))
            left = how(ledger=ledger, caller=caller, clock=SYSTEM, epoch=whole.epoch, by="chaosfw heal", told=_say, runs=whose)
            for run in {record.undo.run for record in before} - {record.undo.run for record in ledger.open()}:
                watchdog.withdraw(caller, place.environment, run)
                ledger.forget(run)
        finally:
            whole.release()
    return left


def _leased(place: AnyPlace, caller: PatientCaller, held: lock.FileLock) -> Lock:
    if not place.environment.kubeconfig:
        return held
    namespace = place.environment.state_namespace
    return lease.take(
        file=held,
        caller=caller,
        clock=SYSTEM,
        namespace=namespace,
        who="chaosfw heal",
        wait=lease.LASTS * 2.0,
        waiting=lambda holder: print(f"the environment is held by {holder}: waiting whether it is alive", flush=True),
    )


def _wanted(records: Sequence[UndoRecord], whose: str) -> tuple[UndoRecord, ...]:
    return tuple(record for record in records if record.undo.run.startswith(whose))


def _nothing(place: AnyPlace, found: Sequence[UndoRecord], whose: str) -> int:
    """The local ledger has nothing to put back; the target itself may."""
    for record in found:
        print(f"on the target: {record.undo.subject} ({record.undo.fault}), record {record.undo.id} of run {record.undo.run}")
    if found:
        print("this machine's ledger knows nothing of it: a run of another machine is on, or died there")
        print("hint: when you are sure that it is dead: chaosfw heal --from-target")
        return LEFT
    print(f"nothing to put back on {place.environment.name}" + (f" of {whose}" if whose else ""))
    return 0


def _on_target(place: AnyPlace, ledger: LedgerFile) -> tuple[UndoRecord, ...]:
    """What the target itself says is to undo, published or marked, and this ledger does not know."""
    if not place.environment.kubeconfig:
        return ()
    with _executor(place) as caller:
        answer = caller.kind("", "published", {"namespace": place.environment.state_namespace}, timeout=LOOK)
    known = {record.undo.id for record in ledger.records()}
    return tuple(record for record in msgspec.convert(answer, list[UndoRecord]) if record.undo.id not in known)


def _closed_by_hand(ledger: LedgerFile, which: str) -> int:
    (record,) = (one for one in ledger.open() if one.undo.id == which)
    closed = but(record, state=UndoState.closed, ending="by-other", by="chaosfw heal", reason="put back by hand")
    ledger.advance(closed)
    _say(closed, closed.reason)
    if ledger.open():
        return LEFT
    ledger.forget(record.undo.run)
    return 0


def audit(given: argparse.Namespace) -> int:
    """
    What is left: open records, marks of ours and what faults made, published records, processes of dead runs; and cordons. Where a run has
    not ended, its snapshot too is compared. 12 when there is anything of ours.
    """
    with _place(given) as place, _executor(place) as caller:
        state = Path(place.environment.state)
        ledger = LedgerFile(state)
        world = caller.kind("", "snapshot", to_json(place.environment), timeout=LOOK)
        residue, foreign = _left(ledger, world)
        alive = fence.survivors(state, marked=marked)
        residue += tuple(f"process {pid} of a run that died still runs (mend: chaosfw heal, or kill {pid})" for pid in alive)
        for line in residue:
            print(f"residue: {line}")
        for line in foreign:
            print(f"of others: {line}")
        for path, value in sorted(world.items()):
            if path.endswith("spec.unschedulable") and not path.startswith("writer") and value:
                print(f"cordoned: {path.partition(' · ')[0]} (ours only if it is marked above)")
        for path, holder in world.items():
            if path.startswith("held "):
                print(f"{path} by {holder} (a run is on, or its holder died: then the next run takes it over)")
        looked = sum(not path.startswith(auditing.BESIDE) for path in world)
        print(f"{len(residue)} left of ours, {looked} fields looked at on {place.environment.name}")
        return LEFT if residue else 0


def _left(ledger: LedgerFile, world: Mapping[str, Json]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is of ours and what is of others, against the snapshots of runs that have not ended, and by marks alone."""
    marked_now = {path: value for path, value in world.items() if not auditing.is_field(path)}
    residue, foreign = auditing.compare({}, marked_now, ledger.open())
    for run in ledger.watched(""):
        of_run = [record for record in ledger.records() if record.undo.run == run]
        found, others = auditing.compare(ledger.world_before(run) or world, world, of_run)
        residue, foreign = (*residue, *found), (*foreign, *others)
    published = (
        f"{path}: of run {run}, which is on or died (mend: chaosfw heal, elsewhere: chaosfw heal --from-target)"
        for path, run in world.items()
        if path.startswith("published ")
    )
    return tuple(dict.fromkeys((*residue, *published))), tuple(dict.fromkeys(foreign))


def stop(given: argparse.Namespace) -> int:
    """Pulls the cord of an environment, or lifts it."""
    with _place(given) as place:
        state = Path(place.environment.state)
        if given.lift:
            was = halt.lift(state) | _on_cluster(place, "lift")
            print(f"runs on {place.environment.name} may start again" if was else f"{place.environment.name} was not halted")
            return 0
        cord = halt.Cord(who=getpass.getuser(), at=iso(SYSTEM.wall_ns()), reason=given.reason)
        halt.pull(state, cord)
        print(f"{place.environment.name}: {cord}", flush=True)
        if place.environment.kubeconfig:
            _pull_on_cluster(place, cord)
            halt.lift(state)  # there it holds for everybody, until anybody lifts it
        print("a run that is on heals now; none starts until `chaosfw halt --lift`")
        return 0


def _pull_on_cluster(place: AnyPlace, cord: halt.Cord) -> None:
    """That of this host is pulled already, and stays where the cluster does not answer. Raises DriverError saying who is not reached."""
    try:
        _on_cluster(place, "pull", words=str(cord))
    except ChaosfwError as trouble:
        raise DriverError(
            f"runs of this host halt, those of other hosts are not reached: {trouble.message}", hint="again, until the cluster answers"
        ) from trouble


def _on_cluster(place: AnyPlace, verb: str, **data: Json) -> bool:
    """The cord of a cluster is on its Lease, where every host hears it. That of this host is pulled first: it is seen at once."""
    if not place.environment.kubeconfig:
        return False
    with _executor(place) as caller:
        asked = {"verb": verb, "namespace": place.environment.state_namespace, **data}
        return bool(caller.kind("", "lease", asked, timeout=LOOK))


def _print(words: str) -> None:
    print(f"  {words}", flush=True)


def _say(record: UndoRecord, what: str) -> None:
    print(f"  {record.undo.subject}: {record.state}{f' ({record.ending})' if record.ending else ''}: {what}")


@contextmanager
def _place(given: argparse.Namespace) -> Iterator[AnyPlace]:
    if given.sandbox is not None:
        os.environ[VARIABLE] = str(given.sandbox)
    place = open_place(load(Path.cwd(), variables=os.environ, flags={"environment": given.environment}), joining=True)
    try:
        yield place
    finally:
        place.close()


@contextmanager
def _executor(place: AnyPlace) -> Iterator[PatientCaller]:
    state = Path(place.environment.state)
    state.mkdir(parents=True, exist_ok=True)
    log = state / f"heal-{os.getpid()}.log"
    with tempfile.TemporaryDirectory(dir=state) as temporary:
        env = {"KUBECONFIG": place.environment.kubeconfig, "TMPDIR": temporary}
        try:
            with healing(clock=SYSTEM, env=env, log=log) as caller:
                yield caller
        finally:
            log.unlink(missing_ok=True)
