"""
Settings with their origins: ``[tool.chaosfw]`` in ``pyproject.toml``, then ``CHAOSFW_*``, then ``--chaos-*``.

Variables and flags choose an environment and may narrow limits; they never widen them. Every problem of the table is reported
at once. Read by the doors, used by ``assembly``; opens nothing but the one file.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaosfw.errors import DefinitionError, UsageError
from chaosfw.model.environment import Limits
from chaosfw.quantities import count_or_share, duration, share

DURATIONS = ("baseline", "lasts", "stable_for", "recover_within", "probe_every")
"""Names that ``defaults`` may set, all durations."""

TABLE = ("environment", "defaults", "limits", "environments", "reports", "seed", "lock_timeout")
ENVIRONMENT = (
    "kind", "manifests", "images", "endpoints", "nodes", "zones", "profile", "context", "server", "kubeconfig", "namespaces", "limits",
    "accept_manual_heal", "identity", "halt", "prometheus",
)  # fmt: skip
KINDS = ("sandbox", "kubernetes")
LIMITS = ("pods", "nodes", "zones", "budget", "protect")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentSettings:
    """One declared environment. ``kind`` is ``sandbox``, or ``kubernetes`` when a ``context`` is named."""

    name: str
    kind: str = "sandbox"
    manifests: tuple[str, ...] = ()
    """Globs, relative to the rootdir; applied to a sandbox."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Image name to command, for a sandbox; every other image runs the stand-in app."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Name to URL, or to ``service/<namespace>/<name>:<port>`` which the environment resolves."""
    nodes: int = 3
    zones: tuple[str, ...] = ("zone-a", "zone-b", "zone-c")
    profile: str = "fast"
    context: str = ""
    server: str = ""
    """What the context must really point at; refused otherwise."""
    kubeconfig: str = ""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    identity: str = ""
    """UID of the kube-system namespace; refused when the cluster says another."""
    accept_manual_heal: str = ""
    """Reason for which a real environment without an in-cluster way back is accepted; printed in the report."""
    halt: tuple[str, ...] = ()
    """What ends a run at once: PromQL that has a result, a URL that does not answer 200, ``file:PATH`` that is there."""
    prometheus: str = ""
    """URL of the Prometheus that PromQL is asked of."""
    limits: Limits = field(default_factory=Limits)


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
    origins: Mapping[str, str] = field(default_factory=dict)

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
    return Settings(
        rootdir=rootdir,
        environment=str(chosen.get("environment", "sandbox")),
        environments=environments,
        defaults=defaults,
        reports=rootdir / str(chosen.get("reports", "reports")),
        seed=_whole(chosen.get("seed"), origins),
        lock_timeout=duration(chosen.get("lock_timeout", 600.0), what="lock_timeout"),
        origins=origins,
    )


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
    )


def _stricter(wide: float | None, narrow: float | None) -> Any:
    if wide is None or narrow is None:
        return narrow if wide is None else wide
    if isinstance(wide, int) != isinstance(narrow, int):
        return narrow if narrow == 0 else wide
    return min(wide, narrow)


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
    for name in ("environment", "reports", "seed", "lock_timeout"):
        variable = f"CHAOSFW_{name.upper()}"
        flag = f"--chaos-{name.replace('_', '-')}"
        for value, origin in ((table.get(name), where), (variables.get(variable) or None, variable), (flags.get(name), flag)):
            if value is not None:
                chosen[name], origins[name] = value, origin
        origins.setdefault(name, "default")
    return chosen, origins


def _environment(name: str, given: Any, limits: Limits, problems: list[str]) -> EnvironmentSettings:
    prefix = f"environments.{name}"
    if not isinstance(given, dict):
        problems.append(f"{prefix} is {given!r}: a table was expected")
        return EnvironmentSettings(name=name)
    _unknown(given, ENVIRONMENT, f"{prefix}.", problems)
    made: dict[str, Any] = {}
    for key in ("context", "server", "kubeconfig", "identity", "accept_manual_heal", "profile", "kind", "prometheus"):
        if key in given:
            made[key] = _typed(given[key], str, f"{prefix}.{key}", problems)
    for key in ("manifests", "zones", "halt"):
        if key in given:
            made[key] = tuple(str(one) for one in _typed(given[key], list, f"{prefix}.{key}", problems) or [])
    for key in ("images", "endpoints", "namespaces"):
        if key in given:
            made[key] = {str(one): str(value) for one, value in (_typed(given[key], dict, f"{prefix}.{key}", problems) or {}).items()}
    if "nodes" in given:
        made["nodes"] = _typed(given["nodes"], int, f"{prefix}.nodes", problems)
    for text in made.get("halt", ()):
        if not made.get("prometheus") and not text.startswith(("http://", "https://", "file:")):
            problems.append(f"{prefix}.halt: {text!r} is PromQL, but {prefix}.prometheus names no server to ask")
    made.setdefault("kind", "kubernetes" if given.get("context") else "sandbox")
    if made["kind"] not in KINDS:
        problems.append(f"{prefix}.kind is {made['kind']!r}: one of {', '.join(KINDS)} was expected")
    if made["kind"] == "kubernetes" and not given.get("server"):
        problems.append(f"{prefix}.server is missing: the API server that context {given.get('context')!r} must really point at")
    return EnvironmentSettings(name=name, limits=_limits(given.get("limits", {}), limits, f"{prefix}.limits", problems), **made)


def _limits(given: Any, inherited: Limits, prefix: str, problems: list[str]) -> Limits:
    if not isinstance(given, dict):
        problems.append(f"{prefix} is {given!r}: a table was expected")
        return inherited
    _unknown(given, LIMITS, f"{prefix}.", problems)
    made: dict[str, Any] = {"pods": inherited.pods, "nodes": inherited.nodes, "zones": inherited.zones, "budget": inherited.budget}
    for key in ("pods", "nodes", "zones"):
        if key in given:
            made[key] = _tried(count_or_share, given[key], f"{prefix}.{key}", problems)
    if "budget" in given:
        made["budget"] = _tried(share, given["budget"], f"{prefix}.budget", problems)
    protect = tuple(str(one) for one in _typed(given.get("protect", []), list, f"{prefix}.protect", problems))
    return Limits(**made, protect=tuple(dict.fromkeys((*inherited.protect, *protect))))


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
