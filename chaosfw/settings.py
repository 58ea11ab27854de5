"""
Settings with their origins: ``[tool.chaosfw]`` in ``pyproject.toml``, then ``CHAOSFW_*``, then ``--chaos-*``.

Variables and flags choose an environment and may narrow limits; they never widen them. Every problem of the table is reported
at once. Read by the doors, used by ``assembly``; opens nothing but the one file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from chaosfw.errors import DefinitionError, UsageError
from chaosfw.model.environment import Limits
from chaosfw.model.struct import but
from chaosfw.quantities import count_or_share, duration, share

DURATIONS = ("baseline", "lasts", "stable_for", "recover_within", "probe_every")
"""Names that ``defaults`` may set, all durations."""

TABLE = ("environment", "defaults", "limits", "environments", "reports", "seed", "lock_timeout", "k6")
ENVIRONMENT = (
    "kind", "manifests", "images", "endpoints", "nodes", "hollow_nodes", "zones", "profile", "control_plane",
    "context", "server", "kubeconfig", "namespaces", "limits",
    "accept_manual_heal", "identity", "halt", "prometheus", "approval", "hours", "suppress",
    "state_namespace", "budget_left",
)  # fmt: skip
TEXTS = (
    "context", "server", "kubeconfig", "identity", "accept_manual_heal", "profile", "control_plane", "kind",
    "prometheus", "approval", "state_namespace",
)  # fmt: skip
ENDPOINT = ("url", "service")
KINDS = ("sandbox", "kubernetes")
APPROVALS = ("intent", "plan")
LIMITS = ("pods", "nodes", "zones", "budget", "protect")
TABLE_LIMITS = (*LIMITS, "opt_in", "min_ready")
"""Limits that the file can set; those beyond LIMITS can not be narrowed from outside."""
LIMIT_VARIABLE = "CHAOSFW_LIMIT_"
"""What the variables that narrow a limit begin with: ``CHAOSFW_LIMIT_PODS``."""
BUDGET_LEFT = "CHAOSFW_BUDGET_LEFT"
CONTROL_PLANE = "CHAOSFW_CONTROL_PLANE"
"""Variable with the share of the error budget that is left, for whoever measures it just before the run."""
LIMIT_FLAG = "--chaos-limit"
UNLIMITED = Limits(pods=None, nodes=None, zones=None, budget=None, protect=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Where a service is reached: a URL, or ``service/<namespace>/<name>:<port>`` which the environment resolves."""

    where: str
    service: str = ""
    """``<namespace>/<name>`` of the Service behind a URL; empty: not known, and nothing is inferred about who served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """One declared environment. ``kind`` is ``sandbox``, or ``kubernetes`` when a ``context`` is named."""

    name: str
    kind: str = "sandbox"
    manifests: tuple[str, ...] = ()
    """Globs, relative to the rootdir; applied to a sandbox."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Image name to command, for a sandbox; every other image runs the stand-in app."""
    endpoints: Mapping[str, EndpointSettings] = field(default_factory=dict)
    nodes: int = 3
    hollow_nodes: int = 0
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")
    profile: str = "fast"
    control_plane: str = "embedded"
    """Of a sandbox: ``embedded``, or ``kubernetes`` for the one that Kubernetes ships."""
    context: str = ""
    server: str = ""
    """What the context must really point at; refused otherwise."""
    kubeconfig: str = ""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    """UID of the kube-system namespace; refused when the cluster says another."""
    accept_manual_heal: str = ""
    """Reason for which a real environment without an in-cluster way back is accepted; printed in the report."""
    approval: str = ""
    """What must have been approved before anything runs here: ``intent``, ``plan``, or nothing."""
    halt: tuple[str, ...] = ()
    """What ends a run at once: PromQL that has a result, a URL that does not answer 200, ``file:PATH`` that is there."""
    prometheus: str = ""
    """URL of the Prometheus that PromQL is asked of."""
    state_namespace: str = "default"
    """Where in the cluster the undo records of a run are published while it is on."""
    hours: tuple[str, ...] = ()
    """When it may be broken: ``mon-fri 09:00-17:00 Europe/Berlin``; empty: always."""
    budget_left: float | None = None
    """Share of the error budget that is left; a run whose planned price is above it is refused. None: not asked."""
    suppress: Mapping[str, str] = field(default_factory=dict)
    """Guards that are not asked here, each with the reason that the verdict's sentence shows."""
    limits: Limits = field(default_factory=Limits)
    beside: Limits | None = None
    """What variables and flags narrow to where that can not be compared with ``limits``: a count beside a share. Both are asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was set, with where each value came from (``origins``)."""

    rootdir: Path
    environment: str = "sandbox"
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)
    reports: Path = Path("reports")
    seed: int | None = None
    """None: a new one for each game day, printed so that it can be repeated."""
    lock_timeout: float = 600.0
    """Seconds to wait for another run's lock before refusing."""
    k6: str = ""
    """The k6 binary; empty: the one on PATH."""
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """Sentences for the user about what was asked for and changes nothing."""

    def chosen(self) -> EnvironmentSettings:
        """The environment to use. Raises UsageError naming those that are declared."""
        if self.environment in self.environments:
            return self.environments[self.environment]
        known = ", ".join(sorted(self.environments)) or "none"
        close = difflib.get_close_matches(self.environment, self.environments, n=1)
        also = f"; did you mean {close[0]!r}?" if close else ""
        origin = self.origins.get("environment", "default")
        raise UsageError(f"environment {self.environment!r} (from {origin}) is not declared{also}", hint=f"declared: {known}")


def load(rootdir: Path, *, variables: Mapping[str, str], flags: Mapping[str, Any]) -> Settings:
    """Reads, checks and layers everything. Raises DefinitionError with all problems of the table at once."""
    path = rootdir / "pyproject.toml"
    table, where = _table(path), f"{path.name} [tool.chaosfw]"
    problems: list[str] = []
    _unknown(table, TABLE, "", problems)
    limits = _limits(table.get("limits", {}), Limits(), "limits", problems)
    environments = {
        name: _environment(name, given, limits, problems)
        for name, given in {"sandbox": {}, **_mapping(table, "environments", problems)}.items()
    }
    defaults = {name: _duration(value, f"defaults.{name}", problems) for name, value in _mapping(table, "defaults", problems).items()}
    _unknown(defaults, DURATIONS, "defaults.", problems)
    if problems:
        raise DefinitionError(where, problems)
    chosen, origins = _layered(table, variables, flags, where)
    wanted, notes = _outside_limits(variables, flags), tuple[str, ...]()
    if (name := str(chosen.get("environment", "sandbox"))) in environments:
        origins |= _limit_origins(table, name, where)
        environments[name], notes = _narrowed_from_outside(environments[name], wanted, origins)
        environments[name] = _with_budget_left(environments[name], variables.get(BUDGET_LEFT, ""))
        if (plane := variables.get(CONTROL_PLANE, "")) and environments[name].kind == "sandbox":
            environments[name] = replace(environments[name], control_plane=plane)
    return Settings(
        rootdir=rootdir,
        environment=name,
        environments=environments,
        defaults=defaults,
        reports=rootdir / str(chosen.get("reports", "reports")),
        seed=_whole(chosen.get("seed"), origins),
        lock_timeout=duration(chosen.get("lock_timeout", 600.0), what="lock_timeout"),
        k6=_program(str(chosen.get("k6", "")), rootdir),
        origins=origins,
        notes=notes,
    )


def _program(named: str, rootdir: Path) -> str:
    """A path counts from the rootdir; a bare name is looked up on PATH when it is needed."""
    return str(rootdir / named) if "/" in named else named


def _with_budget_left(chosen: EnvironmentSettings, text: str) -> EnvironmentSettings:
    """The smaller of what the file and the variable say."""
    return replace(chosen, budget_left=_stricter(chosen.budget_left, share(text, what=BUDGET_LEFT))) if text else chosen


def limits_in_words(chosen: EnvironmentSettings) -> dict[str, str]:
    """Each limit of an environment as people read it; two that can not be compared are both told: ``34% and 2``."""
    asked = (chosen.limits, chosen.beside or UNLIMITED)
    bounds = {name: [bound for one in asked if (bound := getattr(one, name)) is not None] for name in LIMITS if name != "protect"}
    shown = {name: " and ".join(map(_bound_in_words, found)) or "none" for name, found in bounds.items()}
    return {**shown, "protect": ", ".join(chosen.limits.protect)}


def narrowed(wide: Limits, narrow: Limits | None) -> Limits:
    """
    The stricter of the two, field by field. A count and a share can not be compared without knowing how many there are: the wide one
    stays, and the guards ask an experiment's own limits as well.
    """
    if narrow is None:
        return wide
    return Limits(
        pods=_stricter(wide.pods, narrow.pods),
        nodes=_stricter(wide.nodes, narrow.nodes),
        zones=_stricter(wide.zones, narrow.zones),
        budget=_stricter(wide.budget, narrow.budget),
        protect=tuple(dict.fromkeys((*wide.protect, *narrow.protect))),
        opt_in=wide.opt_in or narrow.opt_in,
        min_ready=_higher(wide.min_ready, narrow.min_ready),
    )


def _stricter(wide: float | None, narrow: float | None) -> Any:
    if wide is None or narrow is None:
        return narrow if wide is None else wide
    if isinstance(wide, int) != isinstance(narrow, int):
        return narrow if narrow == 0 else wide
    return min(wide, narrow)


def _higher(wide: float | None, narrow: float | None) -> Any:
    """Of two least counts the higher one; where they can not be compared the wide one stays, and the guards ask the other as well."""
    if wide is None or narrow is None:
        return narrow if wide is None else wide
    return max(wide, narrow) if isinstance(wide, int) == isinstance(narrow, int) else wide


def _table(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text()).get("tool", {}).get("chaosfw", {})
    except tomllib.TOMLDecodeError as trouble:
        raise UsageError(f"{path}: {trouble}") from trouble
    return dict(table)


def _layered(
    table: Mapping[str, Any], variables: Mapping[str, str], flags: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """The values that may be chosen from outside, and where each came from."""
    chosen: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name in ("environment", "reports", "seed", "lock_timeout", "k6"):
        variable = f"CHAOSFW_{name.upper()}"
        flag = f"--chaos-{name.replace('_', '-')}"
        for value, origin in ((table.get(name), where), (variables.get(variable) or None, variable), (flags.get(name), flag)):
            if value is not None:
                chosen[name], origins[name] = value, origin
        origins.setdefault(name, "default")
    return chosen, origins


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """One limit that a variable or a flag asks for. ``said``: how it was written."""

    name: str
    value: Any
    origin: str
    said: str


def _outside_limits(variables: Mapping[str, str], flags: Mapping[str, Any]) -> tuple[_Wanted, ...]:
    """What variables ask for, then what flags do. Raises UsageError with everything that is wrong about them."""
    problems: list[str] = []
    given = [
        (variable.removeprefix(LIMIT_VARIABLE).lower(), text, variable, f"{variable}={text}")
        for variable, text in sorted(variables.items())
        if variable.startswith(LIMIT_VARIABLE) and text
    ]
    for one in flags.get("limits") or ():
        name, equals, text = str(one).partition("=")
        given += [(name.strip(), text, LIMIT_FLAG, f"{LIMIT_FLAG} {one}")] if equals else []
        problems += [] if equals else [f"{LIMIT_FLAG} {one!r}: NAME=VALUE was expected"]
    wanted = [
        _Wanted(name=name, value=_limit_value(name, text, said, problems), origin=origin, said=said) for name, text, origin, said in given
    ]
    if problems:
        raise UsageError("; ".join(problems), hint=f"limits: {', '.join(LIMITS)}; {LIMIT_FLAG} pods=1, pods=10%, protect=tier=database")
    return tuple(wanted)


def _limit_value(name: str, text: str, said: str, problems: list[str]) -> Any:
    if name not in LIMITS:
        close = difflib.get_close_matches(name, LIMITS, n=1)
        problems.append(f"{said}: there is no limit {name!r}" + (f", did you mean {close[0]!r}?" if close else ""))
        return None
    if name == "protect":
        selectors = tuple(one.strip() for one in text.split(",") if one.strip())
        problems += [] if selectors else [f"{said}: a label (key or key=value) was expected"]
        return selectors
    if name == "budget":
        return _tried(share, text, said, problems)
    return _tried(count_or_share, int(text) if text.strip().isdecimal() else text, said, problems)


def _limit_origins(table: Mapping[str, Any], environment: str, where: str) -> dict[str, str]:
    """Where each limit of an environment came from, before anything outside the file is asked."""
    tables = (table.get("limits", {}), table.get("environments", {}).get(environment, {}).get("limits", {}))
    written = {name for one in tables for name in one}
    origins = {f"limits.{name}": where if name in written else "default" for name in LIMITS}
    return origins | ({"limits.protect": f"default, {where}"} if "protect" in written else {})


def _narrowed_from_outside(
    chosen: EnvironmentSettings, wanted: tuple[_Wanted, ...], origins: dict[str, str]
) -> tuple[EnvironmentSettings, tuple[str, ...]]:
    """The environment with stricter limits, ``origins`` brought up to date, and a sentence for whatever would have widened one."""
    limits, beside = chosen.limits, chosen.beside or UNLIMITED
    notes: list[str] = []
    for one in wanted:
        key = f"limits.{one.name}"
        if one.name == "protect":
            limits = but(limits, protect=tuple(dict.fromkeys((*limits.protect, *one.value))))
            origins[key] += f", {one.origin}"
            continue
        there = [bound for of in (limits, beside) if (bound := getattr(of, one.name)) is not None]
        if wider := [bound for bound in there if _is_comparable(bound, one.value) and bound <= one.value]:
            if wider[0] != one.value:
                stays = _bound_in_words(wider[0])
                notes.append(
                    f"{one.said} would widen {key}, which stays {stays} (from {origins[key]}): outside the file it can only narrow"
                )
        elif not there or _is_comparable(getattr(limits, one.name), one.value):
            limits = but(limits, **{one.name: one.value})
            origins[key] = one.origin
        else:
            beside = but(beside, **{one.name: one.value})
            origins[key] += f", beside it {one.origin}"
    return replace(chosen, limits=limits, beside=None if beside == UNLIMITED else beside), tuple(notes)


def _is_comparable(one: float | int, other: float | int) -> bool:
    """Counts with counts and shares with shares; nothing at all is less than either."""
    return isinstance(one, int) == isinstance(other, int) or 0 in (one, other)


def _bound_in_words(bound: float | int) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound * 100:g}%"


def _environment(name: str, given: Any, limits: Limits, problems: list[str]) -> EnvironmentSettings:
    prefix = f"environments.{name}"
    if not isinstance(given, dict):
        problems.append(f"{prefix} is {given!r}: a table was expected")
        return EnvironmentSettings(name=name)
    _unknown(given, ENVIRONMENT, f"{prefix}.", problems)
    made: dict[str, Any] = {}
    for key in (
        "context",
        "server",
        "kubeconfig",
        "identity",
        "accept_manual_heal",
        "profile",
        "control_plane",
        "kind",
        "prometheus",
        "approval",
        "state_namespace",
    ):
        if key in given:
            made[key] = _typed(given[key], str, f"{prefix}.{key}", problems)
    for key in ("manifests", "zones", "halt", "hours"):
        if key in given:
            made[key] = tuple(str(one) for one in _typed(given[key], list, f"{prefix}.{key}", problems) or [])
    for key in ("images", "namespaces", "suppress"):
        if key in given:
            made[key] = {str(one): str(value) for one, value in (_typed(given[key], dict, f"{prefix}.{key}", problems) or {}).items()}
    if "endpoints" in given:
        declared = _typed(given["endpoints"], dict, f"{prefix}.endpoints", problems) or {}
        made["endpoints"] = {str(one): _endpoint(value, f"{prefix}.endpoints.{one}", problems) for one, value in declared.items()}
    if "budget_left" in given:
        made["budget_left"] = _tried(share, given["budget_left"], f"{prefix}.budget_left", problems)
    for key in ("nodes", "hollow_nodes"):
        if key in given:
            made[key] = _typed(given[key], int, f"{prefix}.{key}", problems)
    for slug in (slug for slug, why in made.get("suppress", {}).items() if not why.strip()):
        problems.append(f"{prefix}.suppress.{slug}: why? a reason was expected")
    if made.get("approval", "plan") not in APPROVALS:
        problems.append(f"{prefix}.approval is {made['approval']!r}: one of {', '.join(APPROVALS)} was expected")
    for text in made.get("halt", ()):
        if not made.get("prometheus") and not text.startswith(("http://", "https://", "file:")):
            problems.append(f"{prefix}.halt: {text!r} is PromQL, but {prefix}.prometheus names no server to ask")
    made.setdefault("kind", "kubernetes" if given.get("context") else "sandbox")
    if made["kind"] not in KINDS:
        problems.append(f"{prefix}.kind is {made['kind']!r}: one of {', '.join(KINDS)} was expected")
    if made["kind"] == "kubernetes" and not given.get("server"):
        problems.append(f"{prefix}.server is missing: the API server that context {given.get('context')!r} must really point at")
    return EnvironmentSettings(name=name, limits=_limits(given.get("limits", {}), limits, f"{prefix}.limits", problems), **made)


def _endpoint(given: Any, what: str, problems: list[str]) -> EndpointSettings:
    if isinstance(given, str):
        return EndpointSettings(where=given)
    if not isinstance(given, dict):
        problems.append(f"{what} is {given!r}: a URL, service/<namespace>/<name>:<port> or {{ url = …, service = … }} was expected")
        return EndpointSettings(where="")
    _unknown(given, ENDPOINT, f"{what}.", problems)
    if "://" not in str(given.get("url", "")):
        problems.append(f"{what}.url is {given.get('url')!r}: a URL was expected")
    service = str(given.get("service", ""))
    if service and (service.count("/") != 1 or not all(service.split("/"))):
        problems.append(f"{what}.service is {service!r}: '<namespace>/<name>' was expected")
    return EndpointSettings(where=str(given.get("url", "")), service=service)


def _limits(given: Any, inherited: Limits, prefix: str, problems: list[str]) -> Limits:
    if not isinstance(given, dict):
        problems.append(f"{prefix} is {given!r}: a table was expected")
        return inherited
    _unknown(given, TABLE_LIMITS, f"{prefix}.", problems)
    made: dict[str, Any] = {"pods": inherited.pods, "nodes": inherited.nodes, "zones": inherited.zones, "budget": inherited.budget}
    for key in ("pods", "nodes", "zones"):
        if key in given:
            made[key] = _tried(count_or_share, given[key], f"{prefix}.{key}", problems)
    if "budget" in given:
        made["budget"] = _tried(share, given["budget"], f"{prefix}.budget", problems)
    protect, opt_in = (tuple(map(str, _typed(given.get(key, []), list, f"{prefix}.{key}", problems))) for key in ("protect", "opt_in"))
    least = _tried(count_or_share, given["min_ready"], f"{prefix}.min_ready", problems) if "min_ready" in given else inherited.min_ready
    return Limits(
        **made,
        protect=tuple(dict.fromkeys((*inherited.protect, *protect))),
        opt_in=opt_in or inherited.opt_in,
        min_ready=least,
    )


def _tried(read: Any, value: Any, what: str, problems: list[str]) -> Any:
    try:
        return read(value, what=what)
    except UsageError as trouble:
        problems.append(trouble.message)
        return None


def _duration(value: Any, what: str, problems: list[str]) -> float:
    made = _tried(duration, value, what, problems)
    return float(made or 0.0)


def _mapping(table: Mapping[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    return dict(_typed(table.get(key, {}), dict, key, problems) or {})


def _typed(value: Any, kind: type, what: str, problems: list[str]) -> Any:
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    problems.append(f"{what} is {value!r}: {kind.__name__} was expected")
    return kind()


def _unknown(given: Mapping[str, Any], known: tuple[str, ...], prefix: str, problems: list[str]) -> None:
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            problems.append(f"unknown {prefix}{key}" + (f": did you mean {close[0]!r}?" if close else "") + f" Known: {', '.join(known)}")


def _whole(value: Any, origins: Mapping[str, str]) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise UsageError(f"seed is {value!r} (from {origins['seed']}): a whole number was expected") from None
