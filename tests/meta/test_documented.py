"""What the product has, the docs have: public names, guards, conditions, claims, exit codes, commands, flags, settings, rooms."""

from __future__ import annotations

import argparse
import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

import chaosfw
from chaosfw import settings
from chaosfw.analysis import claims, conditions
from chaosfw.assembly import catalogue
from chaosfw.cli.main import parser
from chaosfw.definitions import toolkit_file
from chaosfw.faults import kubernetes, zone
from chaosfw.model.event import AnyEvent
from chaosfw.planning.guards import GUARDS
from chaosfw.pytest_plugin import day
from chaosfw.sandbox.app.character import PREFIX
from chaosfw.sandbox.profiles import PROFILES

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def headings(name: str) -> set[str]:
    return set(re.findall(r"^#{2,3} (\S+)$", page(name), flags=re.MULTILINE))


def slugs_in(module: object) -> set[str]:
    """The literal slugs that a module's functions make, for rooms whose tables hold functions only."""
    assert module.__file__ is not None  # type: ignore[attr-defined]
    source = Path(module.__file__).read_text()  # type: ignore[attr-defined]
    return set(re.findall(r'(?:slug=|_met\(|_unmet\()"([a-z][a-z-]*)"', source))


@pytest.mark.parametrize("name", chaosfw.__all__)
def test_every_public_name_has_a_docstring_and_stands_in_the_reference(name: str) -> None:
    assert getattr(chaosfw, name).__doc__, f"{name} has no docstring"
    assert re.search(rf"`cf\.{name}\b", page("python.md")), f"cf.{name} is not in docs/reference/python.md"


@pytest.mark.parametrize("name", [*(f"k8s.{one}" for one in kubernetes.__all__), *(f"zone.{one}" for one in zone.__all__ if one.islower())])
def test_every_fault_that_users_call_stands_in_the_reference(name: str) -> None:
    assert f"`{name}" in page("faults.md")


def test_what_is_public_is_what_is_loaded_lazily_and_what_type_checkers_see() -> None:
    assert set(chaosfw.__all__) == set(chaosfw._HOME)


@pytest.mark.parametrize("slug", GUARDS)
def test_every_guard_has_a_paragraph(slug: str) -> None:
    assert slug in headings("guards.md")


def test_refusals_that_come_before_the_guards_are_named() -> None:
    source = (ROOT / "chaosfw" / "assembly" / "chaos.py").read_text()
    for slug in set(re.findall(r'Refusal\(slug="([a-z-]+)"', source)):
        assert f"`{slug}`" in page("guards.md")


def test_every_condition_has_a_paragraph_and_no_paragraph_is_left_over() -> None:
    assert headings("conditions.md") - {"V:", "W:"} == slugs_in(conditions)
    assert len(slugs_in(conditions)) == len(conditions.CONDITIONS)


def test_every_claim_has_a_paragraph() -> None:
    assert headings("claims.md") == slugs_in(claims) | {"during-fault", "mitigated", "recovered"}


def test_every_exit_code_of_our_own_is_explained() -> None:
    for code in (day.RESIDUE, day.REFUSED, day.INCONCLUSIVE):
        assert re.search(rf"^\| {code} \|", page("exit-codes.md"), flags=re.MULTILINE)


def commands(where: argparse.ArgumentParser, prefix: str = "chaosfw") -> Iterator[tuple[str, list[str]]]:
    """Every command with its flags."""
    flags: list[str] = []
    for action in where._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from commands(below, f"{prefix} {name}")
        else:
            flags += [flag for flag in action.option_strings if flag.startswith("--") and flag != "--help"]
    yield prefix, flags


@pytest.mark.parametrize(("command", "flags"), [one for one in commands(parser()) if one[0].count(" ")])
def test_every_command_and_flag_is_documented(command: str, flags: list[str]) -> None:
    text = page("command-line.md")
    assert command in text or command.split()[-1] in text
    for flag in flags:
        assert flag in text, f"{command} {flag}"


def test_every_pytest_flag_is_documented(pytestconfig: pytest.Config) -> None:
    text = page("command-line.md")
    ours = [flag for option in pytestconfig._parser._groups if option.name == "chaosfw" for one in option.options for flag in one.names()]
    assert ours
    for flag in ours:
        assert flag in text, flag


@pytest.mark.parametrize("key", [*settings.TABLE, *settings.DURATIONS, *settings.ENVIRONMENT, *settings.TABLE_LIMITS])
def test_every_setting_stands_in_a_table(key: str) -> None:
    assert re.search(rf"^\| `{key}` \|", page("settings.md"), flags=re.MULTILINE)


@pytest.mark.parametrize("event", [one.__name__ for one in typing.get_args(AnyEvent)])
def test_every_event_of_the_journal_is_explained(event: str) -> None:
    assert f"| `{event}` |" in page("journal.md")


def test_every_fault_kind_and_every_function_it_adorns_is_documented() -> None:
    text = page("faults.md")
    for kind in catalogue.kinds().values():
        assert kind.name in text
        for function in kind.functions:
            assert f"`{function}`" in text


def test_files_know_the_functions_that_kinds_adorn() -> None:
    """``definitions`` may not import drivers, so its list of functions with a way back of their own is held against them here."""
    assert frozenset(function for kind in catalogue.kinds().values() for function in kind.functions) == toolkit_file.KNOWN


@pytest.mark.parametrize("field", toolkit_file.BLOCK)
def test_every_field_of_our_block_is_documented(field: str) -> None:
    assert f"`{field}`" in page("chaos-toolkit.md")


def test_annotations_and_profiles_of_the_sandbox_are_documented() -> None:
    text = page("sandbox.md")
    source = (ROOT / "chaosfw" / "sandbox" / "app" / "character.py").read_text()
    for name in {*re.findall(r'\("([a-z-]+)", (?:seconds|_ratio)\)', source), "depends-on"}:
        assert PREFIX + name in text
    for name in PROFILES:
        assert f"`{name}`" in text


def test_every_room_is_in_the_architecture() -> None:
    rooms = {path.stem for path in (ROOT / "chaosfw").iterdir() if path.name[0] not in "_." and path.suffix in ("", ".py")}
    told = set(re.findall(r"^### `(\w+)`", (ROOT / "ARCHITECTURE.md").read_text(), flags=re.MULTILINE))
    assert told == {room for room in rooms if (ROOT / "chaosfw" / room).is_file() or (ROOT / "chaosfw" / f"{room}.py").is_file()} | {
        room for room in rooms if (ROOT / "chaosfw" / room / "__init__.py").is_file()
    }


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for path in (ROOT / "docs").rglob("*.md"):
        if path.name != "index.md":
            assert f"({path.relative_to(ROOT / 'docs').as_posix()})" in index, path


def test_documents_that_the_code_points_at_are_there() -> None:
    places = [*(ROOT / "chaosfw").rglob("*.py"), ROOT / "pyproject.toml"]
    for path in places:
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / name).exists(), f"{path.relative_to(ROOT)} points at {name}"
