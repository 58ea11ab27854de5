"""Runs as tests of alert rules: a real promtool, which is Prometheus' own engine, has to agree with what we say was due."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
import yaml

from chaosfw.model.load import Outcome
from chaosfw.model.slo import SLO, BurnRule
from chaosfw.reporting.promtool import exported
from tests.analysis.test_pages import run

PROMTOOL = Path("~/.cache/chaosfw/bin/promtool-0.316.0").expanduser()
"""Built by ``scripts/prometheus``."""

SLOW = SLO(name="shop", availability=0.99, scrape=2.0, evaluate=2.0)


def rule(**more: object) -> BurnRule:
    told: dict[str, object] = {"severity": "page", "long": 60.0, "short": 10.0, "burn": 10.0, "alert": "Burn"} | more
    return BurnRule(**told)  # type: ignore[arg-type]


def judged(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROMTOOL, "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True, check=False)


def test_promtool_agrees_about_any_outage(tmp_path: Path) -> None:
    """Sixty runs with an outage of some length and share, some rules with a ``for``: what is said to be due fires, the rest does not."""
    chance, said = random.Random(7), {"due": 0, "not due": 0, "borderline": 0}
    folders = []
    for number in range(60):
        share, length = chance.choice([0.05, 0.2, 0.5, 1.0]), chance.choice([0.2, 2, 8, 20])
        spells: list[tuple[float, Outcome]] = [(chance.uniform(5, 40), Outcome.ok)]
        spells += [(0.05, Outcome.http_5xx if chance.random() < share else Outcome.ok) for _ in range(int(length * 20))]
        series, grade = run(*spells, (chance.uniform(10, 40), Outcome.ok))
        one = rule(hold=chance.choice([0.0, 0.0, 6.0]), long=chance.choice([20.0, 60.0, 600.0]), burn=chance.choice([2.0, 10.0, 50.0]))
        made = exported(series, grade=grade, slo=SLO(**{**_fields(SLOW), "alerts": (one,)}), title=f"run {number}")
        said[made.expected[0].partition(": ")[2].partition(",")[0]] += 1
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "rules.yaml").write_text(made.rules)
        (folder / "test.yaml").write_text(made.test)
        folders.append(folder)

    wrong = [f"{folder.name}: {done.stdout}{done.stderr}" for folder in folders if (done := judged(folder)).returncode]

    assert wrong == []
    assert min(said["due"], said["not due"]) >= 10, said


def test_a_rule_that_can_never_be_true_is_left_out() -> None:
    series, grade = run((10, Outcome.ok), (10, Outcome.refused))
    made = exported(series, grade=grade, slo=SLO(**{**_fields(SLOW), "alerts": (rule(burn=200.0), rule())}), title="x")

    assert made.rules.count("alert:") == 1


def test_several_rules_of_one_alert_are_one_expectation() -> None:
    series, grade = run((30, Outcome.ok), (20, Outcome.refused), (10, Outcome.ok))
    both = (rule(), rule(long=6000.0, short=600.0, burn=90.0), rule(severity="ticket", burn=99.0, hold=600.0))
    made = exported(series, grade=grade, slo=SLO(**{**_fields(SLOW), "alerts": both}), title="x")

    assert [one.partition(":")[0] for one in made.expected] == ["Burn (page)", "Burn (ticket)"]
    assert made.expected[0].startswith("Burn (page): due, fires by")


def test_it_is_yaml_whatever_the_names_are(tmp_path: Path) -> None:
    series, grade = run((10, Outcome.ok), (10, Outcome.refused))
    slo = SLO(**{**_fields(SLOW), "name": 'of "us": #1', "alerts": (rule(alert='Burn "now"'),)})
    made = exported(series, grade=grade, slo=slo, title="a\nline: {x}")

    assert yaml.safe_load(made.rules)["groups"][0]["name"] == 'of "us": #1'
    assert len(yaml.safe_load(made.test)["tests"][0]["input_series"]) == 2


@pytest.mark.parametrize("every", [1.0, 7.5])
def test_a_value_a_scrape(every: float) -> None:
    series, grade = run((10, Outcome.ok), (10, Outcome.refused), (10, Outcome.ok))
    made = exported(series, grade=grade, slo=SLO(**{**_fields(SLOW), "scrape": every, "alerts": (rule(),)}), title="x")
    good, bad = (one["values"].split(" ") for one in yaml.safe_load(made.test)["tests"][0]["input_series"])

    assert len(good) == len(bad) == 30 / every + 1
    assert (good[0], bad[0]) == ("0", "0")
    assert (int(bad[-1]), int(good[-1])) == (200, 400)


def _fields(slo: SLO) -> dict[str, object]:
    return {name: getattr(slo, name) for name in slo.__struct_fields__}
