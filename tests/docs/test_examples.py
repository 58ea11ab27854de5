"""What the documents show is run: examples execute, settings load, files parse, commands and flags exist, links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosfw.analysis.objectives import minimum
from chaosfw.assembly.chaos import with_defaults
from chaosfw.authoring.experiments import ATTRIBUTE, Experiment
from chaosfw.cli.main import parser
from chaosfw.definitions import toolkit_file
from chaosfw.model.environment import Environment, Limits
from chaosfw.model.experiment import Experiment as ExperimentNoun
from chaosfw.model.facts import Facts
from chaosfw.model.plan import Plan
from chaosfw.planning.guards import refusals
from chaosfw.planning.price import expected_seconds, planned_price
from chaosfw.settings import load

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
OTHERS = ("promtool", "kubectl", "chaos", "curl", "cat", "pip", "git", "python", "docker")
"""Commands of other people: shown, and not ours to check here."""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(language: str) -> list[Block]:
    found = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                found.append(Block(path.relative_to(ROOT).as_posix(), line, language, match[2]))
    return found


def noun_of(what: Any) -> ExperimentNoun:
    made = what if isinstance(what, Experiment) else what("zone-a")
    assert isinstance(made, Experiment)
    return made.noun


def refused_as_written(noun: ExperimentNoun) -> list[str]:
    """What guards would say of the experiment whatever the cluster were: nothing, for an example."""
    price = planned_price(noun, seconds=expected_seconds(noun, heals_itself=False))
    plan = Plan(experiment=noun, environment=Environment(name="sandbox", kind="sandbox"), seed=1, price_budget=price[1])
    return [str(one) for one in refusals(plan, Facts(), Limits())]


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_runs_and_declares_experiments_that_no_guard_refuses(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    space: dict[str, Any] = {"__name__": "example"}
    exec(compile(block.text, str(block), "exec"), space)
    for value in list(space.values()):
        if (declared := getattr(value, ATTRIBUTE, None)) is not None:
            assert refused_as_written(noun_of(declared)) == []


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_settings_load(block: Block, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(block.text)

    assert load(tmp_path, variables={}, flags={}).chosen()


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_parses_and_experiments_in_it_are_understood(block: Block, tmp_path: Path) -> None:
    if "method" not in json.loads(block.text):
        return
    path = tmp_path / "example.json"
    path.write_text(block.text)
    noun = toolkit_file.load_file(path)

    assert noun is not None
    assert refused_as_written(with_defaults(noun, {})) == []


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_yaml_parses(block: Block) -> None:
    assert yaml.safe_load(block.text)


def commands() -> list[tuple[Block, str]]:
    return [(block, line[2:]) for block in blocks("console") for line in block.text.splitlines() if line.startswith("$ ")]


@pytest.mark.parametrize(("block", "line"), commands(), ids=lambda one: str(one)[:60])
def test_commands_and_their_flags_exist(block: Block, line: str, pytestconfig: pytest.Config) -> None:
    if inner := re.match(r"eval \$\((.*)\)$", line):
        line = inner[1]
    words = shlex.split(line, comments=True)
    command, arguments = words[0], words[1:]
    if command == "chaosfw":
        assert callable(parser().parse_args(arguments).run)
        arguments = arguments[1:] if arguments[:1] == ["plan"] else []
    elif command.startswith("scripts/"):
        assert os.access(ROOT / command, os.X_OK)
        arguments = arguments if command in ("scripts/gameday", "scripts/test") else []
    elif command in OTHERS:
        return
    else:
        assert command == "pytest"
    known = {
        name for group in [pytestconfig._parser._anonymous, *pytestconfig._parser._groups] for one in group.options for name in one.names()
    }
    for argument in arguments:
        if argument.startswith("-"):
            assert argument.partition("=")[0] in known
        elif "/" in argument and not argument.startswith("reports"):
            assert (ROOT / argument.partition("::")[0]).exists()


def test_the_first_example_is_collected_as_it_stands(tmp_path: Path) -> None:
    """As a newcomer would copy it: one test, and one for each declared zone."""
    (tmp_path / "pyproject.toml").write_text("[tool.chaosfw]\nenvironment = 'sandbox'\n")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "test_copied.py").write_text(next(one.text for one in blocks("python") if one.page == "README.md"))
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHAOSFW_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "experiments/"],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert "error" not in ran.stdout.lower(), ran.stdout + ran.stderr
    assert "test_losing_a_zone[zone-a]" in ran.stdout
    assert "4 tests collected" in ran.stdout


def test_every_example_finds_its_targets_and_passes_every_guard(tmp_path: Path) -> None:
    """All of them planned in one go on one embedded cluster, as a newcomer's workspace would hold them. Nothing is broken."""
    for folder in ("deploy", "probes"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "pyproject.toml").write_text(
        "[tool.chaosfw.environments.sandbox]\nmanifests = ['deploy/shop/*.yaml']\nendpoints = { shop = 'service/shop/myapp:80' }\n"
    )
    (tmp_path / "experiments").mkdir()
    shutil.copy(ROOT / "experiments" / "locustfile.py", tmp_path / "experiments")
    for number, block in enumerate([*blocks("python"), *blocks("json")]):
        if "@cf.experiment" in block.text:
            (tmp_path / "experiments" / f"test_example_{number}.py").write_text(block.text)
        elif "def scale" in block.text:
            (tmp_path / "probes" / "scaling.py").write_text(block.text)
        elif block.language == "json" and '"method"' in block.text:
            (tmp_path / "experiments" / f"example-{number}.json").write_text(block.text)
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHAOSFW_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--chaos-plan", "-q", "-p", "no:cacheprovider", "experiments/"],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "~ evict pod shop/myapp-" in ran.stdout
    assert "call probes.scaling.scale" in ran.stdout


def anchors(path: Path) -> set[str]:
    """Headings as the usual renderers name them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        if anchor:
            heads = {re.sub(r"[.]", "", one) for one in anchors(target)}
            assert anchor in heads, link


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("deploy/shop/myapp.yaml", "replicas: 3"),
        ("deploy/shop/myapp.yaml", "minAvailable: 2"),
        ("deploy/shop/myapp.yaml", "chaosfw.dev/drain: 1s"),
        ("experiments/test_shop.py", "web.ready(at_least=2)"),
    ],
)
def test_what_the_tutorial_says_to_change_is_there_once(file: str, text: str) -> None:
    assert (ROOT / file).read_text().count(text) == 1
    assert f"`{text}`" in (ROOT / "docs" / "tutorial" / "first-game-day.md").read_text()


def test_the_table_of_minimums_is_right() -> None:
    text = (ROOT / "docs" / "explanation" / "honest-numbers.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) % \| ([\d,]+) \|$", text, flags=re.MULTILINE)

    assert len(rows) == 4
    for share, needed in rows:
        assert minimum(float(share) / 100) == int(needed.replace(",", ""))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_page_says_simply(path: Path) -> None:
    """Nothing is simple at 3 a.m."""
    assert not re.search(r"\b(simply|just|obviously|easily)\b", path.read_text(encoding="utf-8"), flags=re.IGNORECASE)
