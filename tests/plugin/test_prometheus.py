"""A real Prometheus that finds the sandbox's pods by Kubernetes service discovery, beside real runs: what it saw is in the record."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from chaosfw.sandbox import public as sandbox
from tests.load.conftest import closed_port
from tests.plugin.conftest import Workspace

VERSION = "0.316.0"
PROMETHEUS = Path(f"~/.cache/chaosfw/bin/prometheus-{VERSION}").expanduser()
PROMTOOL = PROMETHEUS.with_name(f"promtool-{VERSION}")
"""Built by ``scripts/prometheus``."""

CONFIG = """
global: {{scrape_interval: 500ms, evaluation_interval: 200ms, scrape_timeout: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - job_name: shop
    proxy_url: {proxy}
    kubernetes_sd_configs:
      - role: pod
        api_server: {server}
        namespaces: {{names: [shop]}}
        authorization: {{credentials: {token}}}
        tls_config: {{ca_file: {ca}}}
    relabel_configs:
      - {{source_labels: [__meta_kubernetes_pod_label_app], regex: myapp, action: keep}}
      - {{source_labels: [__meta_kubernetes_pod_name], target_label: pod}}
"""
RULES = """
groups:
  - name: shop
    rules:
      - {alert: ShopDown, expr: 'absent(up{job="shop"} == 1)', labels: {severity: page}}
      - {alert: PodMissing, expr: '(count(up{job="shop"} == 1) or vector(0)) < 3', labels: {severity: ticket}}
      - {alert: Always, expr: 'vector(1)', labels: {severity: info}}
"""


class Server:
    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str) -> list[dict[str, Any]]:
        with urlopen(f"{self.url}/api/v1/query?{urlencode({'query': query})}", timeout=5) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def until(self, query: str, value: str, within: float = 60.0) -> None:
        """Until the query answers with that: Prometheus looks when it looks."""
        end = time.monotonic() + within
        while True:
            try:
                if [one["value"][1] for one in self.ask(query)] == [value]:
                    return
            except (URLError, ConnectionError):
                pass
            assert time.monotonic() < end, query


@pytest.fixture(scope="module")
def prometheus(cluster: sandbox.Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("prometheus"), closed_port()
    (folder / "rules.yml").write_text(RULES)
    settings = {"server": cluster.server, "token": cluster.token, "ca": cluster.ca, "rules": folder / "rules.yml", "proxy": cluster.proxy}
    (folder / "prometheus.yml").write_text(CONFIG.format(**settings))
    words = [PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*words, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    server = Server(f"http://127.0.0.1:{port}")
    try:
        server.until('count(up{job="shop"} == 1)', "3")
        yield server
    finally:
        process.terminate()
        process.wait()


def sandbox_has(workspace: Workspace, *lines: str) -> None:
    settings = workspace.path / "pyproject.toml"
    settings.write_text("\n".join([settings.read_text().rstrip(), *lines, ""]))


def goes_down(workspace: Workspace, *lines: str) -> None:
    sandbox_has(workspace, 'limits = { pods = "100%" }', *lines)
    workspace.experiments(DOWN)


DOWN = """
slo = cf.SLO(
    "shop", availability="99%",
    alerts=[cf.burn("page", rate=10, long="1m", short="2s", alert="ShopDown"), cf.burn("page", rate=10, long="1m", alert="NotThere"),
            cf.burn("ticket", rate=90, long="20m", short="10m", hold="10m", alert="PodMissing")],
    scrape="500ms", evaluate="200ms",
    promql={"good": 'sum(increase(app_requests_total{job="shop"}[{{.window}}]))',
            "total": 'sum(increase(app_requests_total{job="shop"}[{{.window}}]))'
                     ' + sum(increase(app_errors_total{job="shop"}[{{.window}}]))'},
)


@cf.experiment(base.but("The shop goes down", k8s.scale(web, 0), slo=slo, baseline="4s", lasts="4s", recover_within="20s"))
def test_down(chaos):
    chaos.run()
"""


def test_alerts_that_fired_stand_beside_those_that_were_due(workspace: Workspace, prometheus: Server) -> None:
    goes_down(workspace, f'prometheus = "{prometheus.url}"')

    ran = workspace.run()

    record = ran.record()
    alerts = {one["name"]: one for one in record["alerts"]}
    assert record["monitored"] == prometheus.url, ran.output
    assert record["unmonitored"] == ""
    down, missing, absent, always = (alerts[name] for name in ("ShopDown", "PodMissing", "NotThere", "Always"))
    assert (down["here"], down["severity"], down["times"]) == ("due", "page", 1)
    assert 0 < down["fired_after"] < down["ended_after"]
    assert (missing["here"], missing["fired_after"] is None) == ("not due", False)
    assert (absent["here"], absent["fired_after"]) == ("due", None)
    assert (always["before"], always["here"]) == (True, None)
    marks = [one["what"] for one in record["marks"] if one["kind"] == "alert"]
    assert {"ShopDown fires", "ShopDown fired last"} <= set(marks)
    readings = {one["phase"]: one for one in record["readings"]}
    assert readings["baseline"]["good"] == 1.0
    assert readings["baseline"]["total"] > 50
    page = (ran.folder / "reports" / "latest" / "report.html").read_text()
    assert "fired, as it was due" in page
    assert "was due, and did not fire" in page
    assert "fired, and was not due" in page
    assert "Share of good requests, as Prometheus counts it" in page


def test_a_prometheus_that_does_not_answer_costs_a_table_and_no_verdict(workspace: Workspace) -> None:
    sandbox_has(workspace, f'prometheus = "http://127.0.0.1:{closed_port()}"')
    workspace.experiments('@cf.experiment(base.but("One", k8s.kill(web, count=1)))\ndef test_one(chaos):\n    chaos.run()\n')

    ran = workspace.run()

    record = ran.record()
    assert ran.verdicts() == ["held"], ran.output
    assert "does not answer" in record["unmonitored"]
    assert record["alerts"] == []


def test_a_run_is_exported_and_promtool_agrees(workspace: Workspace, prometheus: Server) -> None:
    goes_down(workspace)
    ran = workspace.run()
    (folder,) = (ran.folder / "reports" / "latest" / "runs").glob("[0-9]*")

    told = workspace.command("export", str(folder), "--out", "rules-test")
    judged = subprocess.run([PROMTOOL, "test", "rules", "test.yaml"], cwd=workspace.path / "rules-test", capture_output=True, text=True)

    assert told.code == 0, told.output
    assert "ShopDown (page): due, fires by" in told.output
    assert "PodMissing (ticket): not due" in told.output
    assert judged.returncode == 0, judged.stdout + judged.stderr
    broken = workspace.path / "rules-test" / "rules.yaml"
    broken.write_text(broken.read_text().replace("> 0.1)", "> 5)"))
    again = subprocess.run([PROMTOOL, "test", "rules", "test.yaml"], cwd=workspace.path / "rules-test", capture_output=True, text=True)
    assert again.returncode != 0
    assert "ShopDown" in again.stdout + again.stderr


def test_rules_of_ones_own_are_tested_on_ones_own_series(workspace: Workspace, prometheus: Server) -> None:
    goes_down(workspace)
    ran = workspace.run()
    (folder,) = (ran.folder / "reports" / "latest" / "runs").glob("[0-9]*")
    workspace.write(
        "alerts/mine.yaml",
        "groups:\n  - name: mine\n    rules:\n      - alert: ShopDown\n        labels: {severity: page}\n"
        '        expr: sum(rate(http_requests_total{code="500"}[2s])) / sum(rate(http_requests_total[2s])) > 0.5\n',
    )
    series = ["--good", 'http_requests_total{code="200"}', "--bad", 'http_requests_total{code="500"}']

    told = workspace.command("export", str(folder), "--rules", "alerts/mine.yaml", *series)
    text = (workspace.path / "promtool" / "test.yaml").read_text()

    assert told.code == 0, told.output
    assert '"../alerts/mine.yaml"' in text
    assert not (workspace.path / "promtool" / "rules.yaml").exists()
    assert r"http_requests_total{code=\"500\"}" in text
    one = "\n".join(line for line in text.splitlines() if "eval_time" not in line or "ShopDown" in line)
    (workspace.path / "promtool" / "test.yaml").write_text(one + "\n")
    judged = subprocess.run([PROMTOOL, "test", "rules", "test.yaml"], cwd=workspace.path / "promtool", capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout + judged.stderr


@pytest.mark.parametrize("arguments", [["nowhere"], ["{run}", "--good", "a"], ["{run}", "--good", "a", "--bad", "b"]])
def test_what_can_not_be_exported_is_told(workspace: Workspace, arguments: list[str]) -> None:
    workspace.experiments('@cf.experiment(base.but("One", k8s.kill(web, count=1)))\ndef test_one(chaos):\n    chaos.run()\n')
    run = "nowhere"
    if arguments[0] != "nowhere":
        (found,) = (workspace.run().folder / "reports" / "latest" / "runs").glob("[0-9]*")
        run = str(found)

    told = workspace.command("export", *(one.format(run=run) for one in arguments))

    assert told.code != 0
    assert "hint:" in told.output or "no slo" in told.output
