"""SLOs from the files that teams have: OpenSLO v1 and Sloth, with the line of every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

import chaosfw as cf
from chaosfw.definitions.slo_files import slo_from
from chaosfw.errors import DefinitionError, UsageError
from chaosfw.model.slo import SLO, BurnRule, LatencyLimit, Queries

OPEN = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: checkout
spec:
  service: shop
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - displayName: answered
      target: 0.999
    - displayName: quickly
      op: lte
      value: 0.3
      targetPercent: 95
  alertPolicies:
    - alertPolicyRef: on-call
    - kind: AlertPolicy
      metadata: { name: inline }
      spec:
        conditions:
          - kind: AlertCondition
            metadata: { name: slow }
            spec:
              severity: ticket
              condition: { kind: burnrate, op: gte, threshold: 1, lookbackWindow: 3d }
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata:
  name: on-call
spec:
  conditions:
    - conditionRef: fast
---
apiVersion: openslo/v1
kind: AlertCondition
metadata:
  name: fast
spec:
  severity: page
  condition:
    kind: burnrate
    op: gt
    threshold: 14.4
    lookbackWindow: 1h
    alertAfter: 5m
"""
SLOTH = """\
version: prometheus/v1
service: shop
slos:
  - name: requests
    objective: 99.9
    sli: { events: { error_query: a, total_query: b } }
    alerting: { name: Shop, ticket_alert: { disable: true } }
  - name: latency
    objective: 95
    sli: { events: { error_query: a, total_query: b } }
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "slo.yaml"
    path.write_text(text)
    return path


def test_an_openslo_with_its_alerts_inline_and_by_reference(tmp_path: Path) -> None:
    found = cf.slo_from(written(tmp_path, OPEN), requests_per_window=1e6)

    assert found == SLO(
        name="checkout",
        availability=0.999,
        latency=(LatencyLimit(quantile=0.95, limit=0.3),),
        window=28 * 86400.0,
        requests_per_window=1e6,
        alerts=(
            BurnRule(severity="page", long=3600.0, short=3600.0, burn=14.4, hold=300.0, alert="on-call"),
            BurnRule(severity="ticket", long=259200.0, short=259200.0, burn=1.0, alert="inline"),
        ),
    )


RATIO = """\
apiVersion: openslo/v1
kind: SLO
metadata: { name: checkout }
spec:
  %s
  objectives: [{ target: 0.999 }]
  timeWindow: [{ duration: 28d, isRolling: true }]
---
apiVersion: openslo/v1
kind: SLI
metadata: { name: answered }
spec: &spec
  ratioMetric:
    counter: true
    good: { metricSource: { type: Prometheus, spec: { query: "sum(ok)" } } }
    total: { metricSource: { type: %s, spec: { query: "sum(all)" } } }
"""


@pytest.mark.parametrize(
    ("where", "kind", "queries"),
    [
        ("indicatorRef: answered", "Prometheus", Queries(good="sum(ok)", total="sum(all)")),
        ("indicator: { metricRef: answered }", "Prometheus", Queries(good="sum(ok)", total="sum(all)")),
        ("indicatorRef: answered", "Datadog", None),
        ("description: none", "Prometheus", None),
    ],
)
def test_the_queries_of_a_ratio_metric_are_kept_for_prometheus(tmp_path: Path, where: str, kind: str, queries: Queries | None) -> None:
    assert slo_from(written(tmp_path, RATIO % (where, kind))).queries == queries


def test_one_of_several_of_sloth_with_its_own_rules(tmp_path: Path) -> None:
    found = slo_from(written(tmp_path, SLOTH), name="requests")

    assert (found.name, found.availability, found.window) == ("requests", 0.999, 30 * 86400.0)
    assert {one.alert for one in found.rules} == {"Shop"}
    assert found.queries == Queries(bad="a", total="b")
    assert [(one.severity, one.long, one.short, round(one.burn, 3)) for one in found.rules] == [
        ("page", 3600.0, 300.0, 14.4),
        ("page", 21600.0, 1800.0, 6.0),
    ]
    assert [one.severity for one in slo_from(written(tmp_path, SLOTH), name="latency").rules] == ["page", "page", "ticket", "ticket"]


@pytest.mark.parametrize("name", ["", "request"])
def test_which_one_has_to_be_said_where_there_are_several(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError) as raised:
        slo_from(written(tmp_path, SLOTH), name=name)

    assert raised.value.hint == "name= one of latency, requests"


@pytest.mark.parametrize(
    ("was", "becomes", "line", "says"),
    [
        ("openslo/v1\nkind: SLO", "openslo/v1alpha\nkind: SLO", 1, "openslo/v1 was expected"),
        ("duration: 4w", "duration: month", 8, "a duration shorthand such as 28d, 4w or 1h was expected"),
        ("target: 0.999", "target: 99.9", 12, "has no target between 0 and 1"),
        ("op: lte", "op: gte", 15, "is not lte or lt"),
        ("conditionRef: fast", "conditionRef: fats", 36, "there is no AlertCondition of that name in this file"),
        ("op: gt\n", "op: lt\n", 46, "is not gt or gte"),
        ("target: 0.999", "target: yes", 13, "a number was expected"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, was: str, becomes: str, line: int, says: str) -> None:
    path = written(tmp_path, OPEN.replace(was, becomes, 1))

    with pytest.raises(DefinitionError, match=says) as raised:
        slo_from(path)

    assert f"{path}:{line}: " in str(raised.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "can not be read"),
        ("title: an experiment", "neither an OpenSLO v1 document of kind SLO nor a Sloth document"),
        ("", "neither an OpenSLO v1 document"),
        ("version: prometheus/v1\nslos:\n  - name: x\n    objective: 0.999\n  - name: y\n    objective: 999\n", "has 2 SLOs"),
        ("version: prometheus/v1\nslos:\n  - name: x\n    objective: 999\n", "no objective in per cent"),
        ("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\n", "has no 'spec'"),
        ("apiVersion: openslo/v1\nkind: SLO\nmetadata: {name: x}\nspec: {}\n", "has no objectives"),
    ],
)
def test_what_is_no_slo_is_told(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        slo_from(written(tmp_path, text))


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="can not be read: No such file or directory"):
        slo_from("nowhere.yaml")
