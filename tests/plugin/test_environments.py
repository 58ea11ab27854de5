"""What an environment declares changes how an experiment runs there, and not how it is written."""

from __future__ import annotations

import json

import pytest
import yaml

from chaosfw.sandbox import public as sandbox
from tests.plugin.conftest import SETTINGS, Workspace

LOGICAL = SETTINGS.replace("service/shop/", "service/store/") + 'namespaces = { store = "shop" }\n'
IN_STORE = """
web = k8s.deployment("myapp", namespace="store")
base = base.but("", steady_state=cf.Hypothesis("the shop serves", cf.http("shop", path="/health"), web.ready(at_least=2)))
"""


def test_an_experiment_runs_against_the_namespace_that_its_name_means_here(workspace: Workspace) -> None:
    workspace.write("pyproject.toml", LOGICAL)
    workspace.experiments(
        IN_STORE
        + """
@cf.experiment(base.but("survives", k8s.kill(web, count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""
    )
    ran = workspace.run()

    assert ran.code == 0, ran.output
    plan = ran.record()["plan"]
    assert {target["namespace"] for target in plan["bound"][0]["targets"]} == {"shop"}
    assert plan["experiment"]["method"][0]["select"]["workload"]["namespace"] == "shop"


def test_a_plan_shows_real_names_and_refuses_names_that_nobody_declared(workspace: Workspace) -> None:
    workspace.write("pyproject.toml", LOGICAL)
    workspace.experiments(
        IN_STORE
        + """
@cf.experiment(base.but("known", k8s.kill(web, count=1)))
def test_known(chaos: cf.Chaos) -> None: ...

@cf.experiment(base.but("unknown", k8s.kill(selector="app=myapp", namespace="storr")))
def test_unknown(chaos: cf.Chaos) -> None: ...
"""
    )
    ran = workspace.run("--chaos-plan")

    assert ran.code == 11, ran.output
    assert "namespace store is shop here" in ran.output
    assert "delete pod shop/myapp-" in ran.output
    assert "names namespace 'storr', which is not declared (allowed: store (here shop))" in ran.output
    assert "guards asked, none refuses" in ran.output
    assert "guards asked, REFUSED:\n    targets: " in ran.output, "a plan that is refused is shown with what refuses it"


def test_a_flag_narrows_a_limit_and_never_widens_one(workspace: Workspace) -> None:
    workspace.write("pyproject.toml", SETTINGS + "limits = { pods = 2 }\n")
    workspace.experiments(
        """
@cf.experiment(base.but("one", k8s.kill(web, count=1)))
def test_one(chaos: cf.Chaos) -> None: ...

@cf.experiment(base.but("two", k8s.kill(web, count=2)))
def test_two(chaos: cf.Chaos) -> None: ...
"""
    )
    ran = workspace.run("--chaos-plan", "--chaos-limit", "pods=34%", "--chaos-limit", "nodes=9")

    assert ran.code == 11, ran.output
    assert "1 skipped, 1 error" in ran.output
    assert "2 of 3 pods of deployment shop/myapp would be hit, allowed: 34 % = 1" in ran.output
    assert "warning: --chaos-limit nodes=9 would widen limits.nodes, which stays 1 (from default)" in ran.output


def test_workers_of_xdist_are_narrowed_too(workspace: Workspace) -> None:
    workspace.experiments("@cf.experiment(base.but('one', k8s.kill(web, count=1)))\ndef test_one(chaos: cf.Chaos) -> None: ...\n")

    ran = workspace.run("-n1", "--chaos-plan", "--chaos-limit", "pods=0")

    assert ran.code == 11, ran.output
    assert "1 of 3 pods of deployment shop/myapp would be hit, allowed: 0" in ran.output


def test_a_limit_that_is_none_is_a_usage_error(workspace: Workspace) -> None:
    workspace.experiments("@cf.experiment(base.but('one', k8s.kill(web, count=1)))\ndef test_one(chaos: cf.Chaos) -> None: ...\n")

    ran = workspace.run("--chaos-limit", "podz=1")

    assert ran.code == 4, ran.output
    assert "there is no limit 'podz', did you mean 'pods'?" in ran.output


def test_a_run_marks_what_it_changes_with_its_epoch_and_its_end(workspace: Workspace) -> None:
    workspace.experiments(
        """
@cf.experiment(base.but("drain", k8s.drain("node-1")))
def test_drain(chaos: cf.Chaos) -> None: ...
"""
    )
    first, second = workspace.run().record()["plan"], workspace.run().record()["plan"]

    marks = [json.loads(plan["bound"][0]["action"]["provider"]["arguments"]["marks"]["node-1"]) for plan in (first, second)]
    assert marks[0]["epoch"] < marks[1]["epoch"]
    assert marks[0]["expiry"] < marks[1]["expiry"]
    assert [mark["epoch"] for mark in marks] == [plan["bound"][0]["undo"][0]["epoch"] for plan in (first, second)]
    assert first["digest"] == second["digest"]


def as_a_real_cluster(cluster: sandbox.Sandbox, endpoint: str) -> str:
    """The sandbox declared as what it pretends to be: nobody counts connections there, and its services are reached by URL."""
    context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
    shop = endpoint.format(url=cluster.endpoint("myapp", namespace="shop", port=80))
    return (
        SETTINGS.replace('environment = "sandbox"', 'environment = "staging"')
        + f"""
[tool.chaosfw.environments.staging]
context = "{context}"
server = "{cluster.server}"
kubeconfig = "{cluster.kubeconfig}"
namespaces = {{ store = "shop" }}
endpoints.shop = {shop}
"""
    )


SILENT = """
base = base.but("", load=cf.Load("shop", rate=120, marker="x-nobody-says"))

@cf.experiment(base.but("survives", k8s.kill(k8s.deployment("myapp", namespace="store"), count=1)))
def test_kill(chaos: cf.Chaos) -> None:
    chaos.run()
"""


@pytest.mark.parametrize(
    ("endpoint", "how", "code"),
    [
        ('{{ url = "{url}", service = "store/myapp" }}', "inferred", 0),
        ('"{url}"', "", 10),
    ],
)
def test_exposure_is_inferred_where_the_service_is_declared(
    workspace: Workspace, cluster: sandbox.Sandbox, endpoint: str, how: str, code: int
) -> None:
    """The service does not say who answered, and nobody counts: its ready endpoints and enough connections do."""
    workspace.variables["XDG_STATE_HOME"] = str(workspace.path / "state")
    workspace.write("pyproject.toml", as_a_real_cluster(cluster, endpoint))
    workspace.experiments(SILENT)

    ran = workspace.run()

    record = ran.record()
    assert (ran.code, record["exposure"]["how"]) == (code, how), ran.output
    assert len(record["plan"]["exposed"]) == (3 if how else 0)


def test_a_declared_service_that_is_not_there_is_refused(workspace: Workspace, cluster: sandbox.Sandbox) -> None:
    workspace.variables["XDG_STATE_HOME"] = str(workspace.path / "state")
    workspace.write("pyproject.toml", as_a_real_cluster(cluster, '{{ url = "{url}", service = "store/nothing" }}'))
    workspace.experiments(SILENT)

    ran = workspace.run("--chaos-plan")

    assert ran.code == 11, ran.output
    assert "there is no Service 'nothing' in namespace 'shop'" in ran.output
