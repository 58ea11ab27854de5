"""Experiments whose load is somebody's own file: an ordinary locustfile and an ordinary k6 script, unchanged, on the real sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.conftest import ROOT, Workspace

K6 = {version: Path(f"~/.cache/chaosfw/bin/k6-{version}").expanduser() for version in ("1.8.1", "2.0.0", "2.0.0-chaosfw")}

LOCUSTFILE = (ROOT / "experiments" / "locustfile.py").read_text()
CLASSIC = (ROOT / "experiments" / "load-test.js").read_text()

ARRIVALS = """
import http from 'k6/http';

export const options = {
  scenarios: {
    shoppers: { executor: 'constant-arrival-rate', rate: 120, timeUnit: '1s', duration: '10m', preAllocatedVUs: %d },
  },
};

export default function () {
  http.get(__ENV.TARGET, { timeout: '1s' });
}
"""

ONE = """
@cf.experiment(base.but("The shop survives losing a pod", k8s.kill(web, count=1), load=%s%s))
def test_losing_a_pod(chaos):
    chaos.run()
"""


def k6_is(workspace: Workspace, version: str) -> None:
    settings = workspace.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.chaosfw]\n", f'[tool.chaosfw]\nk6 = "{K6[version]}"\n', 1))


def experiment(workspace: Workspace, load: str, claims: str = "") -> None:
    workspace.experiments(ONE % (load, f", {claims}" if claims else ""))


def test_an_ordinary_locustfile_is_a_closed_loop_of_which_times_are_claimed(workspace: Workspace) -> None:
    workspace.write("locustfile.py", LOCUSTFILE)
    experiment(workspace, "cf.locust('locustfile.py', at='shop', users=8, spawn_rate=8, timeout='1s')")

    ran = workspace.run()

    record = ran.record()
    load = record["load"]
    assert ran.verdicts() == ["held"], ran.output
    assert (load["generator"]["name"], load["generator"]["model"], load["generator"]["schedule"]) == ("locust", "closed", "listed")
    assert "sent in a closed loop" in record["judgement"]["sentence"]
    assert load["sealed"] and not load["broken"]
    assert load["total"]["intended"] > 300
    assert any(words.startswith("Locust's own summary") for words in load["seal"]["said"])


def test_the_same_file_on_a_schedule_decides_shares(workspace: Workspace) -> None:
    workspace.write("locustfile.py", LOCUSTFILE)
    experiment(workspace, "cf.locust('locustfile.py', at='shop', rate=120, timeout='1s')", "during_fault=[cf.availability('20%')]")

    ran = workspace.run()

    load = ran.record()["load"]
    assert ran.verdicts() == ["held"], ran.output
    assert (load["generator"]["model"], load["rate"]) == ("open", 120.0)
    assert load["total"]["intended"] == pytest.approx(120 * (load["off"] - load["generator"]["on"]) / 1e9, abs=3)


def test_shares_claimed_of_a_closed_loop_are_refused_with_what_to_do(workspace: Workspace) -> None:
    workspace.write("locustfile.py", LOCUSTFILE)
    experiment(workspace, "cf.locust('locustfile.py', at='shop', users=8)", "during_fault=[cf.availability('20%')]")

    ran = workspace.run()

    assert ran.verdicts() == ["refused"]
    assert "is claimed of a closed loop" in ran.output
    assert "rate=… sends on a schedule" in ran.output


def test_a_locustfile_that_can_not_be_imported_shows_its_traceback(workspace: Workspace) -> None:
    workspace.write("locustfile.py", "import no_such_shop\n")
    experiment(workspace, "cf.locust('locustfile.py', at='shop', users=8)")

    ran = workspace.run()

    assert ran.code != 0
    assert "the load generator 'locust' did not start" in ran.output
    assert "No module named 'no_such_shop'" in ran.output


@pytest.mark.parametrize("version", sorted(K6))
def test_the_classic_k6_script_is_a_closed_loop_of_which_times_are_claimed(workspace: Workspace, version: str) -> None:
    k6_is(workspace, version)
    workspace.write("load-test.js", CLASSIC)
    experiment(workspace, "cf.k6('load-test.js', at='shop', vus=8, timeout='1s')")

    ran = workspace.run()

    load = ran.record()["load"]
    assert ran.verdicts() == ["held"], ran.output
    assert (load["generator"]["name"], load["generator"]["version"], load["generator"]["model"]) == ("k6", version, "closed")
    assert any(words.startswith("check 'status was 200'") for words in load["seal"]["said"])


@pytest.mark.parametrize("version", sorted(K6))
def test_k6_sends_a_plain_load_on_the_same_schedule_as_the_prober(workspace: Workspace, version: str) -> None:
    k6_is(workspace, version)
    experiment(workspace, "cf.Load('shop', rate=120, driver='k6', timeout='1s')", "during_fault=[cf.availability('20%')]")

    ran = workspace.run()

    load = ran.record()["load"]
    assert ran.verdicts() == ["held"], ran.output
    assert (load["generator"]["model"], load["generator"]["version"]) == ("open", version)
    assert load["total"]["intended"] == pytest.approx(120 * (load["off"] - load["generator"]["on"]) / 1e9, abs=3)


def test_a_k6_script_with_arrivals_of_its_own_decides_shares(workspace: Workspace) -> None:
    k6_is(workspace, "2.0.0")
    workspace.write("arrivals.js", ARRIVALS % 150)
    experiment(workspace, "cf.k6('arrivals.js', at='shop', timeout='1s')", "during_fault=[cf.availability('20%')]")

    ran = workspace.run()

    assert ran.verdicts() == ["held"], ran.output
    assert ran.record()["load"]["generator"]["model"] == "open"


@pytest.mark.parametrize(
    ("script", "load", "words"),
    [
        (ARRIVALS % 20, "cf.k6('s.js', at='shop', timeout='1s')", "s.js has 20 preAllocatedVUs"),
        (ARRIVALS % 150, "cf.k6('s.js', at='shop', vus=4)", "declares scenarios of its own"),
        (CLASSIC, "cf.k6('s.js', at='shop')", "s.js does not say for how long it runs"),
        ("export default function () { nope(\n", "cf.k6('s.js', at='shop', vus=4)", "k6 can not read s.js"),
        (CLASSIC, "cf.k6('t.js', at='shop', vus=4)", "the k6 script 't.js' is not there"),
        (CLASSIC + "export const options = { vus: 3, duration: '1s' };\n", "cf.k6('s.js', at='shop')", "s.js runs for"),
    ],
)
def test_a_k6_script_that_will_not_do_is_refused_before_anything_is_touched(
    workspace: Workspace, script: str, load: str, words: str
) -> None:
    k6_is(workspace, "2.0.0")
    workspace.write("s.js", script)
    experiment(workspace, load)

    ran = workspace.run()

    assert ran.verdicts() == ["refused"], ran.output
    assert words in ran.output


def test_without_k6_the_refusal_says_how_to_get_it(workspace: Workspace) -> None:
    settings = workspace.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.chaosfw]\n", '[tool.chaosfw]\nk6 = "no/such/k6"\n', 1))
    experiment(workspace, "cf.Load('shop', rate=120, driver='k6')")

    ran = workspace.run()

    assert ran.verdicts() == ["refused"]
    assert "is no program" in ran.output
    assert "set-up/install-k6" in ran.output


@pytest.mark.parametrize(("missing", "code", "word"), [("refuse", 11, "REFUSED"), ("skip", 10, "it has not run")])
def test_where_k6_is_not_installed_it_is_refused_or_skipped(workspace: Workspace, missing: str, code: int, word: str) -> None:
    """A game day of nothing but skipped experiments proves nothing, and is not green."""
    settings = workspace.path / "pyproject.toml"
    settings.write_text(settings.read_text().replace("[tool.chaosfw]\n", '[tool.chaosfw]\nk6 = "nowhere/k6"\n', 1))
    experiment(workspace, f"cf.Load('shop', driver='k6', rate=120, missing={missing!r})")

    ran = workspace.run("-rs")

    assert (ran.code, word in ran.output) == (code, True), ran.output
