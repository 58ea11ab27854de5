"""
A run as a test of alert rules: the good and bad requests that were measured, as series for ``promtool test rules``, with what has to fire.

Called by ``chaosfw export``. A team changes its rules and sees in seconds what they would have made of the last game day. Expected is only
what is certain: a rule that was due under every phase of scrapes and evaluations, or under none (docs/protocols/measuring.md).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chaosfw.analysis.pages import fires, threshold
from chaosfw.analysis.samples import BAD, GOOD, Bytes, Series
from chaosfw.model.record import Due
from chaosfw.model.slo import SLO, BurnRule
from chaosfw.timing import NANOSECONDS

METRIC = "chaosfw_requests_total"
ALERT = "ErrorBudgetBurn"
"""Of a rule that names none."""
LOOKS = 5
"""Instants at which a rule that was not due is asked for."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Two files; ``rules`` is empty where the user's own are tested."""

    rules: str
    test: str
    expected: tuple[str, ...]
    """What is expected of each rule, in words."""


def exported(
    series: Series, *, grade: Bytes, slo: SLO, title: str, rule_files: Sequence[str] = (), good: str = "", bad: str = ""
) -> Exported:
    """
    ``rule_files``: the user's own, instead of those that the SLO's rules become. ``good`` and ``bad`` name the series that they look at, as
    ``http_requests_total{code="200"}``; several rules of one alert and severity are one expectation.
    """
    rules = [rule for rule in slo.rules if threshold(slo, rule) < 1]
    groups = dict.fromkeys((rule.alert or ALERT, rule.severity) for rule in rules)
    tests, words = [], []
    for name, severity in groups:
        mine = [rule for rule in rules if (rule.alert or ALERT, rule.severity) == (name, severity)]
        due, at = _together(series, grade=grade, slo=slo, rules=mine)
        words.append(f"{name} ({severity}): {due}" + (f", fires by {at:.0f} s" if due is Due.due else ""))
        tests += _expected(name, severity, due=due, at=at, slo=slo, length=_length(series), own=bool(rule_files))
    return Exported(
        rules="" if rule_files else _rules(slo, rules),
        test=_test(series, grade=grade, slo=slo, title=title, files=rule_files or ["rules.yaml"], tests=tests, good=good, bad=bad),
        expected=tuple(words),
    )


def _together(series: Series, *, grade: Bytes, slo: SLO, rules: Sequence[BurnRule]) -> tuple[Due, float]:
    """Of several rules that are one alert: due when one is, not due when none can be."""
    found = [fires(series, grade=grade, slo=slo, rule=rule) for rule in rules]
    if due := [at for what, at in found if what is Due.due and at is not None]:
        return Due.due, min(due)
    return (Due.not_due if all(what is Due.not_due for what, _ in found) else Due.borderline), 0.0


def _expected(name: str, severity: str, *, due: Due, at: float, slo: SLO, length: float, own: bool) -> list[str]:
    if due is Due.borderline:
        return [f"      # {name} ({severity}) is borderline: whether it fires depends on when scrapes and evaluations fall"]
    times = [at] if due is Due.due else [length * (number + 1) / LOOKS for number in range(LOOKS)]
    step = slo.evaluate
    labels = f"[{{exp_labels: {{severity: {json.dumps(severity)}}}}}]" if due is Due.due else "[]"
    note = "  # the labels of your own rule may be others" if own and due is Due.due else ""
    rounded = [_time(math.ceil(one / step) * step) for one in times]
    return [f"      - {{eval_time: {one}, alertname: {json.dumps(name)}, exp_alerts: {labels}}}{note}" for one in rounded]


def _rules(slo: SLO, rules: Sequence[BurnRule]) -> str:
    lines = ["groups:", f"  - name: {json.dumps(slo.name)}", f"    interval: {_time(slo.evaluate)}", "    rules:"]
    for rule in rules:
        parts = [f"({_share(window)} > {threshold(slo, rule):.12g})" for window in (rule.long, rule.short)]
        lines += [
            f"      - alert: {json.dumps(rule.alert or ALERT)}",
            f"        expr: {' and '.join(parts)}",
            *([f"        for: {_time(rule.hold)}"] if rule.hold else []),
            f"        labels: {{severity: {json.dumps(rule.severity)}}}",
        ]
    return "\n".join([*lines, ""])


def _share(window: float) -> str:
    over = f"[{_time(window)}]"
    return f'sum(increase({METRIC}{{outcome="bad"}}{over})) / sum(increase({METRIC}{over}))'


def _test(series: Series, *, grade: Bytes, slo: SLO, title: str, files: Sequence[str], tests: Sequence[str], good: str, bad: str) -> str:
    ticks = np.arange(math.ceil(_length(series) / slo.scrape) + 1) * round(slo.scrape * NANOSECONDS) + series.on
    places = np.searchsorted(series.due, ticks)
    names = {GOOD: good or f'{METRIC}{{outcome="good"}}', BAD: bad or f'{METRIC}{{outcome="bad"}}'}
    lines = [
        f"# {title}: what was measured, one value a scrape, from the first request on. promtool test rules test.yaml".replace("\n", " "),
        f"rule_files: {json.dumps(list(files))}",
        f"evaluation_interval: {_time(slo.evaluate)}",
        "tests:",
        f"  - interval: {_time(slo.scrape)}",
        "    input_series:",
    ]
    for which, name in names.items():
        counts = np.concatenate(([0], np.cumsum(grade == which)))[places].tolist()
        lines += [f"      - series: {json.dumps(name)}", f"        values: {json.dumps(' '.join(str(one) for one in counts))}"]
    return "\n".join([*lines, "    alert_rule_test:" + ("" if any("eval_time" in one for one in tests) else " []"), *tests, ""])


def _length(series: Series) -> float:
    return float(series.due[-1] - series.on) / NANOSECONDS if len(series.due) else 0.0


def _time(value: float) -> str:
    """A Prometheus duration."""
    return f"{round(value * 1000)}ms"
