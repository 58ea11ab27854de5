"""
SLOs as a team has them already: OpenSLO v1 and Sloth (``prometheus/v1``) files, with their lines in every error.

Read when an experiment is written. What counts as a bad request is measured by the load here. The queries of such a file are asked of the
environment's Prometheus, where one is declared, and shown beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from chaosfw.definitions.located import Place, read_all
from chaosfw.errors import DefinitionError, UsageError
from chaosfw.model.slo import SLO, BurnRule, LatencyLimit, Queries

DAY = 86400.0
UNITS = {"m": 60.0, "h": 3600.0, "d": DAY, "w": 7 * DAY, "M": 30 * DAY, "Q": 90 * DAY, "Y": 365 * DAY}
"""Seconds of OpenSLO's duration shorthands. Months, quarters and years have no length of their own: these are the usual ones."""
SLOTH = (("page", 0.02, 3600.0), ("page", 0.05, 6 * 3600.0), ("ticket", 0.10, DAY), ("ticket", 0.10, 3 * DAY))
"""Sloth's default rules: severity, share of the budget, long window; the short one is a twelfth (its google-30d.yaml)."""


def slo_from(path: str | Path, *, name: str = "", requests_per_window: float = 0.0) -> SLO:
    """
    The SLO of an OpenSLO v1 or Sloth file; ``name`` says which, where there are several. Availability is the objective's target; an OpenSLO
    threshold objective (``op: lte``, a value in seconds) becomes a latency limit; burn-rate alerts become its rules.

    Raises DefinitionError with file and line, UsageError for a file or a name that is not there.
    """
    file = Path(path)
    try:
        text = file.read_text()
    except OSError as trouble:
        raise UsageError(
            f"slo_from: {file} can not be read: {trouble.strerror}", hint="relative paths start where pytest runs"
        ) from trouble
    documents = read_all(file, text)
    found = _found(documents)
    if not found:
        raise DefinitionError(str(file), ["has neither an OpenSLO v1 document of kind SLO nor a Sloth document (version: prometheus/v1)"])
    chosen = _chosen(found, name=name, file=file)
    made = chosen(requests_per_window)
    documents[0].problems.raise_any()
    return made


Make = Callable[[float], SLO]


def _found(documents: Sequence[Place]) -> dict[str, Make]:
    """By name, how each SLO of the file is made."""
    found: dict[str, Make] = {}
    for document in documents:
        if document.get("apiVersion") is not None and document.text("kind", default="") == "SLO":
            found[_name_of(document)] = _open_slo(document, documents)
        elif document.text("version", default="") == "prometheus/v1":
            for one in document.listed("slos"):
                found[one.text("name")] = _sloth(one)
    return found


def _chosen(found: dict[str, Make], *, name: str, file: Path) -> Make:
    if name in found:
        return found[name]
    if not name and len(found) == 1:
        return next(iter(found.values()))
    what = f"has no SLO {name!r}" if name else f"has {len(found)} SLOs"
    raise UsageError(f"slo_from: {file} {what}", hint="name= one of " + ", ".join(sorted(found)))


def _name_of(document: Place) -> str:
    metadata = document.get("metadata")
    return metadata.text("name") if metadata is not None else ""


# -- OpenSLO ---------------------------------------------------------------------------------------------------------------


def _open_slo(document: Place, documents: Sequence[Place]) -> Make:
    def make(requests_per_window: float) -> SLO:
        version = document.text("apiVersion")
        if version != "openslo/v1":
            (document.get("apiVersion") or document).problem(f"is {version!r}: openslo/v1 was expected")
        spec = document.get("spec")
        if spec is None:
            document.problem("has no 'spec'")
            return SLO(name=_name_of(document), availability=0.0)
        targets = spec.listed("objectives")
        if not targets:
            spec.problem("has no objectives")
        shares = [_target(one) for one in targets]
        limits = [_limit(one, share) for one, share in zip(targets, shares, strict=True)]
        plain = [share for share, limit in zip(shares, limits, strict=True) if limit is None]
        return SLO(
            name=_name_of(document),
            availability=max(plain or shares, default=0.0),
            latency=tuple(limit for limit in limits if limit is not None),
            window=_window(spec),
            requests_per_window=requests_per_window,
            alerts=tuple(rule for one in spec.listed("alertPolicies") for rule in _rules(one, documents)),
            queries=_ratio(spec, documents),
        )

    return make


def _target(objective: Place) -> float:
    """``target`` (a share) or ``targetPercent``."""
    if objective.get("targetPercent") is not None:
        share = _percent(objective.number("targetPercent", default=0.0))
    else:
        share = objective.number("target", default=-1.0)
    if not 0 < share < 1:
        objective.problem("has no target between 0 and 1 (or targetPercent between 0 and 100)")
        return 0.0
    return share


def _percent(value: float) -> float:
    """99.9 as 0.999, not as the float beside it."""
    return float(Decimal(repr(value)) / 100)


def _limit(objective: Place, share: float) -> LatencyLimit | None:
    """A threshold objective: so many requests at most so slow. The value is in seconds, as Prometheus has durations."""
    if objective.get("value") is None:
        return None
    if objective.text("op", default="lte") not in ("lte", "lt"):
        (objective.get("op") or objective).problem("is not lte or lt: a threshold that has to be exceeded is no latency limit")
    return LatencyLimit(quantile=share, limit=objective.number("value", default=0.0))


def _ratio(spec: Place, documents: Sequence[Place]) -> Queries | None:
    """Of a ratio metric whose parts are Prometheus queries; anything else has nothing that could be asked."""
    indicator = spec.get("indicator")
    whole = _referred(indicator, "metricRef", "SLI", documents) if indicator is not None else _named(spec, documents)
    inner = whole.get("spec") if whole is not None else None
    metric = inner.get("ratioMetric") if inner is not None else None
    if metric is None:
        return None
    found = {part: query for part in ("good", "bad", "total", "raw") if (query := _query(metric.get(part)))}
    if "raw" in found:
        return Queries(ratio=found["raw"]) if metric.text("rawType", default="success") == "failure" else None
    part = "good" if "good" in found else "bad"
    return Queries(**{part: found[part], "total": found["total"]}) if part in found and "total" in found else None


def _named(spec: Place, documents: Sequence[Place]) -> Place | None:
    return _referred(spec, "indicatorRef", "SLI", documents) if spec.get("indicatorRef") is not None else None


def _query(part: Place | None) -> str:
    source = part.get("metricSource") if part is not None else None
    inner = source.get("spec") if source is not None else None
    if source is None or inner is None or source.text("type", default="Prometheus").lower() != "prometheus":
        return ""
    return inner.text("query", default="")


def _window(spec: Place) -> float:
    windows = spec.listed("timeWindow")
    if not windows:
        spec.problem("has no timeWindow")
        return 30 * DAY
    return _duration(windows[0], "duration", default=30 * DAY)


def _duration(place: Place, key: str, *, default: float) -> float:
    found = place.get(key)
    if found is None:
        return default
    match = re.fullmatch(r"(\d+)([mhdwMQY])", str(found.value))
    if match is None:
        found.problem(f"is {found.value!r}: a duration shorthand such as 28d, 4w or 1h was expected")
        return default
    return int(match[1]) * UNITS[match[2]]


def _rules(policy: Place, documents: Sequence[Place]) -> list[BurnRule]:
    """Of an alert policy, inline or by reference; its conditions likewise. What is no burn rate is another kind of alert."""
    whole = _referred(policy, "alertPolicyRef", "AlertPolicy", documents)
    spec = whole.get("spec") if whole is not None else None
    listed = spec.listed("conditions") if spec is not None else []
    conditions = [_referred(one, "conditionRef", "AlertCondition", documents) for one in listed]
    alert = _name_of(whole) if whole is not None and whole.get("metadata") is not None else ""
    return [rule for one in conditions if one is not None and (rule := _rule(one, alert=alert)) is not None]


def _referred(place: Place, reference: str, kind: str, documents: Sequence[Place]) -> Place | None:
    named = place.get(reference)
    if named is None:
        return place
    for document in documents:
        if document.text("kind", default="") == kind and _name_of(document) == named.value:
            return document
    named.problem(f"is {named.value!r}: there is no {kind} of that name in this file")
    return None


def _rule(condition: Place, *, alert: str) -> BurnRule | None:
    spec = condition.get("spec")
    inner = spec.get("condition") if spec is not None else None
    if spec is None or inner is None or inner.text("kind", default="") != "burnrate":
        return None
    if inner.text("op", default="gt") not in ("gt", "gte"):
        (inner.get("op") or inner).problem("is not gt or gte: a burn rate is too high, never too low")
    window = _duration(inner, "lookbackWindow", default=3600.0)
    return BurnRule(
        severity=spec.text("severity", default="page"),
        long=window,
        short=window,
        burn=inner.number("threshold", default=1.0),
        hold=_duration(inner, "alertAfter", default=0.0),
        alert=alert,
    )


# -- Sloth -----------------------------------------------------------------------------------------------------------------


def _sloth(one: Place) -> Make:
    def make(requests_per_window: float) -> SLO:
        objective = one.number("objective", default=-1.0)
        if not 0 < objective < 100:
            (one.get("objective") or one).problem("has no objective in per cent, between 0 and 100")
        window = 30 * DAY
        alerting = one.get("alerting")
        alert = alerting.text("name", default="") if alerting is not None else ""
        return SLO(
            name=one.text("name"),
            availability=_percent(objective),
            window=window,
            requests_per_window=requests_per_window,
            alerts=tuple(
                BurnRule(severity=severity, long=long, short=long / 12, burn=share * window / long, alert=alert)
                for severity, share, long in SLOTH
                if not _is_disabled(one, severity)
            ),
            queries=_events(one),
        )

    return make


def _events(one: Place) -> Queries | None:
    """``events`` or ``raw``; a plugin's queries are known to Sloth alone."""
    sli = one.get("sli")
    events, raw = (sli.get("events"), sli.get("raw")) if sli is not None else (None, None)
    if events is not None:
        return Queries(bad=events.text("error_query"), total=events.text("total_query"))
    return Queries(ratio=raw.text("error_ratio_query")) if raw is not None else None


def _is_disabled(one: Place, severity: str) -> bool:
    alerting = one.get("alerting")
    rule = alerting.get(f"{severity}_alert") if alerting is not None else None
    return rule is not None and rule.flag("disable")
