"""`chaosfw reap` outside and inside a pod. What it does there is tests/plugin/test_reaper.py's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaosfw.assembly.inside import MOUNT, VOLUMES, kubeconfig
from chaosfw.cli.main import main
from chaosfw.errors import UsageError

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    (tmp_path / "token").write_text("secret")
    return tmp_path


def test_a_pod_has_credentials_of_its_own(mount: Path) -> None:
    """The token's path, not the token: the kubelet renews it."""
    made = kubeconfig({**POD, VOLUMES: json.dumps({MOUNT: str(mount)})})

    assert made["clusters"][0]["cluster"] == {"server": "https://10.96.0.1:443", "certificate-authority": str(mount / "ca.crt")}
    assert made["users"][0]["user"] == {"tokenFile": str(mount / "token")}
    assert "secret" not in json.dumps(made)


def test_an_address_of_ipv6_is_written_as_urls_have_it(mount: Path) -> None:
    made = kubeconfig({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1", VOLUMES: json.dumps({MOUNT: str(mount)})})

    assert made["clusters"][0]["cluster"]["server"] == "https://[fd00::1]:443"


@pytest.mark.parametrize("variables", [{}, POD])
def test_elsewhere_a_kubeconfig_has_to_be_named(variables: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="not a pod with a service account"):
        kubeconfig(variables)


def test_a_tired_person_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    assert main(["reap"]) == 2

    assert "hint: deploy/reaper/ runs it as one; elsewhere: --kubeconfig FILE" in capsys.readouterr().err
