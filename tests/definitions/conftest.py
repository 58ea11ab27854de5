"""Chaos Toolkit files, written where a test wants them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaosfw.definitions.toolkit_file import load_file
from chaosfw.errors import DefinitionError
from chaosfw.model.experiment import Experiment

PYTHON = {"type": "python", "module": "probes.shop", "func": "answering_pod", "arguments": {"url": "x"}}
PROBE = {"type": "probe", "name": "ready", "tolerance": 200, "provider": {"type": "http", "url": "http://127.0.0.1:1/"}}
ACTION = {"type": "action", "name": "break", "provider": PYTHON}
WHOLE: dict[str, Any] = {
    "title": "t",
    "description": "d",
    "steady-state-hypothesis": {"title": "up", "probes": [PROBE]},
    "method": [ACTION],
    "rollbacks": [],
}


def whole(**changes: Any) -> dict[str, Any]:
    """A valid file with some keys changed; ``None`` leaves a key out. Dashes are written as underscores."""
    made = {**WHOLE, **{key.replace("_", "-") if key == "steady_state_hypothesis" else key: value for key, value in changes.items()}}
    return {key: value for key, value in made.items() if value is not None}


Read = Callable[..., Experiment]
Wrong = Callable[..., tuple[str, ...]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reader(content: dict[str, Any] | str, *, name: str = "it.json") -> Experiment:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
        made = load_file(path)
        assert made is not None, "was taken for no experiment"
        return made

    return reader


@pytest.fixture
def wrong(tmp_path: Path, read: Read) -> Wrong:
    """The problems of a file, its folder left out."""

    def reader(content: dict[str, Any] | str, *, name: str = "it.json") -> tuple[str, ...]:
        with pytest.raises(DefinitionError) as caught:
            read(content, name=name)
        return tuple(one.removeprefix(f"{tmp_path}/") for one in caught.value.problems)

    return reader
