"""Habits of the code that no linter knows: docstrings, names of modules, the one door to time, a light entry point."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "chaosfw"
MODULES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in MODULES]
HEAVY = ("numpy", "kubernetes", "msgspec", "yaml", "jinja2", "aiohttp", "chaoslib", "chaosk8s", "requests", "asyncio")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_says_what_it_is(path: Path) -> None:
    """At least one sentence."""
    words = ast.get_docstring(tree(path)) or ""
    assert len(words.split()) >= 3
    assert re.search(r"[.:]", words), "no sentence ends in it"


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_no_module_is_a_drawer(path: Path) -> None:
    """A helper without a home shows a missing noun."""
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "base", "misc")


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path != PACKAGE / "timing.py"], ids=[name for name in NAMES if name != "timing.py"]
)
def test_time_has_one_door(path: Path) -> None:
    """Only ``timing`` imports ``time``; an event loop's own time is another matter."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            assert "time" not in [alias.name for alias in node.names], f"line {node.lineno}"
        if isinstance(node, ast.ImportFrom):
            assert node.module != "time", f"line {node.lineno}"


def test_each_module_of_tests_has_a_name_of_its_own() -> None:
    """Two of one name in different folders that are no packages, and pytest collects neither."""
    found = (PACKAGE.parent / "tests").rglob("test_*.py")
    names = Counter(path.name for path in found if not path.with_name("__init__.py").exists())
    assert [name for name, count in names.items() if count > 1] == []


def test_the_entry_point_costs_a_strangers_run_next_to_nothing() -> None:
    """Importing the plugin brings in pytest and the standard library, and of chaosfw nothing but its packages' own files."""
    code = (
        "import sys, pytest; before = set(sys.modules); import chaosfw.pytest_plugin.plugin; "
        "print('\\n'.join(sorted(set(sys.modules) - before)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent).stdout.split()

    assert {name for name in found if name.startswith("chaosfw")} == {"chaosfw", "chaosfw.pytest_plugin", "chaosfw.pytest_plugin.plugin"}
    assert not [name for name in found if name.partition(".")[0] in HEAVY]


def test_a_run_without_experiments_imports_nothing_heavy(tmp_path: Path) -> None:
    """Not even through collection, hooks and the end of the session."""
    (tmp_path / "test_mine.py").write_text(
        "import sys\n\n\ndef test_mine():\n    assert 'chaosfw.assembly' not in sys.modules\n    assert 'numpy' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not (tmp_path / "reports").exists()
