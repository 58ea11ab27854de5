"""Any driver function as a fault: ``cf.toolkit("chaosaws.ec2.actions", "stop_instance", …)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, Probe, PythonProvider
from chaosfw.model.struct import Json
from chaosfw.quantities import duration


def toolkit(
    module: str,
    func: str,
    *,
    undo: Action | Sequence[Action] = (),
    self_heals: bool = False,
    proof: Probe | None = None,
    background: bool = False,
    timeout: str | float = 60.0,
    name: str = "",
    arguments: Mapping[str, Json] | None = None,
    **more: Json,
) -> Action:
    """
    One function of any Chaos Toolkit driver, called with ``arguments`` and whatever other keywords are given. ``name`` and
    ``timeout`` are the action's own: a driver's arguments of these names go into ``arguments={"name": …}``.

    It names its ``undo`` (one or more of these), or says that it ``self_heals``.

    Further keyword arguments are the function's; those that have a name of ours (``name``, ``timeout`` …) go into ``arguments``.

    ``proof`` is a probe that must hold while the fault is in; without one, nothing proves the effect and the verdict can not
    be *held*. Functions that chaosfw knows (chaosk8s kills, cordons, drains) bring their own way back and their own proof.
    """
    if not module or not func:
        raise UsageError("toolkit takes a module and a function", hint='cf.toolkit("chaosk8s.pod.actions", "terminate_pods", …)')
    return Action(
        name=name or func.replace("_", " "),
        provider=PythonProvider(module=module, func=func, arguments={**(arguments or {}), **more}),
        rollbacks=(undo,) if isinstance(undo, Action) else tuple(undo),
        self_heals=self_heals,
        proof=proof,
        background=background,
        timeout=duration(timeout, what=f"{func}: timeout"),
    )
