"""
Faults of pods and nodes, and handles of workloads for probes and faults.

``kill`` is stock ``chaosk8s.pod.actions.terminate_pods``; ``cordon`` and ``drain`` are our own Chaos Toolkit functions, because
the stock ones give up at the first PodDisruptionBudget and leave the node cordoned.
"""

from __future__ import annotations

from dataclasses import dataclass

from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, Probe, PythonProvider
from chaosfw.model.struct import Json, but
from chaosfw.model.tolerance import Between, Exactly
from chaosfw.quantities import duration, share

__all__ = [
    "Pods",
    "Workload",
    "break_selector",
    "cordon",
    "delete",
    "delete_node",
    "deployment",
    "drain",
    "kill",
    "node_ready",
    "pause",
    "pods",
    "rollout_restart",
    "scale",
    "set_image",
    "statefulset",
    "stop_machine",
    "taint",
]

OURS = "chaosfw.activities.kubernetes"
STATES = ("off", "frozen", "cut")
"""What a machine can be instead of on."""
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
"""Effects that a taint can have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A handle: probes and faults take it. ``kind`` is ``deployment`` or ``statefulset``."""

    kind: str
    name: str
    namespace: str

    def ready(self, *, at_least: int, timeout: str | float = 1.0) -> Probe:
        """At least so many pods are ready and not on their way out."""
        provider = PythonProvider(module=OURS, func="ready_pods", arguments=self._arguments())
        return Probe(
            name=f"{self.name}: at least {at_least} pods ready",
            provider=provider,
            tolerance=Between(low=at_least),
            timeout=duration(timeout, what="timeout"),
        )

    def available(self, *, timeout: str | float = 1.0) -> Probe:
        """Every wanted replica is updated and available, and no old one is left (Deployments)."""
        if self.kind != "deployment":
            raise UsageError(f"{self.name}: available() is for deployments, this is a {self.kind}", hint="use ready(at_least=…)")
        arguments: dict[str, Json] = {"name": self.name, "namespace": self.namespace}
        provider = PythonProvider(module=OURS, func="rollout_is_complete", arguments=arguments)
        return Probe(
            name=f"{self.name}: available", provider=provider, tolerance=Exactly(value=True), timeout=duration(timeout, what="timeout")
        )

    def pods(self, *, count: int | None = None) -> Pods:
        """Its pods, for ``cf.toolkit(…, victims=…)``: all of them, or ``count``, whichever."""
        return Pods(workload=self, count=_positive(count))

    def as_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "name": self.name, "namespace": self.namespace}

    def _arguments(self) -> dict[str, Json]:
        return {"name": self.name, "namespace": self.namespace, "kind": self.kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """What a ``cf.toolkit`` action hits: pods of a workload, or by label ``selector`` in a ``namespace``; ``count`` of them or all."""

    workload: Workload | None = None
    selector: str = ""
    namespace: str = ""
    count: int | None = None


def pods(selector: str, *, namespace: str = "default", count: int | None = None) -> Pods:
    """Pods by label selector, for ``cf.toolkit(…, victims=…)``: all of them, or ``count``, whichever."""
    if not selector:
        raise UsageError("pods takes a label selector", hint="k8s.pods('app=web', namespace='shop')")
    return Pods(selector=selector, namespace=namespace, count=_positive(count))


def _positive(count: int | None) -> int | None:
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise UsageError(f"pods: count is {count!r}, at least 1 was expected")
    return count


def deployment(name: str, *, namespace: str = "default") -> Workload:
    """A Deployment by name."""
    return Workload(kind="deployment", name=name, namespace=namespace)


def statefulset(name: str, *, namespace: str = "default") -> Workload:
    """A StatefulSet by name."""
    return Workload(kind="statefulset", name=name, namespace=namespace)


def node_ready(name: str) -> Probe:
    """A node is Ready and schedulable."""
    provider = PythonProvider(module=OURS, func="node_is_ready", arguments={"name": name})
    return Probe(name=f"node {name} ready", provider=provider, tolerance=Exactly(value=True))


def kill(
    what: Workload | None = None,
    *,
    selector: str = "",
    namespace: str = "default",
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    abrupt: bool = False,
    timeout: str | float = 30.0,
    name: str = "",
) -> Action:
    """
    Deletes pods: of a workload, or by label ``selector`` in a ``namespace``; ``count`` of them (default one) or a
    ``percentage`` (rounded up); only those in ``zone`` when given. Which ones is decided by the seed (``--chaos-seed``).

    Graceful (SIGTERM, the pod's own grace) unless ``abrupt`` (SIGKILL). Their controller replaces them: it heals itself.
    """
    select, words = _pod_selection("kill", what, selector, namespace, count, percentage, zone)
    label = f"kill {words}" + (" abruptly" if abrupt else "")
    arguments: dict[str, Json] = {"grace_period": 0} if abrupt else {}
    return Action(
        name=name or label,
        provider=PythonProvider(module="chaosk8s.pod.actions", func="terminate_pods", arguments=arguments),
        select=select,
        self_heals=True,
        timeout=duration(timeout, what="kill: timeout"),
    )


def pause(
    what: Workload | None = None,
    *,
    selector: str = "",
    namespace: str = "default",
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    timeout: str | float = 30.0,
    name: str = "",
) -> Action:
    """
    Stops the processes of pods, chosen as by :func:`kill`, as SIGSTOP does: they keep their connections and answer nothing. They go on
    afterwards. In a sandbox only; a pod whose liveness probe fails is restarted all the same.
    """
    select, words = _pod_selection("pause", what, selector, namespace, count, percentage, zone)
    limit = duration(timeout, what="pause: timeout")
    return Action(name=name or f"pause {words}", provider=PythonProvider(module=OURS, func="pause_pods"), select=select, timeout=limit)


def _pod_selection(
    verb: str, what: Workload | None, selector: str, namespace: str, count: int | None, percentage: str | float | None, zone: str
) -> tuple[dict[str, Json], str]:
    """Which pods, as data and in words."""
    if (what is None) == (not selector):
        raise UsageError(f"{verb} takes a workload or a selector, one of the two", hint=f"k8s.{verb}(k8s.deployment('web'), count=1)")
    if count is not None and percentage is not None:
        raise UsageError(f"{verb} takes a count or a percentage, one of the two")
    if count is not None and count < 1:
        raise UsageError(f"{verb}: count is {count!r}, at least 1 was expected")
    chosen: dict[str, Json] = {
        "count": count,
        "share": None if percentage is None else share(percentage, what=f"{verb}: percentage"),
        "zone": zone or None,
    }
    where = {"workload": what.as_json()} if what is not None else {"selector": selector, "namespace": namespace}
    victim = what.name if what is not None else selector
    amount = f"{percentage}" if percentage is not None else f"{count or 1}"
    return {**chosen, **where}, f"{amount} of {victim}" + (f" in {zone}" if zone else "")


def cordon(
    node: str = "",
    *,
    selector: str = "",
    hosting: Workload | None = None,
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    timeout: str | float = 30.0,
    name: str = "",
) -> Action:
    """Makes nodes unschedulable: by name, label ``selector``, ``zone``, or those ``hosting`` a workload; ``count`` (default one)."""
    select = _node_selection(node, selector, hosting, count, percentage, zone)
    return _node_action("cordon_nodes", name or f"cordon {_node_words(select)}", select, timeout, {})


def drain(
    node: str = "",
    *,
    selector: str = "",
    hosting: Workload | None = None,
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    delete_emptydir_data: bool = False,
    timeout: str | float = 60.0,
    name: str = "",
) -> Action:
    """
    Cordons nodes and evicts their pods through the eviction API, asking again while a PodDisruptionBudget says no.

    Chosen as by :func:`cordon`. Refused for pods that nothing would bring back, and for pods with emptyDir volumes unless
    ``delete_emptydir_data`` accepts their loss.
    """
    select = _node_selection(node, selector, hosting, count, percentage, zone)
    limit = duration(timeout, what="drain: timeout")
    arguments: dict[str, Json] = {"timeout": limit}
    if delete_emptydir_data:
        arguments["delete_emptydir_data"] = True
    return _node_action("drain_nodes", name or f"drain {_node_words(select)}", select, limit + 5.0, arguments)


def _node_selection(
    node: str, selector: str, hosting: Workload | None, count: int | None, percentage: str | float | None, zone: str
) -> dict[str, Json]:
    if not (node or selector or hosting or zone or count or percentage):
        raise UsageError("which nodes? name one, or give selector, zone, hosting, count or percentage")
    if count is not None and percentage is not None:
        raise UsageError("nodes: a count or a percentage, one of the two")
    return {
        "node": node or None,
        "selector": selector or None,
        "hosting": hosting.as_json() if hosting is not None else None,
        "count": count,
        "share": None if percentage is None else share(percentage, what="nodes: percentage"),
        "zone": zone or None,
    }


def _node_words(select: dict[str, Json]) -> str:
    if select["node"]:
        return str(select["node"])
    amount = (
        f"{select['share'] * 100:g}% of nodes"
        if select["share"]
        else f"{select['count'] or 1} node{'s' if (select['count'] or 1) > 1 else ''}"
    )
    hosting = f" hosting {select['hosting']['name']}" if select["hosting"] else ""
    return amount + hosting + (f" in {select['zone']}" if select["zone"] else "")


def _node_action(func: str, name: str, select: dict[str, Json], timeout: str | float, arguments: dict[str, Json]) -> Action:
    provider = PythonProvider(module=OURS, func=func, arguments=arguments)
    return Action(name=name, provider=provider, select=select, timeout=duration(timeout, what=f"{name}: timeout"))


def scale(what: Workload, replicas: int, *, timeout: str | float = 30.0, name: str = "") -> Action:
    """
    Gives a workload another number of replicas: fewer (0 is all gone), or more than there is room for. Put back afterwards.

    Raises UsageError for a negative number.
    """
    if isinstance(replicas, bool) or not isinstance(replicas, int) or replicas < 0:
        raise UsageError(f"scale: replicas is {replicas!r}, a whole number from 0 on was expected")
    return _change("scale", name or f"scale {what.name} to {replicas}", timeout, {**what.as_json(), "replicas": replicas})


def taint(
    node: str = "",
    *,
    key: str = "chaosfw.dev/chaos",
    value: str = "",
    effect: str = "NoSchedule",
    selector: str = "",
    hosting: Workload | None = None,
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    timeout: str | float = 30.0,
    name: str = "",
) -> Action:
    """
    Puts a taint on nodes, chosen as by :func:`cordon`, and takes it away afterwards; other taints stay. ``effect``: ``NoSchedule`` keeps
    new pods away, ``PreferNoSchedule`` tries to, ``NoExecute`` also evicts those that do not tolerate it.
    """
    if effect not in EFFECTS:
        raise UsageError(f"taint: effect is {effect!r}", hint="one of " + ", ".join(EFFECTS))
    select = _node_selection(node, selector, hosting, count, percentage, zone)
    arguments: dict[str, Json] = {"key": key, "value": value, "effect": effect}
    return _node_action("taint_nodes", name or f"taint {_node_words(select)} {effect}", select, timeout, arguments)


def break_selector(service: str, *, namespace: str = "default", timeout: str | float = 30.0, name: str = "") -> Action:
    """Makes a Service select nobody: its pods run, and nobody is reached through it. Put back afterwards."""
    return _change("break_selector", name or f"break the selector of {service}", timeout, {"name": service, "namespace": namespace})


def set_image(what: Workload, image: str, *, container: str = "", timeout: str | float = 30.0, name: str = "") -> Action:
    """
    Gives a container (without a name the only one) another image: with one that does not exist, the rollout stalls and the old pods go on
    as the strategy lets them. The image from before is put back afterwards.
    """
    arguments: dict[str, Json] = {**what.as_json(), "image": image, "container": container}
    return _change("set_image", name or f"set the image of {what.name} to {image}", timeout, arguments)


def delete(kind: str, object_name: str, *, namespace: str = "default", timeout: str | float = 30.0, name: str = "") -> Action:
    """
    Deletes a ``service``, ``configmap``, ``poddisruptionbudget`` or ``networkpolicy``, and makes it again from its manifest afterwards.

    Other kinds are refused when it is planned: they would not be the same again.
    """
    arguments: dict[str, Json] = {"kind": kind, "name": object_name, "namespace": namespace}
    return _change("delete_object", name or f"delete {kind} {object_name}", timeout, arguments)


def delete_node(
    node: str = "",
    *,
    selector: str = "",
    hosting: Workload | None = None,
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    pods: bool = True,
    timeout: str | float = 90.0,
    name: str = "",
) -> Action:
    """
    Deletes node objects, chosen as by :func:`cordon`, and makes them again from their manifests afterwards; the machines run on.

    With ``pods`` the fault is in when the garbage collector of pods has removed what ran there, 40 s later at the earliest; up to
    ``timeout``. Without, when the objects are gone: nothing new is placed there.
    """
    select = _node_selection(node, selector, hosting, count, percentage, zone)
    limit = duration(timeout, what="delete_node: timeout")
    arguments: dict[str, Json] = {"pods": pods, "timeout": limit}
    return _node_action("delete_nodes", name or f"delete {_node_words(select)}", select, limit + 5.0, arguments)


def stop_machine(
    node: str = "",
    *,
    state: str = "off",
    selector: str = "",
    hosting: Workload | None = None,
    count: int | None = None,
    percentage: str | float | None = None,
    zone: str = "",
    timeout: str | float = 30.0,
    name: str = "",
) -> Action:
    """
    The machines of nodes, chosen as by :func:`cordon`, are ``off`` (no power: all that runs there dies), ``frozen`` (it stands still) or
    ``cut`` (it runs, and nobody reaches it or is reached). Nobody is told: peers hear neither FIN nor RST, and the cluster finds out by
    what it does not hear. Afterwards they are on again. In a sandbox only. Raises UsageError for another ``state``.
    """
    if state not in STATES:
        raise UsageError(f"stop_machine: state is {state!r}, one of {', '.join(STATES)} was expected")
    select = _node_selection(node, selector, hosting, count, percentage, zone)
    limit = duration(timeout, what="stop_machine: timeout")
    words = {"off": "switch off", "frozen": "freeze", "cut": "cut off"}[state]
    return _node_action("stop_machines", name or f"{words} {_node_words(select)}", select, limit, {"state": state})


def rollout_restart(what: Workload, *, timeout: str | float = 30.0, name: str = "") -> Action:
    """Replaces every pod of a workload at the pace of its strategy, as ``kubectl rollout restart`` does. It heals itself."""
    return but(_change("restart_rollout", name or f"restart {what.name}", timeout, what.as_json()), self_heals=True)


def _change(func: str, name: str, timeout: str | float, arguments: dict[str, Json]) -> Action:
    provider = PythonProvider(module=OURS, func=func, arguments=arguments)
    return Action(name=name, provider=provider, timeout=duration(timeout, what=f"{name}: timeout"))
