"""The kubelet's pure parts: back-off, thresholds, phases, image names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaosfw.sandbox.addresses import HostPort
from chaosfw.sandbox.kubelet.back_off import BackOff
from chaosfw.sandbox.kubelet.environment import expand, service_variables
from chaosfw.sandbox.kubelet.images import Images, full_name, without_tag
from chaosfw.sandbox.kubelet.probing import Answer, Probe, Target, ask
from chaosfw.sandbox.kubelet.status import Observed, pod_status, quality_of_service


def test_back_off_doubles_to_five_minutes() -> None:
    back_off = BackOff()

    assert [back_off.after_exit(ran=1) for _ in range(8)] == [0, 10, 20, 40, 80, 160, 300, 300]


def test_back_off_forgives_after_ten_minutes() -> None:
    back_off = BackOff()
    for _ in range(4):
        back_off.after_exit(ran=1)

    assert back_off.after_exit(ran=600) == 0
    assert back_off.after_exit(ran=1) == 10


async def _never(command: tuple[str, ...], timeout: float) -> tuple[int, str]:
    raise TimeoutError


def _nobody(port: int | str) -> HostPort:
    raise LookupError(f"no port {port}")


@pytest.mark.parametrize(
    ("spec", "starts", "answers", "verdicts"),
    [
        ({}, True, "++---+", {4: False, 5: True}),
        ({"failureThreshold": 1}, True, "-+-", {0: False, 1: True, 2: False}),
        ({"successThreshold": 2}, False, "+-++-", {3: True}),
        ({"failureThreshold": 2}, None, "--", {1: False}),
        ({}, False, "--", {}),
    ],
)
def test_thresholds_count_answers_in_a_row(spec: dict[str, int], starts: bool | None, answers: str, verdicts: dict[int, bool]) -> None:
    probe = Probe(spec, target=Target(at=_nobody, execute=_never), starts_good=starts, awake=asyncio.Event())

    weighed = [probe._weigh(Answer(answer == "+")) for answer in answers]

    assert {number: verdict for number, verdict in enumerate(weighed) if verdict is not None} == verdicts


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({"httpGet": {"port": "web"}}, "no port web"),
        ({"tcpSocket": {"port": 1}}, "no port 1"),
        ({"exec": {"command": ["x"]}, "timeoutSeconds": 1}, "command timed out after 1s"),
    ],
)
def test_whatever_goes_wrong_is_a_bad_answer(spec: dict[str, Any], text: str) -> None:
    answer = asyncio.run(ask(spec, Target(at=_nobody, execute=_never)))

    assert (answer.good, text in answer.text) == (False, True)


RUNNING: dict[str, Any] = {"running": {}}
WAITING: dict[str, Any] = {"waiting": {}}


def ended(code: int) -> dict[str, Any]:
    return {"terminated": {"exitCode": code}}


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [WAITING], "Pending"),
        ("Always", [RUNNING, WAITING], "Running"),
        ("Always", [ended(1)], "Running"),
        ("OnFailure", [ended(1)], "Running"),
        ("OnFailure", [ended(0), ended(0)], "Succeeded"),
        ("Never", [ended(0), RUNNING], "Running"),
        ("Never", [ended(0), ended(1)], "Failed"),
    ],
)
def test_the_phase_follows_from_the_containers(policy: str, states: list[dict[str, Any]], phase: str) -> None:
    main = [{"name": f"c{i}", "state": state, "ready": state is RUNNING} for i, state in enumerate(states)]

    status = pod_status(seen(policy, main))

    assert status["phase"] == phase


def test_conditions_keep_the_time_of_their_last_change() -> None:
    main = [{"name": "c", "state": RUNNING, "ready": True}]
    before = [
        {"type": kind, "status": status, "lastTransitionTime": "then"} for kind, status in (("Initialized", "True"), ("Ready", "False"))
    ]

    conditions = {c["type"]: c for c in pod_status(seen("Always", main, before=before))["conditions"]}

    assert conditions["Initialized"]["lastTransitionTime"] == "then"
    assert conditions["Ready"]["lastTransitionTime"] == "now"


def test_a_readiness_gate_holds_ready_back() -> None:
    main = [{"name": "c", "state": RUNNING, "ready": True}]
    gate = {"readinessGates": [{"conditionType": "example.com/gate"}]}
    closed = {c["type"]: c["status"] for c in pod_status(seen("Always", main, **gate))["conditions"]}
    passed = [{"type": "example.com/gate", "status": "True"}]
    opened = {c["type"]: c["status"] for c in pod_status(seen("Always", main, before=passed, **gate))["conditions"]}

    assert (closed["ContainersReady"], closed["Ready"], opened["Ready"]) == ("True", "False", "True")


def seen(policy: str, main: list[dict[str, Any]], *, before: list[dict[str, Any]] | None = None, **spec: Any) -> Observed:
    pod = {"metadata": {"name": "p"}, "spec": {"restartPolicy": policy, "containers": [{"name": "c"}], **spec}}
    return Observed(
        pod=pod,
        init=[],
        main=main,
        initialized=True,
        sandbox_made=True,
        pod_ip="10.244.0.2",
        host_ip="10.89.0.10",
        started_at="start",
        before=before or [],
        now="now",
    )


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], quality: str) -> None:
    assert quality_of_service({"containers": [{"resources": resources}]}) == quality


@pytest.mark.parametrize("image", ["acme/web", "acme/web:1.2", "acme/web@sha256:00", "acme/web:1.2@sha256:00"])
def test_an_image_is_found_with_and_without_its_tag(image: str) -> None:
    assert Images({"acme/web": "python -m shop.web --fast"}).entrypoint(image) == ("python", "-m", "shop.web", "--fast")


def test_an_exact_image_wins_and_an_unknown_one_has_no_command() -> None:
    images = Images({"acme/web": "old", "acme/web:2": "new", "registry:5000/web": "ported"})

    assert images.entrypoint("acme/web:2") == ("new",)
    assert images.entrypoint("registry:5000/web:1") == ("ported",)
    assert images.entrypoint("other") is None


def test_image_names_are_written_out() -> None:
    assert full_name("web") == "docker.io/library/web:latest"
    assert full_name("acme/web:1") == "docker.io/acme/web:1"
    assert full_name("registry:5000/web") == "registry:5000/web:latest"
    assert without_tag("registry:5000/web") == "registry:5000/web"


def test_references_in_variables() -> None:
    assert expand("$(A) $$(A) $(B) $A", {"A": "x"}) == "x $(A) $(B) $A"


def test_services_are_announced_as_kubernetes_does() -> None:
    found = service_variables({"my-app": [("http", HostPort("127.1.129.2", 20080)), ("admin", HostPort("127.1.129.2", 9000))]})

    assert found["MY_APP_SERVICE_HOST"] == "127.1.129.2"
    assert (found["MY_APP_SERVICE_PORT"], found["MY_APP_SERVICE_PORT_HTTP"], found["MY_APP_SERVICE_PORT_ADMIN"]) == (
        "20080",
        "20080",
        "9000",
    )
    assert found["MY_APP_PORT_9000_TCP"] == "tcp://127.1.129.2:9000"
