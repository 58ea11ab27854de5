"""Any driver function as a fault: ``cf.toolkit("chaosaws.ec2.actions", "stop_instance", …)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chaosfw.errors import UsageError
from chaosfw.faults.kubernetes import Pods, Workload
from chaosfw.model.activity import Action, Probe, PythonProvider, Victims
from chaosfw.model.struct import Json
from chaosfw.quantities import duration


def toolkit(
    module: str,
    func: str,
    *,
    undo: Action | Sequence[Action] = (),
    self_heals: bool = False,
    proof: Probe | None = None,
    victims: Workload | Pods | Sequence[str] | None = None,
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

    ``victims`` is what it hits, for the guards and to show that the load reached it: a workload, ``web.pods(count=1)``,
    ``k8s.pods("app=web", namespace="shop")``, or names of instances as the load's marker gives them. Without it, an experiment
    with a load can not be *held*.
    """
    if not module or not func:
        raise UsageError("toolkit takes a module and a function", hint='cf.toolkit("chaosk8s.pod.actions", "terminate_pods", …)')
    return Action(
        name=name or func.replace("_", " "),
        provider=PythonProvider(module=module, func=func, arguments={**(arguments or {}), **more}),
        rollbacks=(undo,) if isinstance(undo, Action) else tuple(undo),
        self_heals=self_heals,
        proof=proof,
        victims=_stated(victims, func),
        background=background,
        timeout=duration(timeout, what=f"{func}: timeout"),
    )


def _stated(victims: Workload | Pods | Sequence[str] | None, func: str) -> Victims | None:
    if victims is None:
        return None
    if isinstance(victims, Workload):
        return Victims(workload=victims.as_json())
    if isinstance(victims, Pods):
        owner = victims.workload.as_json() if victims.workload is not None else {}
        return Victims(workload=owner, selector=victims.selector, namespace=victims.namespace, count=victims.count)
    names = () if isinstance(victims, str) or not isinstance(victims, Sequence) else tuple(victims)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise UsageError(
            f"{func}: victims is {victims!r}: a workload, pods or names of instances were expected",
            hint="victims=web, victims=k8s.pods('app=web', namespace='shop') or victims=('web-1', 'web-2')",
        )
    return Victims(names=names)
