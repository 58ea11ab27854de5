"""
FaultKinds for actions that no other kind adorns: any driver function, a program, a request.

What it hits only its author knows (``victims``); pods are found by whoever the catalogue gives it for that.

``toolkit.plain/1`` puts back by the rollbacks that the action names, each played once; an action without rollbacks must be
declared self-healing. Its effect, and that the effect has gone, is proven by the action's own ``proof`` probe, or not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from chaosfw.drivers.toolkit.calls import call
from chaosfw.errors import ChaosfwError, UsageError
from chaosfw.model.activity import Action, Probe, Victims
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import PLAIN, Bound, Proof, Reverted, RunMark, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, to_json
from chaosfw.model.tolerance import Between, Exactly, OneOf
from chaosfw.ports import ProviderCall


class Plain:
    """One call, put back by the calls that its author named."""

    name = PLAIN
    functions: tuple[str, ...] = ()

    def __init__(self, find: Callable[[Victims], tuple[Target, ...]]) -> None:
        self._find = find
        self._guard = threading.Lock()
        self._playing: set[str] = set()
        self._begun: set[str] = set()
        self._done: set[str] = set()

    def bind(self, action: Action, environment: Environment, *, seed: int, mark: RunMark) -> Bound:
        target = Target(kind="call", name=action.provider.name)
        victims = self._victims(action)
        undo = Undo(
            id=f"{mark.run}.{action.name}".replace(" ", "-"),
            run=mark.run,
            epoch=mark.epoch,
            fault=self.name,
            environment=environment.name,
            subject=target,
            before=[to_json(one) for one in action.rollbacks],
            ours=None if action.proof is None else to_json(action.proof),
        )
        return Bound(
            action=action,
            fault=self.name,
            targets=victims or (target,),
            changes=(f"call {action.provider.name}", *_hit_words(action, victims)),
            undo=(undo,) if action.rollbacks else (),
            provable=action.proof is not None,
            self_heals=action.self_heals,
            hits=_hits(action, victims) if victims else None,
        )

    def _victims(self, action: Action) -> tuple[Target, ...]:
        if action.victims is None:
            return ()
        if action.victims.names:
            return tuple(Target(kind="instance", name=name) for name in dict.fromkeys(action.victims.names))
        found = self._find(action.victims)
        if (wanted := _hits(action, found)) > len(found):
            raise UsageError(f"{action.name!r}: victims are {wanted} pods, there are {len(found)}")
        return found

    def bitten(self, bound: Bound) -> Proof:
        probe = bound.action.proof
        if probe is None:
            return Proof(holds=None, what="nothing can prove this action's effect: give it a proof probe")
        value = call(asked(probe))
        return Proof(holds=accepts(probe, value), what=f"{probe.name}: {value!r}"[:500])

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        """
        Plays the rollbacks once. What was begun before, here or by an earlier healer, is not begun again blindly: only where the proof
        says that the fault is still in.
        """
        if record.state is UndoState.prepared:
            return Reverted(ending="never-applied", what="the call had not begun")
        key = record.undo.id
        with self._guard:
            if key in self._playing:
                return Reverted(ending=None, what="its rollbacks are still being played", retry=True)
            self._playing.add(key)
        try:
            return self._put_back(
                record.undo, again=key in self._begun or record.was is not None or record.state in (UndoState.healing, UndoState.stuck)
            )
        finally:
            self._playing.discard(key)

    def healed(self, undo: Undo) -> Proof:
        still, what = still_in(undo)
        if undo.ours is None:
            return Proof(holds=True, what="the rollbacks returned; nothing else can be seen of it")
        return Proof(holds=None if still is None else not still, what=what)

    def _put_back(self, undo: Undo, *, again: bool) -> Reverted:
        if undo.id in self._done:
            return Reverted(ending="restored", what="rollbacks played")
        if again:
            still, what = still_in(undo)
            if still is False:
                return Reverted(ending="restored", what=f"the fault is not in any more: {what}")
            if still is None:
                why = f"its rollbacks were begun before and may not bear repeating: {what}"
                return Reverted(ending=None, what=f"{why}; put it back by hand, then: chaosfw heal --by-hand {undo.id}")
        self._begun.add(undo.id)
        for rollback in msgspec.convert(undo.before, tuple[Action, ...]):
            try:
                call(played(rollback))
            except Exception as trouble:  # a driver may raise anything, and what came after it was not played
                words = trouble.message if isinstance(trouble, ChaosfwError) else f"{type(trouble).__name__}: {trouble}"
                return Reverted(ending=None, what=f"rollback {rollback.name!r} failed: {words}")
        self._done.add(undo.id)
        return Reverted(ending="restored", what="rollbacks played")


def _hits(action: Action, victims: tuple[Target, ...]) -> int:
    count = action.victims.count if action.victims is not None else None
    return len(victims) if count is None else count


def _hit_words(action: Action, victims: tuple[Target, ...]) -> tuple[str, ...]:
    if not victims:
        return ()
    amount = _hits(action, victims)
    return (("hits " if amount == len(victims) else f"hits {amount} of ") + ", ".join(str(one) for one in victims),)


def still_in(undo: Undo) -> tuple[bool | None, str]:
    """Whether the action's own proof still holds, and what it saw; None where there is no proof or it can not be asked."""
    if undo.ours is None:
        return None, "nothing can prove whether it is still in"
    probe = msgspec.convert(undo.ours, Probe)
    try:
        value = call(asked(probe))
    except Exception as trouble:
        return None, f"{probe.name} can not be asked: {trouble}"[:500]
    return accepts(probe, value), f"{probe.name}: {value!r}"[:500]


def played(action: Action) -> ProviderCall:
    return ProviderCall(name=action.name, provider=action.provider, secrets=action.secrets, configuration=action.configuration, probe=False)


def asked(probe: Probe) -> ProviderCall:
    return ProviderCall(
        name=probe.name, provider=probe.provider, tolerance=probe.tolerance, secrets=probe.secrets, configuration=probe.configuration
    )


def accepts(probe: Probe, value: Json) -> bool:
    """Whether the probe's value is within its tolerance; without one, whether it is true."""
    if probe.tolerance is None:
        return bool(value)
    if isinstance(value, dict) and "status" in value and isinstance(probe.tolerance, Exactly | OneOf | Between):
        value = value["status"]
    return probe.tolerance.accepts(value)
