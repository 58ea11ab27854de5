"""
FaultKinds for actions that no other kind adorns: any driver function, a program, a request.

``toolkit.plain/1`` puts back by the rollbacks that the action names, each played once; an action without rollbacks must be
declared self-healing. Its effect is proven by the action's own ``proof`` probe, or not at all.
"""

from __future__ import annotations

import msgspec

from chaosfw.drivers.toolkit.calls import call
from chaosfw.errors import ChaosfwError
from chaosfw.model.activity import Action, HttpProvider, Probe
from chaosfw.model.environment import Environment, Target
from chaosfw.model.fault import Bound, Proof, Reverted, Undo, UndoRecord, UndoState
from chaosfw.model.struct import Json, to_json
from chaosfw.model.tolerance import ToolkitTolerance
from chaosfw.ports import ProviderCall


class Plain:
    """One call, put back by the calls that its author named."""

    name = "toolkit.plain/1"
    functions: tuple[str, ...] = ()

    def bind(self, action: Action, environment: Environment, *, seed: int, run: str) -> Bound:
        target = Target(kind="call", name=action.provider.name)
        undo = Undo(
            id=f"{run}.{action.name}".replace(" ", "-"),
            run=run,
            fault=self.name,
            environment=environment.name,
            subject=target,
            before=[to_json(one) for one in action.rollbacks],
        )
        return Bound(
            action=action,
            fault=self.name,
            targets=(target,),
            changes=(f"call {action.provider.name}",),
            undo=(undo,) if action.rollbacks else (),
            provable=action.proof is not None,
            self_heals=action.self_heals,
        )

    def bitten(self, bound: Bound) -> Proof:
        probe = bound.action.proof
        if probe is None:
            return Proof(holds=None, what="nothing can prove this action's effect: give it a proof probe")
        value = call(asked(probe))
        return Proof(holds=accepts(probe, value), what=f"{probe.name}: {value!r}"[:500])

    def revert(self, record: UndoRecord, *, epoch: int) -> Reverted:
        if record.state is UndoState.prepared:
            return Reverted(ending="never-applied", what="the call had not begun")
        for rollback in msgspec.convert(record.undo.before, tuple[Action, ...]):
            try:
                call(
                    ProviderCall(
                        name=rollback.name,
                        provider=rollback.provider,
                        secrets=rollback.secrets,
                        configuration=rollback.configuration,
                        probe=False,
                    )
                )
            except ChaosfwError as trouble:
                return Reverted(ending=None, what=f"rollback {rollback.name!r} failed: {trouble.message}")
        return Reverted(ending="restored", what="rollbacks played")

    def healed(self, undo: Undo) -> Proof:
        return Proof(holds=True, what="the rollbacks returned; nothing else can be seen of it")


def asked(probe: Probe) -> ProviderCall:
    return ProviderCall(
        name=probe.name, provider=probe.provider, tolerance=probe.tolerance, secrets=probe.secrets, configuration=probe.configuration
    )


def accepts(probe: Probe, value: Json) -> bool:
    """Whether the probe's value is within its tolerance; without one, whether it is true."""
    if probe.tolerance is None:
        return bool(value)
    if isinstance(probe.provider, HttpProvider) and isinstance(value, dict) and not isinstance(probe.tolerance, ToolkitTolerance):
        value = value.get("status", value)
    return probe.tolerance.accepts(value)
