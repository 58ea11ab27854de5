"""The fixtures ``sandbox`` and ``start_sandbox``, as somebody uses them who has no experiments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosfw.sandbox.public import Sandbox, running
from tests.sandbox.apiserver.plane import kubectl_path


def test_it_is_empty_and_a_stock_client_finds_it(sandbox: Sandbox) -> None:
    def kubectl(*words: str) -> str:
        return subprocess.run([kubectl_path(), *words], env=sandbox.env(), capture_output=True, text=True, check=True).stdout

    assert kubectl("get", "nodes", "-o", "name").split() == ["node/node-1", "node/node-2", "node/node-3"]
    assert kubectl("get", "pods,services", "-o", "name").split() == ["service/kubernetes"]


@pytest.mark.sandbox(nodes=2, zones="here", manifests="deploy/shop")
def test_a_mark_says_what_it_is_to_be(sandbox: Sandbox) -> None:
    assert sandbox.nodes == {"node-1": "here", "node-2": "here"}
    assert json.load(urllib.request.urlopen(sandbox.endpoint("shop/myapp")))["zone"] == "here"
    assert sandbox.env()["CHAOSFW_ENDPOINT_SHOP_MYAPP"] == sandbox.endpoint("shop/myapp")


def test_several_at_once_do_not_meet(sandbox: Sandbox, start_sandbox: Callable[..., Sandbox]) -> None:
    with start_sandbox(nodes=1) as other:
        assert other.directory != sandbox.directory
        assert {sandbox.directory, other.directory} <= set(running())
        assert (len(sandbox.nodes), len(other.nodes)) == (3, 1)
    assert other.directory not in running()


def pytest_in(folder: Path, text: str) -> str:
    """What pytest says of a test file of somebody's."""
    (folder / "test_theirs.py").write_text(text)
    path = f"{Path(kubectl_path()).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_what_is_left_open_ends_with_the_session(tmp_path: Path) -> None:
    said = pytest_in(
        tmp_path,
        """
import pathlib

def test_one(start_sandbox):
    pathlib.Path("directory").write_text(str(start_sandbox(nodes=1).directory))
""",
    )
    assert "1 passed" in said
    assert not Path((tmp_path / "directory").read_text()).exists()


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("nodes=0", "nodes = 0: a sandbox has between 1 and"),
        ("node=3", "a sandbox has no option 'node'; there are: nodes, hollow_nodes, zones, profile, control_plane, manifests, images"),
        ("3", "@pytest.mark.sandbox takes names only"),
        ("manifests='nowhere'", "nowhere"),
        ("profile='slow'", "unknown sandbox profile 'slow'; available: default, fast"),
    ],
)
def test_a_wrong_mark_is_told_in_words(tmp_path: Path, mark: str, words: str) -> None:
    said = pytest_in(tmp_path, f"import pytest\n\n@pytest.mark.sandbox({mark})\ndef test_one(sandbox):\n    pass\n")
    assert "1 error" in said
    assert words in said


def test_the_guide_does_what_it_says(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    shutil.copytree(root / "deploy" / "shop", tmp_path / "deploy" / "shop")
    guide = (root / "docs" / "how-to" / "test-against-a-local-kubernetes.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert "3 passed" in pytest_in(tmp_path, "\n".join(examples))
