"""Chaos Toolkit files as pytest items: collected when they hold an experiment, run through the same engine as tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaosfw.definitions.toolkit_file import is_experiment, load_file
from chaosfw.errors import ChaosfwError, DefinitionError
from chaosfw.model.experiment import Experiment
from chaosfw.pytest_plugin.plugin import day_of, run_name


def collected(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A collector for a file that looks like an experiment, else None."""
    try:
        looks = is_experiment(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return ToolkitFile.from_parent(parent, path=path) if looks else None


class ToolkitFile(pytest.File):
    """One file. A file with problems fails its collection with all of them; nothing of it runs."""

    def collect(self) -> Any:
        try:
            experiment = load_file(self.path)
        except DefinitionError as trouble:
            raise self.CollectError(str(trouble)) from trouble
        often = self.config.option.chaos_repeat
        for number in range(often if experiment is not None else 0):
            name = self.path.stem + (f"[{run_name(number)}]" if often > 1 else "")
            yield ToolkitItem.from_parent(self, name=name, experiment=experiment, repeat=number)


class ToolkitItem(pytest.Item):
    """The experiment of a file."""

    def __init__(self, *, experiment: Experiment, repeat: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.chaos_experiment = experiment
        self.chaos_repeat = repeat

    def setup(self) -> None:
        day = day_of(self.config)
        self._chaos = day.prepared(self)
        self.addfinalizer(lambda: day.concluded(self, self._chaos))

    def runtest(self) -> None:
        self._chaos.run()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, ChaosfwError | AssertionError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.chaos_experiment.title
