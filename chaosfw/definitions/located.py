"""
A YAML or JSON document that remembers where each value stood, and a reader that collects every problem instead of the first.

The values of JSON come from the JSON parser; its lines come from the YAML that it nearly is, because only that parser tells
them. Used by ``toolkit_file`` and ``slo_files``.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from chaosfw.errors import DefinitionError, UsageError
from chaosfw.quantities import duration

_MISSING = object()


@dataclass(slots=True)
class Problems:
    """All problems of one file, each with its line and path."""

    file: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, path: str, sentence: str) -> None:
        text = f"{self.file}:{line}: {path + ' ' if path else ''}{sentence}"
        if (line, text) not in self.found:  # an activity that is referred to is read more than once
            self.found.append((line, text))

    def raise_any(self) -> None:
        """Raises DefinitionError when there are any, in the order of the file."""
        if self.found:
            raise DefinitionError(self.file, [text for _, text in sorted(self.found)], hint="nothing is injected from a file with an error")


@dataclass(frozen=True, slots=True)
class Place:
    """A value, where it stood, and the way there from the top (``method[0].provider``)."""

    value: Any
    line: int
    path: str
    lines: dict[tuple[str | int, ...], int]
    way: tuple[str | int, ...]
    problems: Problems

    def get(self, key: str) -> Place | None:
        """A member; None where there is none."""
        if not isinstance(self.value, dict) or key not in self.value:
            return None
        way = (*self.way, key)
        return Place(self.value[key], self.lines.get(way, self.line), f"{self.path}.{key}".lstrip("."), self.lines, way, self.problems)

    def items(self) -> Iterator[Place]:
        """The elements of a list."""
        for index, value in enumerate(self.value if isinstance(self.value, list) else []):
            way = (*self.way, index)
            yield Place(value, self.lines.get(way, self.line), f"{self.path}[{index}]", self.lines, way, self.problems)

    def problem(self, sentence: str) -> None:
        self.problems.add(self.line, self.path, sentence)

    # -- readers: each gives a usable value and notes what was wrong ----------------------------------------------------

    def text(self, key: str, *, default: Any = _MISSING) -> str:
        required = default is _MISSING
        if required and (found := self.get(key)) is not None and found.value == "":
            found.problem("is empty: a text was expected")
        return str(self._typed(key, str, "a text", "" if required else default, required=required))

    def mapping(self, key: str) -> dict[str, Any]:
        return dict(self._typed(key, dict, "a mapping", {}, required=False))

    def flag(self, key: str, *, default: bool = False) -> bool:
        return bool(self._typed(key, bool, "true or false", default, required=False))

    def number(self, key: str, *, default: float) -> float:
        return float(self._typed(key, (int, float), "a number", default, required=False))

    def seconds(self, key: str, *, default: float) -> float:
        found = self.get(key)
        if found is None:
            return default
        try:
            return duration(found.value, what="is")
        except UsageError:
            found.problem(f"is {found.value!r}: a duration such as 20, '20s' or '1m30s' was expected")
            return default

    def listed(self, key: str) -> list[Place]:
        found = self.get(key)
        if found is None:
            return []
        if not isinstance(found.value, list):
            found.problem(f"is {_kind(found.value)}: a list was expected")
            return []
        return list(found.items())

    def one_of(self, key: str, choices: Sequence[str], *, default: str = "") -> str:
        value = self.text(key, default=default) if default else self.text(key)
        if value and value not in choices:
            close = difflib.get_close_matches(value, choices, n=1)
            at = self.get(key) or self
            at.problem(f"is {value!r}" + (f": did you mean {close[0]!r}?" if close else ":") + f" one of {', '.join(choices)} was expected")
        return value

    def known(self, *keys: str) -> None:
        """Notes keys that look like a known one misspelt; others are left alone, as Chaos Toolkit does."""
        for key in self.value if isinstance(self.value, dict) else ():
            if key not in keys and (close := difflib.get_close_matches(str(key), keys, n=1, cutoff=0.8)):
                (self.get(key) or self).problem(f"is unknown: did you mean {close[0]!r}?")

    def only(self, *keys: str) -> None:
        """Notes every other key: what stands in our own block and is not understood would be left out silently."""
        for key in self.value if isinstance(self.value, dict) else ():
            if key not in keys:
                close = difflib.get_close_matches(str(key), keys, n=1)
                more = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(keys)}"
                (self.get(key) or self).problem(f"is unknown: {more}")

    def _typed(self, key: str, kind: Any, words: str, default: Any, *, required: bool) -> Any:
        found = self.get(key)
        if found is None:
            if required:
                self.problem(f"has no {key!r}: {words} was expected")
            return default
        if not isinstance(found.value, kind) or (isinstance(found.value, bool) and kind is not bool):
            found.problem(f"is {found.value!r}: {words} was expected")
            return default
        return found.value


def read(path: Path, text: str) -> Place:
    """The document. Raises DefinitionError with line and column when it can not be parsed."""
    problems = Problems(str(path))
    is_json = path.suffix == ".json"
    source = text.replace("\t", "  ") if is_json else text
    try:
        value = json.loads(text) if is_json else yaml.safe_load(source)
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, json.JSONDecodeError) as trouble:
        problems.add(_line_of(trouble), "", f"can not be read: {getattr(trouble, 'problem', None) or getattr(trouble, 'msg', trouble)}")
        problems.raise_any()
        raise AssertionError("unreachable") from trouble
    lines: dict[tuple[str | int, ...], int] = {}
    if node is not None:
        _lines(node, (), lines)
    return Place(value, 1, "", lines, (), problems)


def read_all(path: Path, text: str) -> list[Place]:
    """Every document of a YAML file, with one list of problems. Raises DefinitionError when it can not be parsed."""
    problems = Problems(str(path))
    try:
        values = list(yaml.safe_load_all(text))
        nodes = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as trouble:
        problems.add(_line_of(trouble), "", f"can not be read: {getattr(trouble, 'problem', None) or trouble}")
        problems.raise_any()
        raise AssertionError("unreachable") from trouble
    found = []
    for value, node in zip(values, nodes, strict=False):
        lines: dict[tuple[str | int, ...], int] = {}
        _lines(node, (), lines)
        found.append(Place(value, lines.get((), 1), "", lines, (), problems))
    return found


def _line_of(trouble: Exception) -> int:
    if isinstance(trouble, json.JSONDecodeError):
        return trouble.lineno
    mark = getattr(trouble, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _lines(node: yaml.Node, way: tuple[str | int, ...], lines: dict[tuple[str | int, ...], int]) -> None:
    lines.setdefault(way, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            lines[(*way, key.value)] = key.start_mark.line + 1
            _lines(value, (*way, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*way, index)] = value.start_mark.line + 1
            _lines(value, (*way, index), lines)


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", type(None): "empty", bool: "true or false"}
    return names.get(type(value), repr(value))
