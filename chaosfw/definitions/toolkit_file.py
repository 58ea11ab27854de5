"""
Chaos Toolkit experiment files become experiments. All problems of a file are told at once, with file, line and path.

What Chaos Toolkit has no words for stands in the file's own ``extensions: [{name: chaosfw, …}]`` block, which stock ``chaos``
ignores. A file without that block claims what Chaos Toolkit judges, and no more (``Experiment.stock``). What is not supported
yet is a located error: nothing is injected from a file that would be understood by half.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from chaosfw.authoring.probes import availability, latency
from chaosfw.definitions.located import Place, read
from chaosfw.definitions.toolkit_load import load_of
from chaosfw.errors import UsageError
from chaosfw.model.activity import Action, HttpProvider, Hypothesis, Probe, ProcessProvider, Provider, PythonProvider, Step, Victims
from chaosfw.model.experiment import Experiment, Origin
from chaosfw.model.slo import SLO, LatencyLimit, Objective
from chaosfw.model.struct import but
from chaosfw.model.tolerance import Between, Exactly, OneOf, Tolerance, ToolkitTolerance
from chaosfw.quantities import duration, quantile, share

S = TypeVar("S", bound=Step)

TOP = (
    "version", "title", "description", "tags", "contributions", "configuration", "secrets", "steady-state-hypothesis", "method",
    "rollbacks", "extensions", "controls", "runtime", "dry",
)  # fmt: skip
ACTIVITY = (
    "type",
    "name",
    "provider",
    "tolerance",
    "pauses",
    "background",
    "ref",
    "controls",
    "configuration",
    "secrets",
    "dry",
    "timeout",
)
BLOCK = (
    "name", "load", "slo", "during_fault", "baseline", "lasts", "stable_for", "mitigate_within", "recover_within", "probe_every",
    "costs_at_most", "self_heals", "proof", "victims",
)  # fmt: skip
ROLLBACKS = ("default", "always", "never", "deviated")
WORKLOADS = ("deployment", "statefulset", "selector")
STRATEGIES = ("default", "before-method-only", "after-method-only", "during-method-only", "continuously", "continuous")
TIMES = ("baseline", "lasts", "stable_for", "recover_within", "probe_every")
SLACK = 5.0
"""Seconds on top of a provider's own time-out before its call counts as lost."""


def is_experiment(text: str) -> bool:
    """Whether a file's text looks like a Chaos Toolkit experiment: keys named title and method. Cheap, before any parsing."""
    return all(re.search(rf"(?<![\w-])[\"']?{key}[\"']?\s*:", text) for key in ("title", "method"))


def load_file(path: Path) -> Experiment | None:
    """The experiment of a file; None when it is no experiment (no title or no method). Raises DefinitionError."""
    text = path.read_bytes().decode("utf-8", errors="replace")  # a stranger's file in another encoding is no trouble of ours
    if not is_experiment(text):
        return None
    top = read(path, text)
    if not isinstance(top.value, dict) or not {"title", "method"} <= set(top.value):
        return None
    made = _experiment(top, path)
    top.problems.raise_any()
    return but(made, method=_unique(made.method))


def _experiment(top: Place, path: Path) -> Experiment:
    top.known(*TOP)
    _refuse_unsupported(top)
    shared = {"configuration": top.mapping("configuration"), "secrets": top.mapping("secrets")}
    block = _block(top)
    referable = _named(top)
    hypothesis = _hypothesis(top, shared, referable)
    method = tuple(step for place in top.listed("method") if (step := _step(place, shared, referable)) is not None)
    rollbacks = _rollbacks(top, shared, referable)
    experiment = Experiment(
        title=top.text("title"),
        steady_state=hypothesis,
        throughout=_strategy(top) in ("during-method-only", "continuously", "continuous"),
        method=_with_rollbacks(method, rollbacks),
        rollbacks=rollbacks,
        baseline=0.0,
        lasts=0.0,
        stable_for=0.0,
        recover_within=0.0,
        stock=block is None,
        origin=Origin(file=str(path), line=1, name=path.name),
        configuration=shared["configuration"],
    )
    return experiment if block is None else _extended(experiment, block, shared, referable)


def _refuse_unsupported(top: Place) -> None:
    _refuse_controls_and_dry(top)
    runtime = top.get("runtime")
    rollbacks = runtime.get("rollbacks") if runtime is not None else None
    if rollbacks is not None and rollbacks.one_of("strategy", ROLLBACKS, default="default") == "never":
        (rollbacks.get("strategy") or rollbacks).problem("is 'never', which is not supported: every fault is put back")


def _refuse_controls_and_dry(place: Place) -> None:
    if (controls := place.get("controls")) is not None and controls.value:
        controls.problem("is not supported yet: remove it, or run the file with stock chaos")
    if (dry := place.get("dry")) is not None and dry.value:
        dry.problem("is not supported: what it should leave out would be done; to see what would be done, --chaos-plan")


def _strategy(top: Place) -> str:
    runtime = top.get("runtime")
    hypothesis = runtime.get("hypothesis") if runtime is not None else None
    return hypothesis.one_of("strategy", STRATEGIES, default="default") if hypothesis is not None else "default"


def _block(top: Place) -> Place | None:
    for place in top.listed("extensions"):
        if isinstance(place.value, dict) and place.value.get("name") == "chaosfw":
            return place
    return None


# -- activities ----------------------------------------------------------------------------------------------------------


def _hypothesis(top: Place, shared: dict[str, Any], referable: dict[str, Place]) -> Hypothesis | None:
    place = top.get("steady-state-hypothesis")
    if place is None or not place.value:
        return None
    _refuse_controls_and_dry(place)
    probes = []
    for one in place.listed("probes"):
        step = _step(one, shared, referable)
        if isinstance(step, Probe):
            if step.tolerance is None:
                one.problem("has no 'tolerance': a hypothesis can not be judged without one")
            _without_pauses(one, step, "in a hypothesis, which is evaluated again and again: put the wait into the method")
            probes.append(but(step, background=False))  # Chaos Toolkit waits for each of them, whatever it says
        elif isinstance(step, Action):
            one.problem("is an action: only probes belong into a hypothesis")
    return Hypothesis(title=place.text("title", default="steady state"), probes=_unique(probes)) if probes else None


def _rollbacks(top: Place, shared: dict[str, Any], referable: dict[str, Place]) -> tuple[Action, ...]:
    found = []
    for place in top.listed("rollbacks"):
        step = _step(place, shared, referable)
        if isinstance(step, Action):
            _without_pauses(place, step, "on a rollback: whatever heals does not wait")
            found.append(step)
    return tuple(found)


def _without_pauses(place: Place, step: Step, why: str) -> None:
    if step.pause_before or step.pause_after:
        (place.get("pauses") or place).problem(f"is not supported {why}")


def _step(place: Place, shared: dict[str, Any], referable: dict[str, Place]) -> Step | None:
    if not isinstance(place.value, dict):
        place.problem(f"is {place.value!r}: an activity was expected")
        return None
    if (reference := place.get("ref")) is not None:
        if not isinstance(reference.value, str) or reference.value not in referable:
            known = ", ".join(repr(name) for name in referable) or "none"
            reference.problem(f"is {reference.value!r}, which names no activity of hypothesis or method; known: {known}")
            return None
        step = _step(referable[reference.value], shared, referable)
        return None if step is None else but(step, background=place.flag("background"))  # the only word of its own that a ref has
    place.known(*ACTIVITY)
    _refuse_controls_and_dry(place)
    kind = place.one_of("type", ("probe", "action"))
    name = place.text("name")
    provider, timeout = _provider(place)
    if provider is None or not name:
        return None
    return _probe(place, name, provider, timeout, shared) if kind == "probe" else _action(place, name, provider, timeout, shared)


def _named(top: Place) -> dict[str, Place]:
    """What a ``ref`` may name, before it or after it: activities of the method and the hypothesis, the later of two with one name."""
    hypothesis = top.get("steady-state-hypothesis")
    every = [*(top.get("method") or top).items(), *((hypothesis.get("probes") or hypothesis).items() if hypothesis is not None else ())]
    named = [one for one in every if isinstance(one.value, dict) and "ref" not in one.value]
    return {one.value["name"]: one for one in named if isinstance(one.value.get("name"), str)}


def _probe(place: Place, name: str, provider: Provider, timeout: float, shared: dict[str, Any]) -> Probe:
    return Probe(name=name, provider=provider, tolerance=_tolerance(place), timeout=timeout, **_when(place, shared), **shared)


def _action(place: Place, name: str, provider: Provider, timeout: float, shared: dict[str, Any]) -> Action:
    return Action(name=name, provider=provider, timeout=timeout + SLACK, **_when(place, shared), **shared)


def _when(place: Place, shared: dict[str, Any]) -> dict[str, Any]:
    pauses = place.get("pauses")
    if pauses is not None and pauses.value is not None and not isinstance(pauses.value, dict):
        pauses.problem(f"is {pauses.value!r}: a mapping with before and after was expected")
    return {
        "background": place.flag("background"),
        "pause_before": _pause(pauses, "before", shared["configuration"]),
        "pause_after": _pause(pauses, "after", shared["configuration"]),
    }


def _pause(pauses: Place | None, key: str, configuration: dict[str, Any]) -> float:
    given = pauses.get(key) if pauses is not None else None
    if given is None or given.value is None:
        return 0.0
    if isinstance(given.value, str) and (name := re.fullmatch(r"\$\{([^{}]+)\}", given.value)):
        return _configured_pause(given, name[1], configuration)
    assert pauses is not None
    return pauses.seconds(key, default=0.0)


def _configured_pause(given: Place, name: str, configuration: dict[str, Any]) -> float:
    """
    A pause that stands in the configuration, as a number or as a variable of the environment. It is part of the plan, so it must be
    known before anything is called: what a probe or a vault would answer comes too late.
    """
    if name not in configuration:
        known = ", ".join(map(repr, configuration)) or "none"
        given.problem(f"is {given.value!r}, which the configuration does not name (known: {known}); pauses from secrets are not supported")
        return 0.0
    value = configuration[name]
    if isinstance(value, dict) and value.get("type") == "probe":
        given.problem(f"is {given.value!r}, which a probe finds out: such a pause is not supported, because the plan must name it")
        return 0.0
    if isinstance(value, dict) and value.get("type") == "env":
        value = _variable(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        given.problem(f"is {given.value!r}, which comes to {value!r}: seconds were expected (of a variable, with env_var_type: float)")
        return 0.0
    return float(value)


def _variable(stated: dict[str, Any]) -> Any:
    """The variable's value, as Chaos Toolkit types it: a text, unless ``env_var_type`` says what else."""
    value = os.environ.get(str(stated.get("key")), stated.get("default"))
    made = {"int": int, "float": float}.get(str(stated.get("env_var_type")))
    try:
        return value if value is None or made is None else made(value)
    except (TypeError, ValueError):
        return value


def _provider(place: Place) -> tuple[Provider | None, float]:
    given = place.get("provider")
    if given is None or not isinstance(given.value, dict):
        place.problem("has no 'provider': a mapping with a type was expected")
        return None, 0.0
    match given.one_of("type", ("python", "http", "process")):
        case "python":
            secrets = tuple(str(one.value) for one in given.listed("secrets"))
            made = PythonProvider(
                module=given.text("module"), func=given.text("func"), arguments=given.mapping("arguments"), secrets=secrets
            )
            return (made, 5.0 if place.value.get("type") == "probe" else 60.0) if made.module and made.func else (None, 0.0)
        case "http":
            timeout = _timeout(given, 5.0)
            headers = {str(key): str(value) for key, value in given.mapping("headers").items()}
            url = given.text("url")
            if (retries := given.get("max_retries")) is not None and retries.value:
                retries.problem("is not supported: a request that is sent again in silence hides what failed")
            http = HttpProvider(
                url=url,
                method=given.text("method", default="GET"),
                headers=headers,
                arguments=given.value.get("arguments"),
                timeout=timeout,
                verify_tls=given.flag("verify_tls", default=True),
            )
            return (http, timeout + 1.0) if url else (None, 0.0)
        case "process":
            timeout = _timeout(given, 30.0)
            process = ProcessProvider(path=given.text("path"), arguments=given.value.get("arguments"), timeout=timeout)
            return (process, timeout + 1.0) if process.path else (None, 0.0)
    return None, 0.0


def _timeout(given: Place, default: float) -> float:
    """Chaos Toolkit takes a number, or (connect, read) for http."""
    value = given.value.get("timeout")
    if isinstance(value, list) and all(isinstance(one, int | float) for one in value):
        return float(sum(value))
    return given.seconds("timeout", default=default)


def _tolerance(place: Place) -> Tolerance | None:
    """Chaos Toolkit's words: a value, [choices], or {type: range | regex | jsonpath | probe}."""
    given = place.get("tolerance")
    if given is None:
        return None
    value = given.value
    if isinstance(value, list):
        if len(value) == 2 and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
            return ToolkitTolerance(value=value)
        return OneOf(values=tuple(value))
    if not isinstance(value, dict):
        return Exactly(value=value)
    match given.one_of("type", ("range", "regex", "jsonpath", "probe")):
        case "range" if "target" not in value:
            bounds = value.get("range")
            if not isinstance(bounds, list) or len(bounds) != 2 or not all(isinstance(one, int | float) for one in bounds):
                given.problem(f"has range {bounds!r}: two numbers [low, high] were expected")
                return None
            return Between(low=bounds[0], high=bounds[1])
        case "regex" if not value.get("pattern"):
            given.problem("has no 'pattern'")
            return None
        case "regex" if why := _unreadable(value["pattern"]):
            given.problem(f"has pattern {value['pattern']!r}, which is no regular expression: {why}")
            return None
        case "jsonpath" if not value.get("path"):
            given.problem("has no 'path'")
            return None
    return ToolkitTolerance(value=value)


def _unreadable(pattern: Any) -> str:
    try:
        re.compile(pattern)
    except (re.error, TypeError) as trouble:
        return str(trouble)
    return ""


def _with_rollbacks(method: tuple[Step, ...], rollbacks: tuple[Action, ...]) -> tuple[Step, ...]:
    """The file's rollbacks are the undo of the actions that no FaultKind knows how to put back; played once, by the first of them."""
    made: list[Step] = []
    given = False
    for step in method:
        if isinstance(step, Action) and rollbacks and not given and not _brings_its_own(step):
            made.append(but(step, rollbacks=rollbacks))
            given = True
        else:
            made.append(step)
    return tuple(made)


def _brings_its_own(action: Action) -> bool:
    """Whether a FaultKind of ours adorns the function. Names only: drivers are not imported here."""
    return isinstance(action.provider, PythonProvider) and action.provider.name in KNOWN


KNOWN = frozenset(
    {
        "chaosk8s.pod.actions.terminate_pods",
        "chaosk8s.pod.actions.delete_pods",
        "chaosk8s.node.actions.cordon_node",
        "chaosk8s.node.actions.drain_nodes",
        "chaosfw.activities.kubernetes.cordon_nodes",
        "chaosfw.activities.kubernetes.drain_nodes",
        "chaosfw.activities.kubernetes.drain_zone",
        "chaosfw.activities.kubernetes.scale",
        "chaosfw.activities.kubernetes.taint_nodes",
        "chaosfw.activities.kubernetes.break_selector",
        "chaosfw.activities.kubernetes.set_image",
        "chaosfw.activities.kubernetes.restart_rollout",
        "chaosfw.activities.kubernetes.delete_object",
        "chaosfw.activities.kubernetes.delete_nodes",
        "chaosfw.activities.kubernetes.pause_pods",
        "chaosfw.activities.kubernetes.stop_machines",
    }
)
"""Functions with a way back of their own; a test holds this against the catalogue."""


def _unique(steps: Iterable[S]) -> tuple[S, ...]:
    """Chaos Toolkit allows two activities of one name (every ``ref`` makes one); our rounds and undo records do not."""
    seen: dict[str, int] = {}
    made = []
    for step in steps:
        seen[step.name] = seen.get(step.name, 0) + 1
        made.append(step if seen[step.name] == 1 else but(step, name=f"{step.name} #{seen[step.name]}"))
    return tuple(made)


# -- our own block -------------------------------------------------------------------------------------------------------


def _extended(experiment: Experiment, block: Place, shared: dict[str, Any], referable: dict[str, Place]) -> Experiment:
    """The experiment with what the block adds. Values that the block leaves out are the product's own defaults."""
    block.only(*BLOCK)
    plain = Experiment(title="")
    times = {name: block.seconds(name, default=getattr(plain, name)) for name in TIMES}
    unwritten = tuple(name for name in TIMES if block.get(name) is None)
    heals = {str(one.value) for one in block.listed("self_heals")}
    _names_exist(block, "self_heals", heals, experiment)
    proofs = _proofs(block, shared, referable, experiment)
    victims = _victims(block, experiment)
    method = tuple(
        but(step, self_heals=step.self_heals or step.name in heals, proof=proofs.get(step.name), victims=victims.get(step.name))
        if isinstance(step, Action)
        else step
        for step in experiment.method
    )
    mitigate = block.seconds("mitigate_within", default=-1.0)
    return but(
        experiment,
        **times,
        mitigate_within=None if mitigate < 0 else mitigate,
        defaults=unwritten,
        method=method,
        load=load_of(block),
        slo=_slo(block),
        during_fault=_objectives(block),
        costs_at_most=_share(block, "costs_at_most"),
    )


def _slo(block: Place) -> SLO | None:
    given = block.get("slo")
    if given is None:
        return None
    given.only("name", "availability", "latency", "window", "requests_per_window")
    limits = []
    for name, limit in given.mapping("latency").items():
        try:
            limits.append(LatencyLimit(quantile=quantile(str(name)), limit=duration(limit, what=f"latency {name}")))
        except UsageError as trouble:
            given.problem(trouble.message)
    return SLO(
        name=given.text("name", default="slo"),
        availability=_share(given, "availability") or 0.0,
        latency=tuple(limits),
        window=given.seconds("window", default=30 * 86400.0),
        requests_per_window=given.number("requests_per_window", default=0.0),
    )


def _objectives(block: Place) -> tuple[Objective, ...]:
    given = block.get("during_fault")
    if given is None:
        return ()
    given.only("availability", "latency")
    made: list[Objective] = []
    try:
        if (target := given.get("availability")) is not None:
            made.append(availability(target.value))
        made += [latency(**{str(name): limit}) for name, limit in given.mapping("latency").items()]
    except UsageError as trouble:
        given.problem(trouble.message)
    return tuple(made)


def _share(place: Place, key: str) -> float | None:
    given = place.get(key)
    if given is None:
        return None
    try:
        return share(given.value, what="is")
    except UsageError:
        given.problem(f"is {given.value!r}: a share such as '97%' was expected")
        return None


def _proofs(block: Place, shared: dict[str, Any], referable: dict[str, Place], experiment: Experiment) -> dict[str, Probe]:
    given = block.get("proof")
    if given is None:
        return {}
    made: dict[str, Probe] = {}
    for name in given.value if isinstance(given.value, dict) else ():
        place = given.get(name)
        step = _step(place, shared, referable) if place is not None else None
        if isinstance(step, Probe) and place is not None:
            _without_pauses(place, step, "on a proof, which is looked at again and again")
            made[str(name)] = but(step, background=False)
        elif place is not None:
            place.problem("is no probe: a probe that holds while the fault is in was expected")
    _names_exist(given, "", set(made), experiment)
    return made


def _victims(block: Place, experiment: Experiment) -> dict[str, Victims]:
    """What each action hits: names of instances, or the pods of a workload or a selector."""
    given = block.get("victims")
    if given is None:
        return {}
    stated = {str(name): place for name in block.mapping("victims") if (place := given.get(name)) is not None}
    _names_exist(given, "", set(stated), experiment)
    for action in experiment.actions:
        if action.name in stated and _brings_its_own(action):
            stated[action.name].problem(f"is not for {action.provider.name}, which chaosfw knows: it finds its victims itself")
    return {name: made for name, place in stated.items() if (made := _stated(place)) is not None}


def _stated(place: Place) -> Victims | None:
    if isinstance(place.value, list) and place.value and all(isinstance(one, str) and one for one in place.value):
        return Victims(names=tuple(place.value))
    kinds = [kind for kind in WORKLOADS if isinstance(place.value, dict) and kind in place.value]
    if not isinstance(place.value, dict) or len(kinds) != 1:
        place.problem(f"is {place.value!r}: a list of names, or a mapping with one of {', '.join(WORKLOADS)} was expected")
        return None
    place.only(*WORKLOADS, "namespace", "count")
    name, namespace, count = place.text(kinds[0]), place.text("namespace", default="default"), place.value.get("count")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        (place.get("count") or place).problem(f"is {count!r}: a number of pods was expected")
        return None
    if kinds[0] == "selector":
        return Victims(selector=name, namespace=namespace, count=count)
    return Victims(workload={"kind": kinds[0], "name": name, "namespace": namespace}, count=count)


def _names_exist(place: Place, key: str, names: set[str], experiment: Experiment) -> None:
    actions = [action.name for action in experiment.actions]
    for name in sorted(names - set(actions)):
        at = (place.get(key) if key else place.get(name)) or place
        at.problem(f"names {name!r}, which is no action of the method; actions: {', '.join(map(repr, actions)) or 'none'}")
