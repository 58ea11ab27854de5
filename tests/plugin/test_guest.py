"""The plugin is a guest: a test run without experiments must not notice it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("arguments", [[], ["-n", "2"], ["--collect-only"]])
def test_a_strangers_run_gets_no_folder_and_no_imports(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.chaosfw]\nnonsense = true\n")
    (tmp_path / "data.json").write_text('{"title": "x", "method": []}')
    (tmp_path / "test_x.py").write_text(
        "import sys\n\ndef test_x():\n"
        "    assert not [name for name in sys.modules if name.startswith('chaosfw.assembly')]\n"
        "    assert 'numpy' not in sys.modules\n"
    )

    ran = run(tmp_path, *arguments)

    assert ran.returncode == 0, ran.stdout
    assert not (tmp_path / "reports").exists()


def test_collecting_experiments_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import chaosfw as cf\nfrom chaosfw.faults import kubernetes as k8s\n"
        "up = cf.Hypothesis('up', cf.http('http://127.0.0.1:1'))\n"
        "@cf.experiment(cf.Experiment('x', k8s.kill(selector='app=x'), steady_state=up))\n"
        "def test_x(chaos): chaos.run()\n"
    )

    ran = run(tmp_path, "--collect-only", "-q", "-k", "terminate and pods")

    assert "test_x.py::test_x" in ran.stdout
    assert not (tmp_path / "reports").exists()


def test_a_wrong_environment_is_told_in_words_and_not_as_a_traceback(tmp_path: Path) -> None:
    """Also where zones are parameters, which have to be known while tests are collected."""
    (tmp_path / "test_zone.py").write_text(
        "import chaosfw as cf\nfrom chaosfw.faults import zone\n\n\n"
        "@cf.experiment(lambda chaos_zone: cf.Experiment(zone.fail(chaos_zone)))\ndef test_it(chaos, chaos_zone):\n    chaos.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--chaos-environment", "sandbxo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 4
    assert "did you mean 'sandbox'?" in done.stderr
    assert ".py:" not in done.stdout + done.stderr


def test_wrong_settings_are_told_all_at_once_and_only_when_needed(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.chaosfw]\nenvironmnt = 'x'\n[tool.chaosfw.limits]\npods = '340%'\n")
    (tmp_path / "test_x.py").write_text("def test_x(chaos): chaos.run()\n")

    ran = run(tmp_path)

    assert "did you mean 'environment'?" in ran.stdout + ran.stderr
    assert "limits.pods" in ran.stdout + ran.stderr
    assert ran.returncode != 0


def test_the_fixture_without_an_experiment_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("def test_x(chaos): chaos.run()\n")

    ran = run(tmp_path)

    assert "put @cf.experiment(…) above it" in ran.stdout
    assert ran.returncode != 0
